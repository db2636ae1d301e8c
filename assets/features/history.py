"""The feature table of history: point-in-time features of every recorded request, by day."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets import gates, keys, plots, schema
from assets.recordings import DAY, Recording
from saima.features import Algorithm
from saima.features.backfill import backfill
from saima.features.declaration import Declaration
from saima.features.durations import milliseconds

NAME = "history_features"


def history_features(algorithm: Algorithm, recording: Recording) -> dg.AssetsDefinition:
    """Asset that computes the features of recorded requests as they were known at their moment."""
    name, declaration = algorithm.name, algorithm.declaration
    asset, table = keys.key(name, NAME), f"{name}/{NAME}"
    topics = list(declaration.sources)
    mapping = dg.TimeWindowPartitionMapping(
        start_offset=-lookback(declaration), allow_nonexistent_upstream_partitions=True
    )
    ins = {topic: dg.AssetIn(keys.history(name, topic), partition_mapping=mapping) for topic in topics}

    @dg.asset(
        key=asset,
        ins=ins,
        **keys.common(declaration, keys.FEATURES),
        kinds={"deltalake", "polars"},
        description="Features of every recorded request, each value as it was known at the request's moment: "
        f"{len(declaration.features)} features compiled from algorithm.yaml, by the same plan that serves.",
        partitions_def=recording.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="tables",
        code_version=algorithm.plan.hash[:12],
        metadata={
            "table": table,
            "dagster/column_schema": schema.of_features(declaration),
            "dagster/column_lineage": schema.feature_lineage(algorithm, recording.requests),
        },
        check_specs=gates.specs(algorithm, asset, table),
    )
    def history_features(
        context: dg.AssetExecutionContext, **events: pl.LazyFrame
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        window = context.partition_time_window
        first, last = (int(moment.timestamp() * 1000) for moment in (window.start, window.end))
        asked = events[recording.requests].filter(pl.col("time").is_between(first, last, closed="left"))
        requests = asked.select("time", trace=pl.col("key"), **_fields(declaration))
        ids = [pl.col("trace"), pl.col("time"), pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d").alias("day")]
        frame = backfill(algorithm, requests, events).select(*ids, *declaration.features).collect()
        shown: dict[str, Any] = {"by_day": plots.by_day(frame, "requests")}
        missing = frame.select(pl.all().null_count() / max(1, frame.height) * 100).row(0, named=True)
        worst = dict(sorted(missing.items(), key=lambda item: -item[1])[:12])
        if any(worst.values()):
            shown["missing"] = plots.bars(worst, "Most often missing", "percent of rows")
        yield dg.Output(frame)
        yield from gates.results(algorithm, asset, table, frame, shown)

    return history_features


def lookback(declaration: Declaration) -> int:
    """Days of events before a day that its features may read; a table without ttl reads at most a year."""
    spans = [milliseconds(window) for each in declaration.aggregates.values() for window in each.windows]
    spans += [milliseconds(table.ttl) if table.ttl else 365 * DAY for table in declaration.tables.values()]
    return -(-max(spans, default=0) // DAY)


def _fields(declaration: Declaration) -> dict[str, pl.Expr]:
    return {name: pl.col(name) for name in (*declaration.request.fields, *declaration.request.user)}
