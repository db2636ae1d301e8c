"""Units of the past with their values of an experiment's metrics, whatever arm they were in: what planning reads."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from tea_tasting.aggr import Aggregates

from ab import metrics
from ab.moments import from_frame
from saima.errors import SaimaError
from saima.routing.experiments import Experiment

DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Past:
    """`frame` has one row a unit: unit, day (of its first sample, counted from the first of all), and
    `<metric>:value`, `<metric>:denominator`; days: how many the samples span."""

    frame: pl.DataFrame
    days: int

    def moments(self, metric: str) -> Aggregates:
        """Moments of a metric over all units."""
        columns = [f"{metric}:value", f"{metric}:denominator"]
        return from_frame(self.frame.lazy().with_columns(all=pl.lit(0)), "all", columns)[(0,)]


def past(experiment: Experiment, samples: pl.LazyFrame) -> Past:
    """Units by the experiment's unit field where the samples have it, else by the unit they were served as.

    Raises SaimaError where no sample has an outcome.
    """
    unit = experiment.unit if experiment.unit in samples.collect_schema() else "unit"
    known = samples.filter(pl.col("label").is_not_null() & pl.col(unit).is_not_null())
    known = known.with_columns(unit=pl.col(unit).cast(pl.String), arm=pl.lit(""))
    seen = known.group_by("unit").agg(pl.col("time").min().cast(pl.Int64)).collect()
    if not seen.height:
        raise SaimaError(f"no sample of experiment '{experiment.experiment}' has an outcome yet: there is no past")
    sums = metrics.sums(known, experiment.metrics).drop("arm", "day").group_by("unit").agg(pl.all().sum()).collect()
    day = ((pl.col("time") - pl.col("time").min()) // DAY).alias("day")
    frame = seen.select("unit", day).join(sums, on="unit").sort("unit")
    return Past(frame, int(frame["day"].to_numpy().max()) + 1)
