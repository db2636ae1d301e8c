"""GrowthBook's gbstats on the same samples, run by its own environment's interpreter; JSON on stdout.

gbstats takes sums that a warehouse's SQL has made, anew for every look; here Polars makes them, look by look. It
adjusts means by covariates, not ratios: those stay plain. The time of the sums and of the statistics is apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import pandas as pd
import polars as pl
from gbstats.gbstats import process_analysis
from gbstats.models.settings import AnalysisSettingsForStatsEngine, MetricSettingsForStatsEngine
from workload import DAY, DAYS, MEANS, RATIOS, START, samples

ARMS = ["control", "treatment"]
TODAY = "all"


def metric(name: str) -> MetricSettingsForStatsEngine:
    """A mean with its covariate, or a ratio."""
    if name in RATIOS:
        return MetricSettingsForStatsEngine(name, name, "ratio", "count", denominator_metric_type="count")
    return MetricSettingsForStatsEngine(name, name, "mean_ra", "count", covariate_metric_type="count")


def sums(frame: pl.LazyFrame, dimension: str | None) -> dict[str, pd.DataFrame]:
    """The rows that gbstats wants of each metric, from one group_by over units."""
    names = [*MEANS, *RATIOS]
    units = frame.group_by("unit", "arm").agg(
        pl.col([*names, *(f"{name}_of" for name in RATIOS)]).sum(),
        pl.col([f"before{n}" for n in range(len(names))]).first(),
        pl.col("country").first(),
    )
    value = pl.lit(TODAY) if dimension is None else pl.col(dimension)
    aggregated = (
        units.group_by(value.alias("dimension"), "arm")
        .agg(
            pl.len().alias("users"),
            *(
                expression.alias(f"{name}:{column}")
                for n, name in enumerate(names)
                for column, expression in columns(name, n).items()
            ),
        )
        .collect()
    )
    shared = [pl.col("dimension"), pl.col("arm").alias("variation"), "users", pl.col("users").alias("count")]
    found = {}
    for n, name in enumerate(names):
        chosen = aggregated.select(*shared, *(pl.col(f"{name}:{column}").alias(column) for column in columns(name, n)))
        found[name] = pd.DataFrame(chosen.to_dict(as_series=False))
    return found


def columns(name: str, n: int) -> dict[str, pl.Expr]:
    """gbstats' names of the sums of a metric."""
    kind, other = ("denominator", f"{name}_of") if name in RATIOS else ("covariate", f"before{n}")
    x, y = pl.col(name), pl.col(other)
    return {
        "main_sum": x.sum(),
        "main_sum_squares": (x * x).sum(),
        f"{kind}_sum": y.sum(),
        f"{kind}_sum_squares": (y * y).sum(),
        f"main_{kind}_sum_product": (x * y).sum(),
    }


def main() -> None:
    """Fourteen looks at ten metrics, and the segments at the last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=1_000_000)
    given = parser.parse_args()
    analysis = AnalysisSettingsForStatsEngine(
        ARMS, ARMS, [0.5, 0.5], stats_engine="frequentist", sequential_testing_enabled=True
    )
    frame = samples(given.units)
    spent = {"sums": [0.0, 0.0], "statistics": [0.0, 0.0]}

    def clocked(what: str, since: tuple[float, float]) -> None:
        spent[what][0] += time.perf_counter() - since[0]
        spent[what][1] += time.process_time() - since[1]

    last = None
    for look in range(1, DAYS + 2):
        since = time.perf_counter(), time.process_time()
        rows = frame.lazy().filter(pl.col("time") < START + min(look, DAYS) * DAY)
        made = sums(rows, "country" if look > DAYS else None)
        clocked("sums", since)
        since = time.perf_counter(), time.process_time()
        for name, table in made.items():
            last = process_analysis(table, {arm: n for n, arm in enumerate(ARMS)}, metric(name), analysis)
        clocked("statistics", since)
    print(
        json.dumps(
            {
                **{f"{what}_seconds": wall for what, (wall, _) in spent.items()},
                **{f"{what}_cpu_seconds": used for what, (_, used) in spent.items()},
                "segments": 0 if last is None else len(last),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
