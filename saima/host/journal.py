"""The journal record of one answer: what was asked, read, computed and decided, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import polars as pl

from saima.features.declaration import Journal

FEW = 16
"""Up to so many rows are turned into columns here."""


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


def encode(record: Mapping[str, Any], features: pl.DataFrame, kept: Sequence[int]) -> bytes:
    """The record with the kept rows' features, by name, as UTF-8 JSON.

    Polars writes a float32 as the shortest text that reads back to the same float32, and NaN as null.
    """
    rows = features if not features.width or len(kept) == features.height else features[list(kept)]
    times = [name for name, dtype in zip(rows.columns, rows.dtypes, strict=True) if type(dtype) is pl.Datetime]
    if times:
        rows = rows.with_columns(pl.col(times).cast(pl.Int64))
    head = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f'{head[:-1]},"features":{_columns(rows)}}}'.encode()


def _columns(rows: pl.DataFrame) -> str:
    """JSON of the columns by name. For a few rows it is quicker to turn the rows around here than in Polars."""
    if not rows.width:
        return "{}"
    if rows.height > FEW:
        return rows.select(pl.all().implode()).write_json()[1:-1]
    written = json.loads(rows.write_json())
    columns = {name: [row[name] for row in written] for name in rows.columns}
    return json.dumps(columns, ensure_ascii=False, separators=(",", ":"))


def numbers(values: np.ndarray) -> list[float | None]:
    """Values as JSON numbers; NaN and infinities as null."""
    return [value if math.isfinite(value) else None for value in values.tolist()]
