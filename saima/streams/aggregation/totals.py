"""Reads of tiles in arrays: totals of windows from the kernels, and measures of them from the algebra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.measure import empty, result
from saima.streams.aggregation.packing import floats_of

Ints = npt.NDArray[np.int64]

WORDS = 5
"""Of a window's total: count, high and low digits of the sum, least and greatest value."""


class Measured(Protocol):
    """Where totals come from: the arrays of one group."""

    group: Group

    def seek(self, key: str) -> int: ...

    def seek_batch(self, keys: pl.Series) -> Ints: ...

    def measure(self, slots: Ints, q: Ints, windows: Ints, totals: Ints) -> None: ...


class ColumnView:
    """Reads of some measures and windows of one group."""

    def __init__(self, tiles: Measured, asks: Sequence[Ask]) -> None:
        self._tiles, self._asks = tiles, asks
        windows: list[Window] = list(dict.fromkeys(ask.window for ask in asks))
        self._places = [windows.index(ask.window) for ask in asks]
        level = {hop: i for i, hop in enumerate(tiles.group.hops)}
        shapes = [(window.width, window.hop, level.get(window.hop, -1)) for window in windows]
        self._windows = np.array(shapes, np.int64).reshape(-1, 3)
        self._slot, self._q = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._totals = np.zeros((1, len(windows), WORDS), np.int64)

    def read(self, key: str, q: int) -> list[Any]:
        slot = self._tiles.seek(key)
        if slot < 0:
            return [empty(ask.measure) for ask in self._asks]
        self._slot[0], self._q[0] = slot, q
        self._tiles.measure(self._slot, self._q, self._windows, self._totals)
        return self._values(self._totals[0])

    def read_batch(self, keys: pl.Series, q: Ints) -> list[list[Any]]:
        slots = self._tiles.seek_batch(keys)
        totals = np.zeros((len(slots), len(self._windows), WORDS), np.int64)
        self._tiles.measure(slots, np.ascontiguousarray(q), self._windows, totals)
        return [self._values(found) for found in totals]

    def _values(self, totals: Ints) -> list[Any]:
        group = self._tiles.group
        ends = floats_of(totals).tolist() if group.is_float else None
        parts = []
        for w, (count, high, low, least, greatest) in enumerate(totals.tolist()):
            if ends is not None:
                least, greatest = ends[w][3:]
            parts.append({"count": count, "sum": (high << 32) + low, "min": least, "max": greatest})
        return [
            result(ask.measure, parts[w], ask.k, group) if parts[w]["count"] else empty(ask.measure)
            for ask, w in zip(self._asks, self._places, strict=True)
        ]
