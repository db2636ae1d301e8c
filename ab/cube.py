"""Sufficient statistics of every metric by arm, day and segment: one lazy Polars group_by feeds every look.

A look takes all data up to a day. A unit's sums grow from day to day, so a square up to day d is the sum over days of
(square so far - square before): each unit's rows are read once, however many looks there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tea_tasting.aggr import Aggregates

OTHER = "other"
"""What stands for the values of a segment that are not among its most frequent ones."""

_VALUES = 8
_LARGEST = 2**40
"""Above it combinations are numbered anew, long before int64 overflows."""
_ROLES = ("value", "denominator", "covariate", "covariate_denominator")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one metric in a cube's `Aggregates`; None: the metric has no such column."""

    value: str
    denominator: str | None
    covariate: str | None
    covariate_denominator: str | None

    def present(self) -> list[str]:
        """Those that are there."""
        named = (self.value, self.denominator, self.covariate, self.covariate_denominator)
        return [name for name in named if name is not None]


@dataclass(frozen=True, slots=True)
class Cube:
    """Moments by arm, day and segment. `cells` has arm, day, the segments, and sums of each metric about its pivot."""

    cells: pl.DataFrame
    metrics: Mapping[str, Columns]
    segments: Sequence[str]
    pivots: Mapping[str, float]

    def total(self, metric: str) -> dict[str, Aggregates]:
        """Moments of a metric by arm, of all data."""
        return {str(key[0]): moments for key, moments in self._moments(metric, ["arm"]).items()}

    def by_segment(self, metric: str, segment: str) -> dict[tuple[str, str], Aggregates]:
        """Moments by (value of the segment, arm), of all data."""
        found = self._moments(metric, [segment, "arm"])
        return {(str(value), str(arm)): moments for (value, arm), moments in found.items()}

    def by_day(self, metric: str) -> dict[tuple[str, str], Aggregates]:
        """Moments by (day, arm) of all data up to that day's end, for every day of the cube and every arm."""
        columns = self._columns(metric)
        grid = self.cells.select(pl.col("day").unique()).join(self.cells.select(pl.col("arm").unique()), how="cross")
        summed = self.cells.group_by("arm", "day").agg(pl.col(columns).sum())
        grown = (
            grid.join(summed, on=["arm", "day"], how="left")
            .with_columns(pl.col(columns).fill_null(0.0))
            .sort("arm", "day")
            .with_columns(pl.col(columns).cum_sum().over("arm"))
        )
        return {(row["day"], row["arm"]): self._aggregates(metric, row) for row in grown.to_dicts()}

    def days(self) -> list[str]:
        """Days in order."""
        return self.cells["day"].unique().sort().to_list()

    def values(self, segment: str) -> list[str]:
        """Values of a segment in order of their names, `other` last."""
        return sorted(self.cells[segment].unique().to_list(), key=lambda value: (value == OTHER, value))

    def _columns(self, metric: str) -> list[str]:
        names = self.metrics[metric].present()
        pairs = [f"{a}*{b}" for a, b in combinations_with_replacement(names, 2)]
        return [f"n:{metric}", *(f"sum:{name}" for name in names), *(f"sum:{pair}" for pair in pairs)]

    def _moments(self, metric: str, keys: Sequence[str]) -> dict[tuple[object, ...], Aggregates]:
        summed = self.cells.group_by(*keys).agg(pl.col(self._columns(metric)).sum())
        return {tuple(row[key] for key in keys): self._aggregates(metric, row) for row in summed.to_dicts()}

    def _aggregates(self, metric: str, row: Mapping[str, float]) -> Aggregates:
        n, names = round(row[f"n:{metric}"]), self.metrics[metric].present()
        nothing = float("nan")
        variances, covariances = {}, {}
        for a, b in combinations_with_replacement(names, 2):
            product = row[f"sum:{a}*{b}"] - row[f"sum:{a}"] * row[f"sum:{b}"] / n if n else nothing
            moment = product / (n - 1) if n > 1 else nothing
            if a == b:
                variances[a] = max(moment, 0.0) if n > 1 else moment
            else:
                covariances[(a, b) if a <= b else (b, a)] = moment
        means = {name: self.pivots[name] + row[f"sum:{name}"] / n if n else nothing for name in names}
        return Aggregates(count_=n, mean_=means, var_=variances, cov_=covariances)


