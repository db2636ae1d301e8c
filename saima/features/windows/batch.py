"""Windows over history: every row of a request log at once, equal to the online read bit for bit.

Events lie sorted by key, time, seq. A window is then a run [low, high) of them, found by binary search; sums come from
exact prefix sums, extremes from a sparse table (Bender and Farach-Colton, 2000), first and last from the run's ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.partial import NEEDS, Component, Row, components, empty, fit, result

Ints = npt.NDArray[np.int64]


class Extremes:
    """Extremes of runs of an array in constant time a run, after n log n."""

    def __init__(self, values: npt.NDArray[Any], pick: Callable[..., Any]) -> None:
        self._pick = pick
        self._levels = [values]

    def of(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        """Extremes of the runs [low, high), none of them empty."""
        sizes = high - low
        level = np.frexp(sizes.astype(np.float64))[1] - 1  # floor(log2(size))
        for _ in range(len(self._levels), int(level.max(initial=0)) + 1):
            last, step = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(np.concatenate([self._pick(last[:-step], last[step:]), last[-step:]]))
        out = np.empty(len(low), self._levels[0].dtype)
        for depth in map(int, np.unique(level)):
            at = level == depth
            table = self._levels[depth]
            out[at] = self._pick(table[low[at]], table[high[at] - (1 << depth)])
        return out


@dataclass(frozen=True)
class Runs:
    """Per row the run [low, high); `full` rows count it whole, `partial` ones the listed events, others nothing."""

    low: Ints
    high: Ints
    full: npt.NDArray[np.bool_]
    partial: dict[int, Ints]


class Timeline:
    """The events of one group, ready for any number of windows."""

    def __init__(self, counted: pl.DataFrame, group: Group) -> None:
        """`counted` has `key`, `time`, `seq`, `offset`, `value`, as `rows.counted` returns it."""
        self.group = group
        order = ["key", "time", "seq", *(["value"] if group.value is not None else [])]
        frame = counted.sort(order)
        self._keys = frame.get_column("key").unique(maintain_order=True)
        self.times: Ints = frame.get_column("time").to_numpy()
        self.seqs: Ints = frame.get_column("seq").to_numpy()
        self.offsets: Ints = frame.get_column("offset").to_numpy()
        self._moments: Ints = np.unique(self.times)
        codes = self.codes(frame.get_column("key"))
        self._places = codes * (len(self._moments) + 1) + np.searchsorted(self._moments, self.times)
        self._value = frame.get_column("value")
        self._components: dict[str, Component] = components(group)

    def codes(self, keys: pl.Series) -> Ints:
        """Place of each key among the known ones (ascending), -1 for others and null."""
        known = pl.DataFrame({"key": self._keys, "code": pl.Series(range(len(self._keys)), dtype=pl.Int64)})
        joined = keys.rename("key").to_frame().join(known, on="key", how="left", maintain_order="left")
        codes: Ints = joined.get_column("code").fill_null(-1).to_numpy()
        return codes

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """Values of the events: int64, float64, or objects for text; zeros where events are counted."""
        if self.group.value is None:
            return np.zeros(len(self.times), np.int64)
        if self.group.is_text:
            return np.array(self._value.to_list(), object)
        array: npt.NDArray[Any] = self._value.to_numpy()
        return array

    def places(self, codes: Ints, times: Ints) -> Ints:
        """Index of the first event of each key at or after each time."""
        wanted = codes * (len(self._moments) + 1) + np.searchsorted(self._moments, times)
        return np.searchsorted(self._places, wanted).astype(np.int64)

    def read(self, asks: Sequence[Ask], keys: pl.Series, q: Ints, position: Ints | None = None) -> dict[str, pl.Series]:
        """Values of the asks for rows of (key, q), by column, in the types of `dtype`; null where missing.

        `position`: only events with offset <= position count for a row. Raises WindowOverflow where an int64 sum
        does not fit.
        """
        codes = self.codes(keys)
        known = codes >= 0
        high = np.where(known, self.places(codes, q), 0)
        runs: dict[Window, Runs] = {}
        out: dict[str, pl.Series] = {}
        for ask in asks:
            if ask.window not in runs:
                low = np.where(known, self.places(codes, tails(ask.window, q)), 0)
                runs[ask.window] = self._part(low, high, position)
            out[ask.column] = self._column(ask, runs[ask.window])
        return out

    def _part(self, low: Ints, high: Ints, position: Ints | None) -> Runs:
        """Part rows into those whose run counts wholly, and those of which some events lie beyond the position."""
        full = high > low
        partial: dict[int, Ints] = {}
        if position is not None and full.any():
            some = np.flatnonzero(full)
            for i in some[self._offset_extremes.of(low[some], high[some]) > position[some]]:
                run = np.arange(low[i], high[i])
                partial[int(i)] = run[self.offsets[run] <= position[i]]
                full[i] = False
        return Runs(low, high, full, {i: run for i, run in partial.items() if len(run)})

    def _column(self, ask: Ask, runs: Runs) -> pl.Series:
        n, kind = len(runs.full), dtype(ask.measure, self.group)
        vector = self._vectors.get(ask.measure)
        low, high = runs.low[runs.full], runs.high[runs.full]
        if vector is not None and kind.is_numeric():
            values = np.zeros(n, np.float64 if kind.is_float() else np.int64)
            valid = np.ones(n, bool) if empty(ask.measure) == 0 else runs.full.copy()
            if len(low):
                values[runs.full] = vector(low, high)
            for i, run in runs.partial.items():
                values[i], valid[i] = self._one(ask, run), True
            return masked(pl.Series(ask.column, values), valid)
        objects: list[Any] = [empty(ask.measure) for _ in range(n)]
        for i in np.flatnonzero(runs.full).tolist():
            objects[i] = self._one(ask, np.arange(runs.low[i], runs.high[i]))
        for i, run in runs.partial.items():
            objects[i] = self._one(ask, run)
        if ask.measure == "histogram":
            objects = [entries(tally) for tally in objects]
        return pl.Series(ask.column, objects, dtype=kind)

    @cached_property
    def _vectors(self) -> dict[str, Callable[[Ints, Ints], npt.NDArray[Any]]]:
        """Measures of many runs at once; the others are computed run by run."""
        return {
            "count": self._count, "sum": self._sum, "mean": self._mean, "variance": self._variance,
            "min": self._min, "max": self._max, "first": self._first, "last": self._last,
        }  # fmt: skip

    def _one(self, ask: Ask, run: Ints) -> Any:
        """A measure over chosen events, as the online read computes it."""
        if ask.measure in ("first", "first_k"):
            run = run[: ask.k if ask.measure == "first_k" else 1]
        elif ask.measure in ("last", "last_k"):
            run = run[-ask.k if ask.measure == "last_k" else -1 :]
        rows: list[Row] = list(
            zip(self.times[run].tolist(), self.seqs[run].tolist(), self.values[run].tolist(), strict=True)
        )
        needs = ("squares",) if ask.measure == "variance" and self.group.is_float else NEEDS[ask.measure]
        return result(ask.measure, {name: self._components[name].of(rows) for name in needs}, ask.k)

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
    def _sums(self) -> npt.NDArray[Any]:
        return prefix(self.values)

    @cached_property
    def _square_sums(self) -> npt.NDArray[Any]:
        bound = int(np.abs(self.values.astype(object)).max(initial=0)) if len(self.values) else 0
        wide = bound * bound * len(self.values) ** 2 >= 2**62
        return prefix(self.values.astype(object) ** 2 if wide else self.values**2)

    def _count(self, low: Ints, high: Ints) -> Ints:
        return high - low

    def _total(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        if self.group.is_float:
            return run_sums(self.values, low, high)
        totals: npt.NDArray[Any] = self._sums[high] - self._sums[low]
        return totals

    def _sum(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        totals = self._total(low, high)
        return np.array([fit(total) for total in totals], np.int64) if totals.dtype == object else totals

    def _mean(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        means: npt.NDArray[Any] = self._total(low, high).astype(np.float64) / (high - low)
        return means

    def _variance(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        if self.group.is_float:
            return np.array([np.var(self.values[a:b]) for a, b in zip(low, high, strict=True)])
        n = high - low
        squares = self._square_sums[high] - self._square_sums[low]
        totals = (self._sums[high] - self._sums[low]).astype(squares.dtype)
        spread: npt.NDArray[Any] = (n * squares - totals * totals).astype(np.float64) / (n * n).astype(np.float64)
        return spread

    def _min(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        return self._least.of(low, high)

    def _max(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        return self._greatest.of(low, high)

    def _first(self, low: Ints, _: Ints) -> npt.NDArray[Any]:
        firsts: npt.NDArray[Any] = self.values[low]
        return firsts

    def _last(self, _: Ints, high: Ints) -> npt.NDArray[Any]:
        lasts: npt.NDArray[Any] = self.values[high - 1]
        return lasts


def masked(series: pl.Series, valid: npt.NDArray[np.bool_]) -> pl.Series:
    """The series, null where it is not valid."""
    return series if valid.all() else pl.select(pl.when(pl.Series(valid)).then(series).alias(series.name)).to_series()


def tails(window: Window, q: Ints) -> Ints:
    """Tail of a window for many reads: floor(q - width, hop)."""
    starts = q - window.width
    return starts if window.hop == 0 else starts // window.hop * window.hop


def prefix(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums of the first 0, 1, 2, ... values, exact: Python's integers where int64 might not hold them."""
    if values.dtype != object:
        bound = max(abs(int(values.max(initial=0))), abs(int(values.min(initial=0))))
        if bound * max(len(values), 1) >= 2**62:
            values = values.astype(object)
    sums = np.zeros(len(values) + 1, values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums


def run_sums(values: npt.NDArray[Any], low: Ints, high: Ints) -> npt.NDArray[Any]:
    """Sums of the runs [low, high) of floats, none of them empty."""
    padded = np.append(values, 0.0)
    sums: npt.NDArray[Any] = np.add.reduceat(padded, np.column_stack([low, high]).ravel())[::2]
    return sums


def dtype(measure: str, group: Group) -> pl.DataType:
    """Type of a measure's column; a histogram is a list of {key, value}."""
    value = pl.String() if group.is_text else pl.Float64() if group.is_float else pl.Int64()
    match measure:
        case "count" | "distinct":
            return pl.Int64()
        case "mean" | "variance":
            return pl.Float64()
        case "first_k" | "last_k" | "top_k":
            return pl.List(value)
        case "histogram":
            return pl.List(pl.Struct({"key": pl.String(), "value": pl.Int64()}))
        case _:
            return value


def entries(tally: dict[str, int]) -> list[dict[str, Any]]:
    """A histogram as a column holds it."""
    return [{"key": key, "value": count} for key, count in tally.items()]
