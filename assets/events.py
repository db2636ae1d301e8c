"""Event tables: recorded history by day, and the live tables that the stream worker appends to."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import polars as pl

from assets import gates, keys, plots, schema
from assets.recordings import Recording
from assets.stores import Stores
from saima.features import Algorithm
from saima.features.declaration import Source
from saima.features.durations import milliseconds
from saima.worker.history import FACT as HISTORY

_FLOOR = timedelta(minutes=1)


def histories(algorithm: Algorithm, recording: Recording) -> list[dg.AssetsDefinition]:
    """One asset a recorded topic."""
    sources = algorithm.declaration.sources.items()
    return [_history(algorithm, recording, topic, source) for topic, source in sources]


def _history(algorithm: Algorithm, recording: Recording, topic: str, source: Source) -> dg.AssetsDefinition:
    name = algorithm.name
    asset = keys.history(name, topic)

    @dg.asset(
        key=asset,
        **keys.common(algorithm.declaration, keys.EVENTS),
        kinds={"deltalake", "polars"},
        description=f"{source.description} Recorded events before the history's end, by UTC day of event time; "
        "batch owns them, the stream owns what comes after.",
        partitions_def=recording.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="tables",
        metadata={"table": f"events/{topic}", "where": "offset = 0", "dagster/column_schema": schema.of_events(source)},
        check_specs=gates.specs(algorithm, asset, f"events/{topic}"),
    )
    def history(
        context: dg.AssetExecutionContext, stores: Stores
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        window = context.partition_time_window
        first, last = (int(moment.timestamp() * 1000) for moment in (window.start, window.end))
        recorded = recording.load(stores.settings.datasets).events[topic]
        frame = recorded.filter(pl.col("time").is_between(first, min(last, recording.end), closed="left")).collect()
        rows = frame.with_columns(
            appended=pl.col("time"),
            offset=pl.lit(0, pl.Int64),
            late=pl.lit(False),
            day=pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d"),
        )
        stores.registry.put_fact(f"{HISTORY}{topic}", {"end": recording.end})
        yield dg.Output(rows)
        yield from gates.results(algorithm, asset, f"events/{topic}", rows, {"by_day": plots.by_day(rows, topic)})

    return history


def lives(algorithm: Algorithm, recorded: bool) -> list[dg.AssetSpec]:
    """One external asset a topic: the whole event table, reported by the stream worker; and the journal."""
    declaration = algorithm.declaration
    events = [
        dg.AssetSpec(
            keys.live(algorithm.name, topic),
            **keys.common(declaration, keys.EVENTS),
            kinds={"deltalake", "stream"},
            deps=[keys.history(algorithm.name, topic)] if recorded else [],
            description=f"{source.description} Appended by the stream worker, which reports it here.",
            freshness_policy=_freshness(source.freshness),
            metadata={"table": f"events/{topic}", "dagster/column_schema": schema.of_events(source)},
        )
        for topic, source in declaration.sources.items()
    ]
    journal = dg.AssetSpec(
        keys.key(algorithm.name, "journal"),
        **keys.common(declaration, keys.SAMPLES),
        kinds={"deltalake", "stream"},
        deps=[keys.key(algorithm.name, f"deployment_{lineage}") for lineage in declaration.lineages]
        if recorded
        else [],
        description="Every decision: request, position and rows read, features, scores, version, arm, propensity.",
        metadata={"table": f"{algorithm.name}/journal", "dagster/column_schema": schema.of_journal()},
    )
    return [*events, journal]


def _freshness(text: str) -> dg.FreshnessPolicy:
    """Fails after the declared time, at least Dagster's floor of a minute."""
    return dg.FreshnessPolicy.time_window(fail_window=max(timedelta(milliseconds=milliseconds(text)), _FLOOR))
