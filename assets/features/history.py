"""The feature table of history: point-in-time features of every recorded request, by day."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets import gates, keys, plots, schema
from assets.recordings import DAY, Recording
from assets.stores import Stores
from saima.features import Algorithm
from saima.features.backfill import backfill
from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.features.shared import FOLDER
from saima.recordings import with_candidates
from saima.streams.history import outcomes

NAME = "history_features"


def history_features(algorithm: Algorithm, recording: Recording) -> dg.AssetsDefinition:
    """Asset that computes the features of recorded requests as they were known at their moment."""
    name, declaration = algorithm.name, algorithm.declaration
    asset, table = keys.key(name, NAME), f"{name}/{NAME}"
    topics = list(declaration.sources)
    mapping = dg.TimeWindowPartitionMapping(
        start_offset=-lookback(declaration),
        end_offset=lookahead(declaration),
        allow_nonexistent_upstream_partitions=True,
    )
    ins = {topic: dg.AssetIn(keys.history(name, topic), partition_mapping=mapping) for topic in topics}

    @dg.asset(
        key=asset,
        ins=ins,
        deps=[keys.key(FOLDER, each) for each in declaration.use],
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
        context: dg.AssetExecutionContext, stores: Stores, **events: pl.LazyFrame
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        window = context.partition_time_window
        first, last = (int(moment.timestamp() * 1000) for moment in (window.start, window.end))
        asked = events[recording.requests].filter(pl.col("time").is_between(first, last, closed="left"))
        candidates = recording.load(stores.settings.datasets).candidates
        requests = rows_of(declaration, asked, candidates, events)
        ids = [*identity(declaration), pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d").alias("day")]
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


def lookahead(declaration: Declaration) -> int:
    """Days of events after a day that say which candidates of its requests were shown."""
    label = declaration.label
    return -(-milliseconds(label.attribution) // DAY) if label is not None and label.exposure else 0


def identity(declaration: Declaration) -> list[pl.Expr]:
    """Columns that name a row of history's features: trace, the candidate where the algorithm ranks, time."""
    item = [] if declaration.request.items is None else [pl.col("item")]
    return [pl.col("trace"), *item, pl.col("time")]


def rows_of(
    declaration: Declaration,
    asked: pl.LazyFrame,
    candidates: pl.LazyFrame | None,
    events: Mapping[str, pl.LazyFrame],
) -> pl.LazyFrame:
    """Requests as `backfill` reads them: a ranking's are its candidates that were shown or had an outcome.

    asked: events of the request's topic; events: by topic, those of the label and of its exposure among them.
    """
    rows = with_candidates(declaration, asked.with_columns(trace=pl.col("key")), candidates, "trace")
    label = declaration.label
    if declaration.request.items is None:
        return rows
    rows = rows.with_columns(item=pl.col("item.item_id"))
    if label is None or label.exposure is None or "item" not in label.join:
        return rows
    shown = [outcomes(declaration, topic, events[topic]) for topic in (label.exposure, label.source)]
    kept = pl.concat([each.select("trace", "item") for each in shown])
    return rows.join(kept, on=["trace", "item"], how="semi", maintain_order="left")
