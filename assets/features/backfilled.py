"""Features of every recorded request, history's and live ones, by day: what `saima backfill` writes, as an asset."""

from datetime import timedelta

import dagster as dg
import polars as pl
from pydantic import Field

from assets import keys, schema
from assets.features.history import identity
from assets.recordings import Recording
from assets.stores import Stores
from saima.features import Algorithm
from saima.features.backfill import stream
from saima.recordings import event_tables, recorded_requests

NAME = "backfilled_features"


class BackfillConfig(dg.Config):
    """How much a backfill may take."""

    memory: int = Field(1024, ge=16, description="MiB that events and rows may take at a time; more parts with less.")


def backfilled_features(algorithm: Algorithm, recording: Recording) -> dg.AssetsDefinition:
    """Asset that computes the features of requests out of the event tables, which may be larger than memory."""
    name, declaration = algorithm.name, algorithm.declaration
    table = f"{name}/{NAME}"

    @dg.asset(
        key=keys.key(name, NAME),
        deps=[keys.live(name, topic) for topic in declaration.sources],
        **keys.common(declaration, keys.FEATURES),
        kinds={"deltalake", "polars"},
        description="Features of every request in the event tables, as they were known at its moment, by UTC day: "
        "`saima backfill` as an asset. Any days may be backfilled, also those that the stream has brought; each "
        "replaces what was there.",
        partitions_def=dg.DailyPartitionsDefinition(start_date=recording.days[0]),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=algorithm.plan.hash[:12],
        metadata={"table": table, "dagster/column_schema": schema.of_features(declaration)},
    )
    def backfilled_features(
        context: dg.AssetExecutionContext, config: BackfillConfig, stores: Stores
    ) -> dg.MaterializeResult[None]:
        window, tables = context.partition_time_window, stores.tables
        events = event_tables(algorithm, tables)
        requests = recorded_requests(algorithm, events, stores.settings.datasets)
        first, rows, parts = window.start, 0, 0
        while first < window.end:
            begin, end = (round(moment.timestamp() * 1000) for moment in (first, first + timedelta(days=1)))
            asked = requests.filter(pl.col("time").is_between(begin, end, closed="left"))
            ids = [*identity(declaration), pl.lit(f"{first:%Y-%m-%d}").alias("day")]
            found = list(stream(algorithm, asked, events, memory=config.memory * 2**20))
            if found or tables.exists(table):
                columns = pl.concat(found).select(*ids, *declaration.features) if found else None
                tables.replace(table, _empty(tables.scan(table)) if columns is None else columns,
                               f"day = '{first:%Y-%m-%d}'")  # fmt: skip
                rows, parts = rows + (0 if columns is None else columns.height), parts + len(found)
            context.log.info(f"{first:%Y-%m-%d}: {rows} rows so far")
            first += timedelta(days=1)
        return dg.MaterializeResult(metadata={"dagster/row_count": rows, "parts": parts, "table": table})

    return backfilled_features


def _empty(known: pl.LazyFrame) -> pl.DataFrame:
    return known.head(0).collect()
