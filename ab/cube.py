"""Sufficient statistics of every metric by arm, day and segment: one lazy Polars group_by feeds every look.

A look takes all data up to a day. A unit's sums grow from day to day, so a square up to day d is the sum over days of
(square so far - square before): each unit's rows are read once, however many looks there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import polars as pl
from tea_tasting.aggr import Aggregates

OTHER = "other"
"""What stands for the values of a segment that are not among its most frequent ones."""

_VALUES = 8
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
    cells = rows.select("cell", "arm", "day", *segments).unique("cell", maintain_order=True)
    for metric, named in columns.items():
        cells = cells.join(_summed(rows.lazy(), metric, named, pivots).collect(), on="cell", how="left")
    return Cube(cells.drop("cell"), columns, tuple(segments), pivots)


def _columns_of(metric: str, schema: Sequence[str]) -> Columns:
    value, *rest = (f"{metric}:{role}" for role in _ROLES)
    denominator, covariate, covariate_denominator = (name if name in schema else None for name in rest)
    return Columns(value, denominator, covariate, covariate_denominator)


def _grown(sums: pl.LazyFrame, columns: Mapping[str, Columns], segments: Sequence[str]) -> pl.DataFrame:
    """Rows by unit and day, their sums so far: `nth` row of its unit, whether its `last`, and the `cell` it is in."""
    growing = sorted({n for each in columns.values() for n in (each.value, each.denominator) if n is not None})
    still = sorted({n for e in columns.values() for n in (e.covariate, e.covariate_denominator) if n is not None})
    first = pl.col("unit").ne_missing(pl.col("unit").shift(1)) | (pl.col("row") == 0)
    frame = (
        sums.select("unit", "arm", "day", *segments, pl.col(growing + still).cast(pl.Float64).fill_null(0.0))
        .sort("unit", "day")
        .with_row_index("row")
        .with_columns(nth=pl.col("row") - pl.when(first).then("row").forward_fill(), last=first.shift(-1))
        .with_columns(pl.col("last").fill_null(True))
        .drop("row", "unit")
        .collect()
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
    keys = ["arm", "day", *segments]
    cells = frame.select(keys).unique(maintain_order=True).with_row_index("cell")
    return frame.join(cells, on=keys, how="left", nulls_equal=True, maintain_order="left")


def _frequent(frame: pl.DataFrame, name: str) -> pl.Expr:
    """The segment as text, its rarer values as `other`."""
    text = pl.col(name).cast(pl.String).fill_null("unknown")
    known = frame.filter("last").select(text).to_series().value_counts(sort=True).get_column(name)
    if len(known) <= _VALUES:
        return text
    return pl.when(text.is_in(known.head(_VALUES - 1).implode())).then(text).otherwise(pl.lit(OTHER)).alias(name)


def _caps(rows: pl.DataFrame, columns: Mapping[str, Columns], winsorise: Mapping[str, float]) -> dict[str, float]:
    last, caps = rows.filter("last"), {}
    for metric, share in winsorise.items():
        for name in (columns[metric].value, columns[metric].denominator):
            cap = None if name is None else last.filter(_counted(columns[metric]))[name].quantile(share, "higher")
            if name is not None and cap is not None:
                caps[name] = float(cap)
    return caps


def _counted(named: Columns) -> pl.Expr:
    return pl.lit(True) if named.denominator is None else pl.col(named.denominator) != 0


def _pivots(rows: pl.DataFrame, columns: Mapping[str, Columns]) -> dict[str, float]:
    """Means of unit sums: squares about them keep their digits where a mean is large beside its spread."""
    names = sorted({name for each in columns.values() for name in each.present()})
    found = rows.filter("last").select(pl.col(names).mean()) if names else pl.DataFrame()
    return {name: found[name][0] or 0.0 for name in names}


def _summed(rows: pl.LazyFrame, metric: str, named: Columns, pivots: Mapping[str, float]) -> pl.LazyFrame:
    """What the rows of a cell add to its sums: their units' squares so far less those of the rows before."""
    names, counted, later = named.present(), f"n:{metric}", pl.col("nth") > 0
    here = (
        rows.select("cell", "nth", _counted(named).alias(counted), *names)
        .with_columns(pl.when(counted).then(pl.col(name) - pivots[name]).otherwise(0.0) for name in names)
        .with_columns(pl.col(counted).cast(pl.Float64))
        .with_columns(
            pl.when(later).then(pl.col(name).shift(1)).otherwise(0.0).alias(f"was:{name}") for name in [counted, *names]
        )
    )
    pairs = list(combinations_with_replacement(names, 2))
    return here.group_by("cell").agg(
        (pl.col(counted) - pl.col(f"was:{counted}")).sum(),
        *((pl.col(name) - pl.col(f"was:{name}")).sum().alias(f"sum:{name}") for name in names),
        *(
            (pl.col(a) * pl.col(b) - pl.col(f"was:{a}") * pl.col(f"was:{b}")).sum().alias(f"sum:{a}*{b}")
            for a, b in pairs
        ),
    )
