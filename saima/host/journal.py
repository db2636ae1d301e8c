"""The journal record of one answer: what was asked, read, computed and decided, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import numpy as np
import polars as pl

from saima.features.declaration import Journal
from saima.features.types import Type

_NO_NUMBERS = frozenset(("NaN", "inf", "-inf"))


@dataclass(frozen=True, slots=True)
class Kept:
    """Candidates whose features a record keeps: indexes, their weights (1 / probability of being kept), whether all."""

    items: list[int]
    weights: list[float]
    whole: bool


def keep(declared: Journal, count: int, returned: Sequence[int], random: Random) -> Kept:
    """Which of `count` candidates a record keeps: all of a small share of requests, else as declared."""
    whole = random.random() < declared.full
    if whole or declared.items == "all":
        return Kept(list(range(count)), [1.0] * count, whole)
    items, weights = list(returned), [1.0] * len(returned)
    if declared.items == "returned_and_sampled" and declared.sample > 0:
        others = [i for i in range(count) if i not in set(returned) and random.random() < declared.sample]
        items += others
        weights += [1 / declared.sample] * len(others)
    return Kept(items, weights, whole)


class Featured(Protocol):
    """Features of one request that give some rows of theirs as plain values."""

    @property
    def types(self) -> Mapping[str, Type]:
        """Types of the features, in declared order."""
        ...

    def plain(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """Values of some rows by feature: None is missing, a timestamp is its ms, a map its list of {key, value}."""
        ...


def encode(record: Mapping[str, Any], features: Featured | None, kept: Sequence[int]) -> bytes:
    """The record with the kept rows' features, by name, as UTF-8 JSON.

    A float32 is the shortest number that reads back to the same float32; NaN and infinities are null.
    """
    columns: dict[str, list[Any]] = {}
    if features is not None:
        columns = features.plain(kept)
        _tidy(columns, features.types)
    return _text({**record, "features": columns}).encode()


_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _tidy(columns: dict[str, list[Any]], types: Mapping[str, Type]) -> None:
    """Write floats as JSON has them; all float32 go through Polars at once, which knows their shortest texts."""
    singles = [name for name, dtype in types.items() if dtype.name == "float32"]
    flat = shortest([value for name in singles for value in columns[name]])
    at = 0
    for name in singles:
        columns[name], at = flat[at : at + len(columns[name])], at + len(columns[name])
    for name, dtype in types.items():
        if dtype.name == "float64":
            columns[name] = [finite(value) for value in columns[name]]
        elif dtype.element is not None:
            columns[name] = [_nested(value, dtype) for value in columns[name]]


def _nested(value: Any, dtype: Type) -> Any:
    if value is None:
        return None
    if dtype.name == "map":
        return [{**pair, "value": _nested(pair["value"], dtype.of)} for pair in value]
    if dtype.is_list:
        if dtype.of.name == "float32":
            return shortest(value)
        return [_nested(one, dtype.of) for one in value]
    return finite(value) if dtype.is_float else value


def shortest(values: list[float | None]) -> list[float | None]:
    """Float32 values as the numbers whose texts are shortest.

    >>> shortest([0.10000000149011612, None, float("inf")])
    [0.1, None, None]
    """
    texts = pl.Series(values, dtype=pl.Float32).cast(pl.String).to_list()
    return [None if text is None or text in _NO_NUMBERS else float(text) for text in texts]


def finite(value: float | None) -> float | None:
    """The value, or None where it is no number."""
    return value if value is not None and math.isfinite(value) else None


def numbers(values: np.ndarray) -> list[float | None]:
    """Values as JSON numbers; NaN and infinities as null."""
    return [value if math.isfinite(value) else None for value in values.tolist()]
