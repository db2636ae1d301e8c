"""Windows over history: every row of a request log at once, equal to the online read bit for bit.

Events lie sorted by key and time, ties by seq and value. A window is then a run [low, high) of them, found by binary
search; sums come from sums of beginnings, extremes from blocks, first and last from the run's ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.codes import KeyCodes, Moments, sort_pairs
from saima.features.windows.definition import LISTS, Ask, Group, Window, percent
from saima.features.windows.extremes import Extremes
from saima.features.windows.measure import empty, fit
from saima.features.windows.prefix import FloatSums, IntSums, Squares, ratio
from saima.features.windows.runs import Runs
from saima.features.windows.single import Single

Ints = npt.NDArray[np.int64]

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
        self._places = self._moments.places(self._moments.start(self._keys.codes[order]), times[order])
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
        runs: dict[tuple[int, int], Runs] = {}
        out: dict[str, pl.Series] = {}
        for ask in asks:
            shape = (ask.window.width, ask.window.hop)
            if shape not in runs:
                tail = self._moments.places(starts, tails(ask.window, q))
                low = np.where(known, np.searchsorted(self._places, tail), 0)
                runs[shape] = self._part(order, low, high, position)
            out[ask.column] = self._column(ask, runs[shape])
        return out

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


def masked(series: pl.Series, valid: npt.NDArray[np.bool_]) -> pl.Series:
    """The series, null where it is not valid."""
    return series if valid.all() else pl.select(pl.when(pl.Series(valid)).then(series).alias(series.name)).to_series()


def tails(window: Window, q: Ints) -> Ints:
    """Tail of a window for many reads: floor(q - width, hop)."""
    starts = q - window.width
    return starts if window.hop == 0 else starts // window.hop * window.hop


def lists(name: str, starts: Ints, values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Lists cut from values at n + 1 starts."""
    sizes = pl.Series(np.diff(starts))
    rows = pl.DataFrame({"row": pl.Series(np.repeat(np.arange(len(sizes)), sizes.to_numpy())), "value": values})
    grouped = rows.group_by("row", maintain_order=True).agg("value")
    each = pl.DataFrame({"row": pl.Series(np.arange(len(sizes)))})
    every = each.join(grouped, on="row", how="left", maintain_order="left")
    return every.get_column("value").cast(kind).fill_null(pl.Series([[]], dtype=kind)).alias(name)


def dtype(measure: str, group: Group) -> pl.DataType:
    """Type of a measure's column; a histogram is a list of {key, value}, a decimal its digits."""
    value = pl.String() if group.is_text else pl.Float64() if group.is_float else pl.Int64()
    if measure in ("count", "distinct", "approx_distinct"):
        return pl.Int64()
    if measure in ("mean", "variance") or percent(measure) is not None:
        return pl.Float64()
    if measure in LISTS:
        return pl.List(value)
    return pl.List(pl.Struct({"key": pl.String(), "value": pl.Int64()})) if measure == "histogram" else value


def entries(tally: dict[str, int]) -> list[dict[str, Any]]:
    """A histogram as a column holds it."""
    return [{"key": key, "value": count} for key, count in tally.items()]
