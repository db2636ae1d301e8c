"""Reads of tiles in arrays: totals of windows from the kernels, and measures of them from the algebra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.measure import empty, fit, result
from saima.streams.aggregation.packing import floats_of

Ints = npt.NDArray[np.int64]

WORDS = 5
"""Of a window's total: count, high and low digits of the sum, least and greatest value."""


PLAIN = ("count", "sum", "mean", "min", "max")
"""Measures of whole numbers that follow from a total at once, where its sum is far from the end of int64."""

NOTHING = tuple(empty(measure) for measure in PLAIN)

SMALL = 2**20
"""High digits below it make sums that a float holds exactly."""


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
        places = [(windows.index(ask.window), ask) for ask in asks]
        self._parts = [(value_of(ask, tiles.group), w, empty(ask.measure)) for w, ask in places]
        self._plain = all(ask.measure in PLAIN for ask in asks) and tiles.group.dtype == "int64"
        self._pick = [len(PLAIN) * w + PLAIN.index(ask.measure) for w, ask in places] if self._plain else []
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
        self._tiles.measure(slots, np.array(q), self._windows, totals)
        return [self._values(found) for found in totals]

    def _values(self, totals: Ints) -> list[Any]:
        rows: list[list[Any]] = totals.tolist()
        if self._plain:
            found: list[Any] = []
            for count, high, low, least, greatest in rows:
                if not -SMALL < high < SMALL:
                    break
                if count:
                    total = (high << 32) + low
                    found += (count, total, total / count, least, greatest)
                else:
                    found += NOTHING
            else:
                return [found[place] for place in self._pick]
        if self._tiles.group.is_float:
            for row, ends in zip(rows, floats_of(totals).tolist(), strict=True):
                row[3:] = ends[3:]
        return [value(rows[w]) if rows[w][0] else nothing for value, w, nothing in self._parts]


def value_of(ask: Ask, group: Group) -> Callable[[list[Any]], Any]:
    """A measure from a total that counts at least one event, as `windows.measure.result` has it."""
    units = group.units
    if group.dtype != "bool":
        match ask.measure:
            case "count":
                return lambda total: total[0]
            case "sum":
                return lambda total: fit((total[1] << 32) + total[2])
            case "mean":
                return lambda total: float((total[1] << 32) + total[2]) / (total[0] * units)
            case "min":
                return lambda total: total[3]
            case "max":
                return lambda total: total[4]
    return lambda total: result(
        ask.measure,
        {"count": total[0], "sum": (total[1] << 32) + total[2], "min": total[3], "max": total[4]},
        ask.k,
        group,
    )
