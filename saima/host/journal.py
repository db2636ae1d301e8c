"""The journal record of one answer: a snapshot that the request's thread can afford, and its JSON, made behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import Any, Protocol

import numpy as np
import polars as pl
from pydantic_core import from_json, to_json

from saima.features.declaration import Journal
from saima.features.online.block import Block
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
        known = set(items)
        others = [place for place in _drawn(count, declared.sample, random) if place not in known]
        items += others
        weights += [1 / declared.sample] * len(others)
    return Kept(items, weights, whole)


def _drawn(count: int, share: float, random: Random) -> list[int]:
    """Each of `count` places with probability `share`, drawn by the gaps between them (geometric)."""
    if share >= 1:
        return list(range(count))
    found: list[int] = []
    scale = math.log1p(-share)
    place = -1
    while (place := place + 1 + int(math.log(1.0 - random.random()) / scale)) < count:
        found.append(place)
    return found


class Featured(Protocol):
    """Features of one request that give some rows of theirs as plain values."""

    @property
    def types(self) -> Mapping[str, Type]:
        """Types of the features, in declared order."""
        ...

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Values of some rows by feature: None is missing, a timestamp is its ms, a map its list of {key, value}."""
        ...

    def block(self, rows: Sequence[int]) -> Block | None:
        """Features of some rows that one float32 matrix holds exactly; None where there is no such matrix."""
        ...


def snapshot(
    record: Mapping[str, Any],
    features: Featured | None,
    kept: Sequence[int],
    scores: np.ndarray | None = None,
    outputs: Mapping[str, np.ndarray] | None = None,
    asked: bytes = b"",
) -> bytes:
    """A record as bytes for the spool; `text_of` makes its JSON, in whatever process.

    record: JSON values. asked: the body that the caller sent, from which request, user and items are taken later;
    empty: the record holds them.
    """
    block: Block | None = None
    columns: dict[str, list[Any]] = {}
    if features is not None:
        block = features.block(kept)
        held = () if block is None else set(block.names)
        others = [name for name in features.types if name not in held]
        if others:
            columns = features.plain(kept, others)
            _tidy(columns, {name: features.types[name] for name in others})
    parts = [to_json(record, inf_nan_mode="null"), asked, b"" if scores is None else _doubles(scores)]
    parts += [_doubles(values) for values in (outputs or {}).values()]
    parts += [to_json(values) for values in columns.values()]
    parts.append(b"" if block is None else block.matrix.tobytes("F"))
    index = [
        [len(part) for part in parts],
        scores is not None,
        list(outputs or ()),
        list(columns),
        [] if block is None else list(block.names),
        "" if block is None else block.kinds,
        [] if features is None else list(features.types),
    ]
    return b"".join((to_json(index), b"\n", *parts))


def text_of(data: bytes) -> str:
    """The JSON of a snapshot.

    A float32 is the shortest number that reads back to the same float32; NaN and infinities are null.
    """
    head, _, body = data.partition(b"\n")
    lengths, scored, outputs, columns, held, kinds, names = from_json(head)
    ends = list(accumulate(lengths, initial=0))
    record, asked, scores, *parts, block = (body[start:end] for start, end in pairwise(ends))
    members = [record[1:-1].decode()] if len(record) > 2 else []
    if asked:
        sent = from_json(asked, cache_strings="keys")
        found = {"request": sent.get("request", {}), "user": sent.get("user"), "items": sent.get("items") or []}
        members.append(to_json(found)[1:-1].decode())
    made, written = parts[: len(outputs)], parts[len(outputs) :]
    if scored:
        texts = {raw: _numbers_text(raw) for raw in {scores, *made}}
        members.append(f'"scores":{texts[scores]}')
        members.append(f'"outputs":{_object((name, texts[raw]) for name, raw in zip(outputs, made, strict=True))}')
    values = {name: text.decode() for name, text in zip(columns, written, strict=True)}
    if held:
        values |= _block_texts(held, kinds, block)
    members.append(f'"features":{_object((name, values[name]) for name in names)}')
    return "{" + ",".join(members) + "}"


def _doubles(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, np.float64).tobytes()


def _numbers_text(raw: bytes) -> str:
    return to_json(np.frombuffer(raw, np.float64).tolist(), inf_nan_mode="null").decode()


def _object(members: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join([f"{_quoted(name)}:{text}" for name, text in members]) + "}"


@lru_cache(maxsize=65_536)
def _quoted(name: str) -> str:
    return to_json(name).decode()


def _block_texts(names: list[str], kinds: str, raw: bytes) -> dict[str, str]:
    """By feature the JSON list of a block's column."""
    rows = len(raw) // 4 // len(names)
    matrix = np.frombuffer(raw, np.float32).reshape(len(names), rows)
    found: dict[str, str] = {}
    for kind, texts_of in _TEXTS.items():
        places = [place for place, one in enumerate(kinds) if one == kind]
        if not places:
            continue
        flat = matrix[places].ravel()
        known = np.isfinite(flat)
        texts = texts_of(np.where(known, flat, np.float32(0)))
        for missing in np.flatnonzero(~known).tolist():
            texts[missing] = "null"
        for order, place in enumerate(places):
            found[names[place]] = "[" + ",".join(texts[order * rows : (order + 1) * rows]) + "]"
    return found


_TEXTS: dict[str, Callable[[np.ndarray], list[str]]] = {
    "f": lambda values: pl.Series(values).cast(pl.String).to_list(),
    "i": lambda values: list(map(str, values.astype(np.int64).tolist())),
    "b": lambda values: ["true" if value else "false" for value in values.tolist()],
}
"""Texts of a block's values, by the kind of their column."""


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
