"""The batch twin of aggregates: tiles of history by hour or day, and the check that the stream's are the same bits."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from assets import keys, schema
from assets.recordings import DAY, Recording
from assets.stores import Stores
from saima.errors import StoreError
from saima.features import Algorithm
from saima.features.windows import Group
from saima.features.windows.where import predicates
from saima.recordings import topics
from saima.streams.twin import tiled, tiles
from saima.worker.history import history_frames

HOUR = 3_600_000
MOST = 30_000
"""Partitions beyond which Dagster's pages become slow."""


def width_of(groups: list[Group], recording: Recording) -> int:
    """Width of a partition, ms: an hour where every hop lies in one and history has no more than MOST, else a day."""
    hours = (recording.end - recording.start) // HOUR
    return HOUR if hours <= MOST and all(HOUR % hop == 0 for group in groups for hop in group.hops) else DAY


def partitions(width: int, recording: Recording) -> dg.TimeWindowPartitionsDefinition:
    """Partitions of history by the start of tiles."""
    first, last = (_moment(time) for time in (recording.start // DAY * DAY, -(-recording.end // width) * width))
    if width == HOUR:
        return dg.HourlyPartitionsDefinition(start_date=first, end_date=last)
    return dg.DailyPartitionsDefinition(start_date=first, end_date=last)


def history_tiles(algorithm: Algorithm, recording: Recording) -> list[dg.AssetsDefinition]:
    """One asset an aggregate."""
    return [_tiles(algorithm, recording, name, groups) for name, groups in tiled(algorithm.declaration).items()]


def _tiles(algorithm: Algorithm, recording: Recording, name: str, groups: list[Group]) -> dg.AssetsDefinition:
    declared = algorithm.declaration.aggregates[name]
    width = width_of(groups, recording)
    upstream = dg.AssetDep(
        keys.history(algorithm.name, declared.source),
        partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True),
    )

    @dg.asset(
        key=keys.history_tiles(algorithm.name, name),
        deps=[upstream],
        **keys.common(algorithm.declaration, keys.FEATURES),
        kinds={"deltalake", "polars"},
        description=f"Tiles of the aggregate {name} over history, computed from the event table by the batch path, by "
        "the hop's start. Materialize any partitions of it, or backfill them all: they replace what was there.",
        partitions_def=partitions(width, recording),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="tables",
        metadata={
            "table": f"{algorithm.name}/history_tiles_{name}",
            "partition_column": "part",
            "dagster/column_schema": schema.of_tiles(),
        },
    )
    def history_tiles(context: dg.AssetExecutionContext, stores: Stores) -> dg.Output[pl.DataFrame]:
        window = context.partition_time_window
        first, stop = (int(moment.timestamp() * 1000) for moment in (window.start, window.end))
        frame = computed(algorithm, stores, groups, first, stop, recording.end)
        return dg.Output(
            frame,
            metadata={
                "tiles": frame.height,
                "keys": frame["key"].n_unique(),
                "events": int(frame.filter(pl.col("hop") == min(groups[0].hops))["events"].sum()),
            },
        )

    return history_tiles


def computed(
    algorithm: Algorithm, stores: Stores, groups: list[Group], first: int, stop: int, end: int
) -> pl.DataFrame:
    """Tiles of groups that start in [first, stop), with the online table, the partition's and the day's name."""
    declaration = algorithm.declaration
    topic = topics(declaration)[groups[0].source]
    frames = history_frames(stores.tables, [topic], 0, {topic.name: end})
    if topic.name not in frames:
        raise dg.Failure(f"there is no table events/{topic.name}: materialize history_{topic.name} first")
    conditions = predicates(declaration)
    parts = [
        tiles(group, frames[topic.name], first, stop, end, conditions).with_columns(table=pl.lit(group.table))
        for group in groups
    ]
    moment = pl.from_epoch("start", "ms")
    width = "%Y-%m-%d-%H:00" if all(HOUR % hop == 0 for group in groups for hop in group.hops) else "%Y-%m-%d"
    return pl.concat(parts).with_columns(part=moment.dt.strftime(width), day=moment.dt.strftime("%Y-%m-%d"))


def handovers(algorithm: Algorithm, recording: Recording) -> list[dg.AssetChecksDefinition]:
    """One check an aggregate."""
    return [_handover(algorithm, recording, name, groups) for name, groups in tiled(algorithm.declaration).items()]


def _handover(algorithm: Algorithm, recording: Recording, name: str, groups: list[Group]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.history_tiles(algorithm.name, name),
        name="handover",
        description=f"Batch and stream agree on {name} to the bit: the tiles that are materialized here against those "
        "that the stream worker still holds, and everything that it holds against the event tables.",
    )
    def check(stores: Stores) -> dg.AssetCheckResult:
        from saima.worker.handover import of_tables, of_tiles

        tables = {group.table for group in groups}
        try:
            agreed = of_tables(stores.settings, {algorithm.name: algorithm.declaration}, tables)
            table = f"{algorithm.name}/history_tiles_{name}"
            batch = stores.tables.scan(table) if stores.tables.exists(table) else None
            compared, wrong = of_tiles(stores.settings, groups, batch, width_of(groups, recording))
        except StoreError as error:
            return dg.AssetCheckResult(passed=True, description=f"nothing to compare yet: {error}")
        return dg.AssetCheckResult(
            passed=not agreed.mismatches and not wrong,
            description=f"{agreed.mismatches} mismatches in {sum(agreed.keys.values())} keys, {len(wrong)} in "
            f"{compared} tiles",
            metadata=_shown(agreed.position, agreed.keys, agreed.differing, compared, [str(tile) for tile in wrong]),
        )

    return check


def _shown(
    position: int, found: Mapping[str, int], differing: Mapping[str, list[str]], compared: int, wrong: list[str]
) -> dict[str, dg.MetadataValue]:
    return {
        "position": dg.MetadataValue.int(position),
        "keys": dg.MetadataValue.int(sum(found.values())),
        "tiles": dg.MetadataValue.int(compared),
        "mismatches": dg.MetadataValue.int(len(wrong) + sum(map(len, differing.values()))),
        "differing": dg.MetadataValue.json({**differing, "tiles": wrong[:5]}),
    }


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time / 1000, UTC)
