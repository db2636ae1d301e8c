"""One tumbling window that is still open: a tile a key, or the events themselves where tiles would lose their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.columns import entries
from saima.features.windows.component import Row
from saima.features.windows.definition import Group, needs
from saima.features.windows.measure import WindowOverflow, components, result
from saima.streams.aggregation.columns import columnar
from saima.streams.aggregation.kernels import COUNT, GREATEST_VALUE, HIGH, LEAST_VALUE, LOW, accumulate
from saima.streams.aggregation.packing import floats_of, ordered
from saima.streams.aggregation.slots import Slots

Ints = npt.NDArray[np.int64]

STAGED = 1024
"""Single events that are folded together."""

SMALL = 2**30
"""High digits below it make sums that fit int64."""


class OpenWindow:
    """Tiles of exact measures by slot; `rows` are the events of other measures, and single ones not yet folded."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.columnar = columnar(group)
        self.rows: dict[str, list[Row]] = {}
        self._staged = 0
        self._slots = Slots()
        self._tiles = np.zeros((64, 6), np.int64)

    def add(self, key: str, row: Row) -> None:
        """Add one event."""
        rows = self.rows.get(key)
        if rows is None:
            self.rows[key] = [row]
        else:
            rows.append(row)
        self._staged += 1
        if self.columnar and self._staged >= STAGED:
            self.settle()

    def add_batch(self, keys: pl.Series, times: Ints, seqs: Ints, values: pl.Series | None) -> None:
        """Add events; keys and values have no nulls."""
        if self.columnar:
            self._fold(keys, np.zeros(len(keys), np.int64) if values is None else values.to_numpy())
            return
        column = [None] * len(keys) if values is None else values.to_list()
        for key, time, seq, value in zip(keys.to_list(), times.tolist(), seqs.tolist(), column, strict=True):
            self.add(key, (time, seq, value))

    def settle(self) -> None:
        """Fold single events into tiles."""
        if self.columnar and self.rows:
            keys = [key for key, rows in self.rows.items() for _ in rows]
            values = [row[2] or 0 for rows in self.rows.values() for row in rows]
            self.rows, self._staged = {}, 0
            kind = np.float64 if self.group.is_float else np.int64
            self._fold(pl.Series(keys, dtype=pl.String), np.array(values, kind))

    def _fold(self, keys: pl.Series, values: npt.NDArray[Any]) -> None:
        slots = self._slots.of(keys, insert=True)
        if self._slots.count > len(self._tiles):
            more = max(self._slots.count, 2 * len(self._tiles)) - len(self._tiles)
            self._tiles = np.concatenate([self._tiles, np.zeros((more, 6), np.int64)])
        accumulate(slots, np.array(ordered(values) if self.group.is_float else values), self._tiles)

    def tiles(self) -> tuple[pl.Series, Ints]:
        """Keys and their tiles."""
        self.settle()
        return self._slots.texts(), self._tiles[: self._slots.count]

    def pack(self) -> bytes:
        """The window as bytes."""
        if not self.columnar:
            return json.dumps(self.rows).encode()
        keys, tiles = self.tiles()
        return json.dumps([keys.to_list(), tiles.tolist()]).encode()

    @classmethod
    def unpack(cls, group: Group, data: bytes) -> Self:
        """The window that `pack` wrote."""
        made, found = cls(group), json.loads(data)
        if not made.columnar:
            made.rows = {key: [(time, seq, value) for time, seq, value in rows] for key, rows in found.items()}
            return made
        keys, tiles = found
        made._slots.of(pl.Series(keys, dtype=pl.String), insert=True)
        made._tiles = np.array([*tiles, [0] * 6], np.int64)
        return made


def measured(window: OpenWindow, measures: Sequence[str], k: int) -> tuple[pl.Series, dict[str, Any], int]:
    """Keys, a column a measure, and how many sums do not fit int64, which are null."""
    if not window.columnar:
        return _by_rows(window, measures, k)
    keys, tiles = window.tiles()
    if not window.group.is_float and np.abs(tiles[:, HIGH]).max(initial=0) >= SMALL:
        return _one_by_one(keys, [_parts(tile) for tile in tiles.tolist()], window.group, measures, k)
    units = window.group.units
    sums = (tiles[:, HIGH] << 32) + tiles[:, LOW]
    ends = floats_of(tiles) if window.group.is_float else tiles
    columns = {
        "count": tiles[:, COUNT],
        "sum": sums,
        "mean": sums.astype(np.float64) / (tiles[:, COUNT] * units).astype(np.float64),
        "min": ends[:, LEAST_VALUE],
        "max": ends[:, GREATEST_VALUE],
    }
    return keys, {measure: columns[measure] for measure in measures}, 0


def _parts(tile: list[int]) -> dict[str, Any]:
    return {
        "count": tile[COUNT],
        "sum": (tile[HIGH] << 32) + tile[LOW],
        "min": tile[LEAST_VALUE],
        "max": tile[GREATEST_VALUE],
    }


def _by_rows(window: OpenWindow, measures: Sequence[str], k: int) -> tuple[pl.Series, dict[str, Any], int]:
    held = components(window.group)
    names = dict.fromkeys(name for measure in measures for name in needs(measure, window.group))
    parts = [{name: held[name].of(sorted(rows)) for name in names} for rows in window.rows.values()]
    return _one_by_one(pl.Series("key", list(window.rows), dtype=pl.String), parts, window.group, measures, k)


def _one_by_one(
    keys: pl.Series, parts: Sequence[dict[str, Any]], group: Group, measures: Sequence[str], k: int
) -> tuple[pl.Series, dict[str, Any], int]:
    overflowed = 0
    columns: dict[str, list[Any]] = {measure: [] for measure in measures}
    for part in parts:
        for measure in measures:
            try:
                value = result(measure, part, k, group)
            except WindowOverflow:
                value, overflowed = None, overflowed + 1
            columns[measure].append(entries(value) if measure == "histogram" else value)
    return keys, dict(columns), overflowed
