"""Whether batch and stream agree: the online state built anew from the event tables, against what the worker holds."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from saima.errors import StoreError
from saima.features.declaration import Declaration
from saima.features.windows import Group
from saima.settings import Settings
from saima.stores import open_reader, open_registry, open_tables
from saima.stores.interfaces import OnlineStore, Registry, Tables
from saima.stores.shards import ShardedStore, Share
from saima.streams.twin import SCHEMA, Tile, differing
from saima.worker.accepted import accepted, await_shards
from saima.worker.catalog import Catalog, catalog
from saima.worker.history import build, history_ends

_SHOWN = 5


@dataclass(frozen=True)
class Agreement:
    """position: of the log, at which both were compared; keys: entities by online table; differing: by table the first
    keys whose bytes differ, or that only one side has; mismatches: how many there are."""

    position: int
    keys: dict[str, int] = field(default_factory=dict)
    differing: dict[str, list[str]] = field(default_factory=dict)
    mismatches: int = 0


def of_home(settings: Settings, declarations: Mapping[str, Declaration]) -> Agreement:
    """Compare what the stores of a home hold of algorithms, by name; see `compare`."""
    online = open_reader(settings)
    try:
        return compare(catalog(declarations), online, open_tables(settings), open_registry(settings))
    finally:
        online.close()


def of_tables(settings: Settings, declarations: Mapping[str, Declaration], tables: Collection[str]) -> Agreement:
    """The same of some online tables alone."""
    online = open_reader(settings)
    try:
        found = catalog(declarations).only(tables)
        return compare(found, online, open_tables(settings), open_registry(settings))
    finally:
        online.close()


def of_tiles(
    settings: Settings, groups: Iterable[Group], batch: pl.LazyFrame | None, width: int
) -> tuple[int, list[Tile]]:
    """How many tiles of a batch, in partitions of `width` ms, the online store holds, too, and which of them differ."""
    if batch is None:
        return 0, []
    compared, wrong = 0, list[Tile]()
    online = open_reader(settings)
    try:
        for group in groups:
            with online.read() as read:
                entities = dict(read.scan(group.table))
            made = batch.filter(pl.col("table") == group.table).select(*SCHEMA).collect()
            if made.height:
                more, differ = differing(group, made, width, entities)
                compared, wrong = compared + more, wrong + differ
    finally:
        online.close()
    return compared, wrong


def compare(
    found: Catalog, online: OnlineStore, tables: Tables, registry: Registry, seconds: float = 60.0
) -> Agreement:
    """Compare every window and row of a catalog, bit for bit, as of the position that the online store covers.

    Each shard is compared as of its own position. Rows that the worker has committed and not yet appended to the event
    tables are taken from its outbox. Raises StoreError where a table has not been built yet, and for a shard that stays
    behind the others for so many seconds.
    """
    stores = online.stores if isinstance(online, ShardedStore) else [online]
    held = [_held(store, found) for store in stores]
    last = max(position for position, _ in held)
    _catch_up(stores, last, seconds)
    made: list[dict[str, dict[str, bytes]]] = []
    for shard, (position, _) in enumerate(held):
        frames = accepted(stores, tables, list(found.topics.values()), position, history_ends(registry))
        entities: dict[str, dict[str, bytes]] = {table: {} for table in found.tables}
        for table, key, data in build(found, set(found.tables), frames, Share(shard, len(stores))):
            if data is not None:
                entities[table][key] = data
        made.append(entities)
    differing = {
        table: sorted(
            key for (_, have), want in zip(held, made, strict=True) for key in _differing(have[table], want[table])
        )
        for table in found.tables
    }
    return Agreement(
        last,
        {table: sum(len(have[table]) for _, have in held) for table in found.tables},
        {table: keys[:_SHOWN] for table, keys in differing.items() if keys},
        sum(map(len, differing.values())),
    )


def _held(store: OnlineStore, found: Catalog) -> tuple[int, dict[str, dict[str, bytes]]]:
    """What a shard holds, and the position that it covers."""
    with store.read() as read:
        unbuilt = [table for table in found.tables if read.generation(table) == 0]
        if unbuilt:
            raise StoreError(f"'{unbuilt[0]}' has not been built yet: start the worker, which builds it from history")
        return read.position().get(0, 0), {table: dict(read.scan(table)) for table in found.tables}


def _catch_up(stores: Sequence[OnlineStore], offset: int, seconds: float) -> None:
    """Wait until the events up to an offset are in the tables or the outboxes, whichever shard they belong to."""
    if len(stores) == 1:
        return
    behind: list[str] = []
    late = threading.Event()
    timer = threading.Timer(seconds, late.set)
    timer.start()
    try:
        if not await_shards(stores, offset, late, behind.append):
            raise StoreError(f"{behind[-1]}, for {seconds:.0f} s: batch and stream are compared where all shards are")
    finally:
        timer.cancel()


def _differing(held: Mapping[str, bytes], made: Mapping[str, bytes]) -> list[str]:
    return sorted(key for key in held.keys() | made.keys() if held.get(key) != made.get(key))