def cube(
    sums: pl.LazyFrame,
    metrics: Iterable[str],
    segments: Sequence[str] = (),
    winsorise: Mapping[str, float] | None = None,
) -> Cube:
    """The cube of unit sums by day.

    sums: unit, arm, day and, of each metric, `<metric>:value` with, where there is one, `:denominator` (float64), and
    `:covariate`, `:covariate_denominator`, which repeat on every row of a unit; columns of `segments` repeat too. A
    unit counts for a metric from the day on which its denominator is not 0; without a denominator, from its first.
    winsorise: by metric, the share of unit values above which a unit's value and denominator are capped, pooled.
    """
    schema = sums.collect_schema().names()
    columns = {metric: _columns_of(metric, schema) for metric in metrics}
    rows = _grown(sums, columns, segments)
    caps = _caps(rows, columns, winsorise or {})
    rows = rows.with_columns(pl.col(name).clip(upper_bound=cap) for name, cap in caps.items())
    pivots = _pivots(rows, columns)
    cells = rows.select("cell", "arm", "day", *segments).unique("cell", keep="first").sort("cell")
    summed = [sums for metric, named in columns.items() for sums in _summed(rows, metric, named, pivots)]
    return Cube(cells.drop("cell").with_columns(summed), columns, tuple(segments), pivots)


def _columns_of(metric: str, schema: Sequence[str]) -> Columns:
    value, *rest = (f"{metric}:{role}" for role in _ROLES)
    denominator, covariate, covariate_denominator = (name if name in schema else None for name in rest)
    return Columns(value, denominator, covariate, covariate_denominator)


def _grown(sums: pl.LazyFrame, columns: Mapping[str, Columns], segments: Sequence[str]) -> pl.DataFrame:
    """Rows by unit and day, their sums so far: `nth` row of its unit, whether its `last`, and the `cell` it is in."""
    growing = sorted({n for each in columns.values() for n in (each.value, each.denominator) if n is not None})
    still = sorted({n for e in columns.values() for n in (e.covariate, e.covariate_denominator) if n is not None})
    first = pl.col("unit").ne_missing(pl.col("unit").shift(1)) | (pl.col("row") == 0)
    frame = sums.select(
        "unit", "arm", "day", *segments, pl.col(growing + still).cast(pl.Float64).fill_null(0.0)
    ).collect(engine="in-memory")
    frame = (
        _ordered(frame)
        .lazy()
        .with_row_index("row")
        .with_columns(nth=pl.col("row") - pl.when(first).then("row").forward_fill(), last=first.shift(-1))
        .with_columns(pl.col("last").fill_null(True))
        .drop("row", "unit")
        .collect(engine="in-memory")
    )
    frame = frame.with_columns(_frequent(frame, name).alias(name) for name in segments)
    longest, step = int(frame["nth"].max() or 0), 1  # type: ignore[arg-type]  # an unsigned integer
    while step <= longest:
        # Sums so far in log2(days) passes over whole columns; a running sum by group costs ten times as much.
        frame = frame.with_columns(
            pl.when(pl.col("nth") >= step).then(pl.col(name) + pl.col(name).shift(step)).otherwise(pl.col(name))
            for name in growing
        )
        step *= 2
    return frame.with_columns(_cells(frame, ["arm", "day", *segments]))


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by unit and day; sums come so, and to see it costs a tenth of sorting them."""
    unit, day = frame["unit"], frame["day"]
    same = unit.slice(1).eq_missing(unit.shift(1).slice(1))
    falls = (unit.slice(1) < unit.shift(1).slice(1)) | (same & (day.slice(1) < day.shift(1).slice(1)))
    ordered = not falls.any() and not unit.has_nulls() and not day.has_nulls()
    return frame if ordered else frame.sort("unit", "day")


def _cells(frame: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """A whole number for each combination of the keys' values, from 0 without a gap."""
    cell, largest = np.zeros(frame.height, np.int64), 1
    for key in keys:
        values = frame[key].cast(pl.String)
        known = values.unique().drop_nulls()
        code = values.cast(pl.Enum(known)).to_physical().cast(pl.Int64).fill_null(len(known))
        largest *= len(known) + 1
        cell = cell * (len(known) + 1) + code.to_numpy()
        if largest > _LARGEST:
            cell, largest = _dense(cell), frame.height
    return pl.Series("cell", _dense(cell))


