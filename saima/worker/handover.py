"""Whether batch and stream agree: the online state built anew from the event tables, against what the worker holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from saima.errors import StoreError
from saima.features.declaration import Declaration
from saima.features.windows import Group
from saima.settings import Settings
from saima.stores import open_online, open_registry, open_tables
from saima.stores.interfaces import OnlineRead, OnlineStore, Registry, Tables
from saima.streams.twin import SCHEMA, Tile, differing
from saima.worker import outbox
from saima.worker.catalog import Catalog, catalog
from saima.worker.history import build, history_ends, history_frames

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
    online = open_online(0, settings)
    try:
        return compare(catalog(declarations), online, open_tables(settings), open_registry(settings))
    finally:
        online.close()


def of_tables(settings: Settings, declarations: Mapping[str, Declaration], tables: Collection[str]) -> Agreement:
    """The same of some online tables alone."""
    online = open_online(0, settings)
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
    online = open_online(0, settings)
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


def compare(found: Catalog, online: OnlineStore, tables: Tables, registry: Registry) -> Agreement:
    """Compare every window and row of a catalog, bit for bit, as of the position that the online store covers.

    Rows that the worker has committed and not yet appended to the event tables are taken from its outbox. Raises
    StoreError where a table has not been built yet.
    """
    with online.read() as read:
        position = read.position().get(0, 0)
        unbuilt = [table for table in found.tables if read.generation(table) == 0]
        if unbuilt:
            raise StoreError(f"'{unbuilt[0]}' has not been built yet: start the worker, which builds it from history")
        held = {table: dict(read.scan(table)) for table in found.tables}
        waiting = _waiting(read, found)
    frames = history_frames(tables, found.topics.values(), position, history_ends(registry))
    for topic, rows in waiting.items():
        known = frames.get(topic)
        if known is None:
            frames[topic] = rows.lazy()
            continue
        fresh = rows.lazy().join(known.select("offset"), on="offset", how="anti")
        frames[topic] = pl.concat([known, fresh], how="diagonal_relaxed")
    made: dict[str, dict[str, bytes]] = {table: {} for table in found.tables}
    for table, key, data in build(found, set(found.tables), frames):
        if data is not None:
            made[table][key] = data
    differing = {table: _differing(held[table], made[table]) for table in found.tables}
    return Agreement(
        position,
        {table: len(entities) for table, entities in held.items()},
        {table: keys[:_SHOWN] for table, keys in differing.items() if keys},
        sum(map(len, differing.values())),
    )


def _waiting(read: OnlineRead, found: Catalog) -> dict[str, pl.DataFrame]:
    """Accepted rows by topic that stand in the outbox."""
    rows: dict[str, pl.DataFrame] = {}
    for topic in found.topics:
        entries = [pl.DataFrame(outbox.unpacked(data)) for _, data in read.scan(outbox.table(f"events/{topic}"))]
        if entries:
            rows[topic] = pl.concat(entries).filter(~pl.col("late"))
    return rows


def _differing(held: Mapping[str, bytes], made: Mapping[str, bytes]) -> list[str]:
    return sorted(key for key in held.keys() | made.keys() if held.get(key) != made.get(key))
