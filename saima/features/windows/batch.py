"""Windows over history: every row of a request log at once, equal to the online read bit for bit.

Events lie sorted by key and time, ties by seq and value. A window is then a run [low, high) of them, found by binary
search; sums come from sums of beginnings, extremes from blocks, first and last from the run's ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.codes import KeyCodes, Moments, sort_pairs
from saima.features.windows.columns import dtype, entries, lists, masked
from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.extremes import Extremes
from saima.features.windows.measure import empty, fit
from saima.features.windows.prefix import FloatSums, IntSums, Squares, ratio
from saima.features.windows.runs import Runs
from saima.features.windows.single import Single

__all__ = ["ORDERED", "Timeline", "entries"]

Ints = npt.NDArray[np.int64]

THREADS = min(4, os.cpu_count() or 1)
MANY = 100_000
"""Rows and events from which threads pay."""

ORDERED = frozenset({"first", "last", "first_k", "last_k"})
"""Measures that depend on the order of events at one time."""


class Timeline:
    """The events of one group, ready for any number of windows."""

    def __init__(self, counted: pl.DataFrame, group: Group) -> None:
        """`counted` has `key`, `time` and, where they matter, `seq`, `offset`, `value`, as `rows.counted` returns."""
        self.group = group
        self._keys = KeyCodes(counted.get_column("key"))
        times: Ints = counted.get_column("time").to_numpy()
        self._moments = Moments(self._keys, times)
        order = sort_pairs(self._keys.codes, times)
        self._places = self._moments.places(self._moments.start(self._keys.codes), times)[order]
        if group.measures & ORDERED:
            settle(order, self._places, counted, group)
        self._order = order
        self._counted = counted

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """Values of the events: int64 or float64; zeros where events are counted."""
        if self.group.value is None:
            return np.zeros(len(self._order), np.int64)
        values: npt.NDArray[Any] = self._counted.get_column("value").to_numpy()[self._order]
        return values

    @cached_property
    def _series(self) -> pl.Series:
        return self._counted.get_column("value").gather(pl.Series(self._order))

    @cached_property
    def offsets(self) -> Ints:
        """Log offsets of the events, 0 in history."""
        if "offset" not in self._counted.columns:
            return np.zeros(len(self._order), np.int64)
        offsets: Ints = self._counted.get_column("offset").to_numpy()[self._order]
        return offsets

    def read(self, asks: Sequence[Ask], keys: pl.Series, q: Ints, position: Ints | None = None) -> dict[str, pl.Series]:
        """Values of the asks for rows of (key, q), by column, in the types of `dtype`; null where missing.

        `position`: only events with offset <= position count for a row. Raises WindowOverflow where an int64 sum
        does not fit.
        """
        codes = self._keys.of(keys)
        order = sort_pairs(np.maximum(codes, 0), q)  # sorted searches hit the cache
        codes, q = codes[order], q[order]
        position = None if position is None else position[order]
        known, starts = codes >= 0, self._moments.start(np.maximum(codes, 0))
        high = np.where(known, np.searchsorted(self._places, self._moments.places(starts, q)), 0)
        shapes: dict[tuple[int, int], list[Ask]] = {}
        for ask in asks:
            shapes.setdefault((ask.window.width, ask.window.hop), []).append(ask)

        def measure(wanted: list[Ask]) -> list[pl.Series]:
            tail = self._moments.places(starts, tails(wanted[0].window, q))
            low = np.where(known, np.searchsorted(self._places, tail), 0)
            runs = self._part(order, low, high, position)
            return [self._column(ask, runs) for ask in wanted]

        self._prepare({ask.measure for ask in asks}, position)
        with ThreadPoolExecutor(THREADS if len(order) >= MANY else 1) as pool:  # NumPy computes without the GIL
            columns = {series.name: series for found in pool.map(measure, shapes.values()) for series in found}
        return {ask.column: columns[ask.column] for ask in asks}

    def _prepare(self, measures: set[str], position: Ints | None) -> None:
        """Compute what several windows share, once, before they are measured side by side."""
        wanted = [] if self.group.is_text else ["values"]
        wanted += ["_sums"] if measures & {"sum", "mean", "variance"} and not self.group.is_text else []
        wanted += ["_squares"] if "variance" in measures and not self.group.is_float else []
        wanted += [f"_{name}" for measure, name in (("min", "least"), ("max", "greatest")) if measure in measures]
        wanted += ["_series"] if self.group.is_text else []
        wanted += ["_offset_extremes"] if position is not None else []
        wanted += ["_single"]
        first, *others = wanted
        getattr(self, first)
        with ThreadPoolExecutor(THREADS if len(self._places) >= MANY else 1) as pool:
            list(pool.map(lambda name: getattr(self, name), others))

    def _part(self, order: Ints, low: Ints, high: Ints, position: Ints | None) -> Runs:
        """Part rows into those whose run counts wholly, and those of which some events lie beyond the position."""
        whole = np.flatnonzero(high > low)
        partial: dict[int, Ints] = {}
        if position is not None and len(whole):
            beyond = self._offset_extremes.of(low[whole], high[whole]) > position[whole]
            for i in whole[beyond].tolist():
                run = np.arange(low[i], high[i])
                seen = run[self.offsets[run] <= position[i]]
                if len(seen):
                    partial[int(order[i])] = seen
            whole = whole[~beyond]
        if len(whole) == len(order):
            return Runs(len(order), order, low, high, partial)
        return Runs(len(order), order[whole], low[whole], high[whole], partial)

    def _column(self, ask: Ask, runs: Runs) -> pl.Series:
        kind = dtype(ask.measure, self.group)
        if ask.measure in ("first", "last"):
            at = runs.ends(ask.measure == "first")
            found = self._taken(np.maximum(at, 0)) if len(self._places) else pl.Series([None] * len(at), dtype=kind)
            return masked(found.alias(ask.column), at >= 0)
        if ask.measure in ("first_k", "last_k"):
            starts, at = runs.lists(ask.k, newest=ask.measure == "last_k")
            return lists(ask.column, starts, self._taken(at), kind)
        measured = self._vector(ask.measure, runs)
        if measured is None:
            return self._singly(ask, runs, kind)
        values = np.zeros(runs.n, np.float64 if kind.is_float() else np.int64)
        values[runs.rows] = measured if measured.dtype != object else [fit(total) for total in measured.tolist()]
        valid = np.ones(runs.n, bool) if empty(ask.measure) == 0 else runs.valid
        for i, run in runs.partial.items():
            values[i] = self._single.of(ask, run)
        return masked(pl.Series(ask.column, values), valid)

    def _singly(self, ask: Ask, runs: Runs, kind: pl.DataType) -> pl.Series:
        """A measure that is computed run by run."""
        objects: list[Any] = [empty(ask.measure)] * runs.n
        measure = self._single.whole(ask)
        for i, low, high in zip(runs.rows.tolist(), runs.low.tolist(), runs.high.tolist(), strict=True):
            objects[i] = measure(low, high)
        for i, run in runs.partial.items():
            objects[i] = self._single.of(ask, run)
        if ask.measure == "histogram":
            objects = [entries(tally) for tally in objects]
        return pl.Series(ask.column, objects, dtype=kind)

    def _taken(self, at: Ints) -> pl.Series:
        if self.group.is_text:
            return self._series.gather(pl.Series(at))
        return pl.Series(self.values[at])

    @cached_property
    def _single(self) -> Single:
        return Single(self.group, self._series if self.group.is_text else self.values)

    def _vector(self, measure: str, runs: Runs) -> npt.NDArray[Any] | None:
        """A measure of many runs at once; None for those that are computed run by run."""
        match measure:
            case "count":
                return runs.sizes
            case "sum":
                return self._total(runs)
            case "mean":
                return self._mean(runs)
            case "min":
                return self._least.of(runs.low, runs.high)
            case "max":
                return self._greatest.of(runs.low, runs.high)
            case "variance" if not self.group.is_float:
                return self._variance(runs)
        return None

    @cached_property
    def _offset_extremes(self) -> Extremes:
        return Extremes(self.offsets, np.maximum)

    @cached_property
    def _least(self) -> Extremes:
        return Extremes(self.values, np.minimum)

    @cached_property
    def _greatest(self) -> Extremes:
        return Extremes(self.values, np.maximum)

    @cached_property
    def _sums(self) -> IntSums | FloatSums:
        return FloatSums(self.values) if self.group.is_float else IntSums(self.values)

    @cached_property
    def _squares(self) -> Squares:
        return Squares(self.values)

    def _total(self, runs: Runs) -> npt.NDArray[Any]:
        if runs.totals is None:
            runs.totals = self._sums.of(runs.low, runs.high)
        return runs.totals

    def _mean(self, runs: Runs) -> npt.NDArray[Any]:
        counts = runs.sizes if self.group.units == 1 else runs.sizes.astype(object) * self.group.units
        means: npt.NDArray[Any] = self._total(runs).astype(np.float64) / counts.astype(np.float64)
        return means

    def _variance(self, runs: Runs) -> npt.NDArray[Any]:
        n, totals, squares = runs.sizes, self._total(runs), self._squares.of(runs.low, runs.high)
        longest = int(n.max(initial=0)) * self.group.units
        wide = object in (totals.dtype, squares.dtype) or longest >= 2**31
        if not wide and len(n):
            peak = max(abs(int(totals.min())), abs(int(totals.max())))
            wide = max(peak * peak, longest * int(squares.max())) >= 2**63
        if wide:
            n, totals, squares = n.astype(object), totals.astype(object), squares.astype(object)
        return ratio(n * squares - totals * totals, (n * self.group.units) ** 2)


def settle(order: Ints, places: Ints, counted: pl.DataFrame, group: Group) -> None:
    """Put events of one key and time in the order of seq and value."""
    same = places[1:] == places[:-1]
    if not same.any():
        return
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    columns = [name for name in ("seq", *(["value"] if group.value else [])) if name in counted.columns]
    rows = counted.select(columns)[order[tied]] if columns else pl.DataFrame()
    settled = rows.select(pl.arg_sort_by(pl.Series("place", places[tied]), *columns)).to_series() if columns else None
    if settled is not None:
        order[tied] = order[tied][settled.to_numpy()]


def tails(window: Window, q: Ints) -> Ints:
    """Tail of a window for many reads: floor(q - width, hop)."""
    starts = q - window.width
    return starts if window.hop == 0 else starts // window.hop * window.hop