def _dense(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each number among the distinct ones."""
    return np.unique(numbers, return_inverse=True)[1]


def _frequent(frame: pl.DataFrame, name: str) -> pl.Expr:
    """The segment as text, its rarer values as `other`."""
    text = pl.col(name).cast(pl.String).fill_null("unknown")
    known = frame.filter("last").select(text).to_series().value_counts(sort=True).get_column(name)
    if len(known) <= _VALUES:
        return text
    return pl.when(text.is_in(known.head(_VALUES - 1).implode())).then(text).otherwise(pl.lit(OTHER)).alias(name)


def _caps(rows: pl.DataFrame, columns: Mapping[str, Columns], winsorise: Mapping[str, float]) -> dict[str, float]:
    caps = {}
    for metric, share in winsorise.items():
        last = rows.select("last", *columns[metric].present()).filter(pl.col("last") & _counted(columns[metric]))
        for name in (columns[metric].value, columns[metric].denominator):
            cap = None if name is None else last[name].quantile(share, "higher")
            if name is not None and cap is not None:
                caps[name] = float(cap)
    return caps


def _counted(named: Columns) -> pl.Expr:
    return pl.lit(True) if named.denominator is None else pl.col(named.denominator) != 0


def _pivots(rows: pl.DataFrame, columns: Mapping[str, Columns]) -> dict[str, float]:
    """Means of unit sums: squares about them keep their digits where a mean is large beside its spread."""
    names = sorted({name for each in columns.values() for name in each.present()})
    found = rows.select(pl.col(names).filter("last").mean()) if names else pl.DataFrame()
    return {name: found[name][0] or 0.0 for name in names}


def _summed(rows: pl.DataFrame, metric: str, named: Columns, pivots: Mapping[str, float]) -> list[pl.Series]:
    """What the rows of each cell add to its sums: their units' squares so far less those of the rows before."""
    names, divisor = named.present(), named.denominator
    counted = np.ones(rows.height, np.bool_) if divisor is None else rows[divisor].to_numpy() != 0
    cell, size = rows["cell"].to_numpy(), int(rows["cell"].n_unique())
    before = np.flatnonzero(~rows["last"].to_numpy())  # a row that another of its unit follows
    there = cell[before + 1]

    def added(values: NDArray[np.float64], earlier: NDArray[np.float64], name: str) -> pl.Series:
        return pl.Series(name, np.bincount(cell, values, size) - np.bincount(there, earlier, size))

    here = {name: np.where(counted, rows[name].to_numpy() - pivots[name], 0.0) for name in names}
    was = {name: values[before] for name, values in here.items()}
    with np.errstate(over="ignore", invalid="ignore"):  # sums beyond float64 are seen, and said, where they are used
        found = [added(counted.astype(np.float64), counted[before].astype(np.float64), f"n:{metric}")]
        found += [added(here[name], was[name], f"sum:{name}") for name in names]
        found += [
            added(here[a] * here[b], was[a] * was[b], f"sum:{a}*{b}")
            for a, b in combinations_with_replacement(names, 2)
        ]
    return found
