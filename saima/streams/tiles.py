"""Aggregation: micro-batches of events into the packed entities that windows and latest-value tables are read from.

Both engines are pure: no clock, no I/O but the `load` that is passed in, and their result depends on the set of events
alone, so any split of a stream into batches, any order of arrival within the declared lateness, and the batch path over
history end in equal bytes. The caller has de-duplicated and judged lateness; a rejected row is not given here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Literal

import polars as pl

from saima.features.lookups import RowSource, Versions, add, pack, recent, unpack, values_text, versions
from saima.features.windows.codec import Codec
from saima.features.windows.definition import Group
from saima.features.windows.entity import Accumulator, Entity
from saima.features.windows.rows import by_key, select
from saima.streams import few
from saima.streams.aggregation.columns import ColumnTiles, columnar
from saima.streams.aggregation.rows import RowTiles
from saima.streams.aggregation.tiles import Tiles
from saima.streams.held import Change, Held, Load, nothing

Backend = Literal["rows", "columns"]

CAPACITY = 512 * 2**20
"""Bytes of windows that an engine holds between two commits."""


class TileEngine:
    """The state of windows: one packed entity a (group, key).

    `groups` come from `saima.features.windows.groups(declaration)`, of all algorithms (equal ones are merged);
    `load` reads entities that the engine does not hold; `predicates` are compiled `where` conditions by group table.
    `backend`: columns holds in arrays what arrays can hold, which is quicker from the first event on where every commit
    packs what has changed; rows, and the tables named `noted`, are held as objects. Both make the same entities.
    `capacity`: bytes held after a commit, beyond which the largest tables are dropped and load again as needed.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        load: Load | None = None,
        predicates: Mapping[str, pl.Expr] | None = None,
        backend: Backend = "columns",
        noted: Collection[str] = (),
        capacity: int = CAPACITY,
    ) -> None:
        self.groups = {group.table: group for group in groups}
        self.predicates = dict(predicates or {})
        for group in self.groups.values():
            if group.where and group.table not in self.predicates:
                raise ValueError(f"{group.table}: no compiled condition for where '{group.where}'")
        self._capacity = capacity
        self.tiles: dict[str, Tiles] = {
            table: (ColumnTiles if backend == "columns" and table not in noted and columnar(group) else RowTiles)(
                group, None if load is None else partial(load, table)
            )
            for table, group in self.groups.items()
        }

    @property
    def topics(self) -> set[str]:
        """Topics whose events the engine wants."""
        return {group.source for group in self.groups.values()}

    def process_batch(self, frame: pl.DataFrame, topic: str) -> None:
        """Add accepted events of one topic (envelope and source columns, int64 ms)."""
        wanted = [group for group in self.groups.values() if group.source == topic]
        if not wanted or frame.is_empty():
            return
        computed = [group for group in wanted if not direct(frame, group)]
        for group in wanted:
            if group not in computed:
                self._add(group, frame, group.key[0], group.value)
        if not computed:
            return
        selected = select(frame, computed, self.predicates)
        for group in computed:
            key, value = f"{group.table}/key", None if group.value is None else f"{group.table}/value"
            names = [name for name in (key, value) if name is not None and selected.get_column(name).has_nulls()]
            self._add(group, selected.drop_nulls(names) if names else selected, key, value)

    def _add(self, group: Group, frame: pl.DataFrame, key: str, value: str | None) -> None:
        times, seqs = (frame.get_column(name).to_numpy() for name in ("time", "seq"))
        values = None if value is None else frame.get_column(value)
        self.tiles[group.table].add_batch(frame.get_column(key), times, seqs, values)

    def process_few(self, columns: few.Columns, topic: str) -> None:
        """The same for a handful of events that `few.columns` took out of a table: the latency path."""
        for group in self.groups.values():
            if group.source == topic:
                add = self.tiles[group.table].add
                for key, rows in few.counted(columns, group).items():
                    for row in rows:
                        add(key, row)

    def changes(self) -> list[Change]:
        """Entities changed since the last call, packed, ordered by table and key: what the worker commits."""
        result: list[Change] = []
        for table in sorted(self.tiles):
            packed = self.tiles[table].pack(changed=True)
            result += [(table, key, data) for key, data in packed]
        self._bound()
        return result

    def _bound(self) -> None:
        """Hold no more than the capacity; all that is held has been packed."""
        rooms = {table: tiles.room() for table, tiles in self.tiles.items()}
        for table in sorted(rooms, key=rooms.__getitem__, reverse=True):
            if sum(rooms.values()) <= self._capacity:
                return
            self.tiles[table].clear()
            rooms[table] = self.tiles[table].room()

    def forget(self) -> None:
        """Drop all that is held, so that it is loaded again; for a commit that did not happen."""
        for tiles in self.tiles.values():
            tiles.clear()

    def build_from_history(self, frames: Mapping[str, pl.LazyFrame | pl.DataFrame]) -> list[Change]:
        """Entities of all events of history by topic (times before the seam): the batch path, equal to the stream's.

        Made by the algebra alone, whatever the backend, so that a comparison with the stream's is one of two
        programs. Nothing is held or loaded; the caller commits the result before the first `process_batch`.
        """
        result: list[Change] = []
        for table in sorted(self.groups):
            group = self.groups[table]
            if group.source in frames:
                result += self._build(group, frames[group.source].lazy().collect())
        return result

    def _build(self, group: Group, frame: pl.DataFrame) -> list[Change]:
        key, time = f"{group.table}/key", pl.col("time")
        selected = select(frame, [group], self.predicates)
        if group.value is not None:
            selected = selected.filter(pl.col(f"{group.table}/value").is_not_null())
        rows = by_key(selected.filter(time >= time.max().over(key) - group.reach), group)
        accumulator, codec = Accumulator(group), Codec(group)
        result: list[Change] = []
        for key in sorted(rows):
            entity = Entity()
            accumulator.add(entity, rows[key])
            result.append((group.table, key, codec.pack(entity)))
        return result


def direct(frame: pl.DataFrame, group: Group) -> bool:
    """Whether a frame's columns are a group's keys and values as they stand: nothing to cast, omit or judge."""
    if group.where or len(group.key) > 1 or group.is_float:
        return False
    kinds = {group.key[0]: pl.String, "seq": pl.Int64, "time": pl.Int64}
    if group.value is not None:
        kinds[group.value] = pl.String if group.is_text else pl.Int64
    return all(frame.schema[name] == kind and not frame.get_column(name).has_nulls() for name, kind in kinds.items())


class RowEngine:
    """The state of latest-value tables: one packed entity a (row source, key).

    `sources` come from `saima.features.lookups.row_sources(declaration)`, of all algorithms together.
    """

    def __init__(self, sources: Iterable[RowSource], load: Load = nothing) -> None:
        self.sources = {source.table: source for source in sources}
        self._held: Held[Versions] = Held(load, lambda table, data: unpack(self.sources[table], data))

    @property
    def topics(self) -> set[str]:
        """Topics whose events the engine wants."""
        return {source.source for source in self.sources.values()}

    def process_batch(self, frame: pl.DataFrame, topic: str) -> int:
        """Add accepted rows of one topic (envelope and source columns, and `offset`); returns entities updated."""
        updated = 0
        for table, source in self.sources.items():
            if source.source != topic or frame.is_empty():
                continue
            updated += self._add(table, source, _versions(source, versions(frame, source)))
        return updated

    def process_few(self, columns: few.Columns, topic: str) -> int:
        """The same for a handful of rows that `few.columns` took out of a table: the latency path."""
        return sum(
            self._add(table, source, few.versions(columns, source))
            for table, source in self.sources.items()
            if source.source == topic
        )

    def _add(self, table: str, source: RowSource, by_key: few.VersionsByKey) -> int:
        held = self._held.get(table, list(by_key))
        for (key, (latest, found)), entity in zip(by_key.items(), held, strict=True):
            self._held.put(table, key, add(source, entity, latest, found))
        return len(by_key)

    def changes(self) -> list[Change]:
        """Entities changed since the last call, packed, ordered by table and key: what the worker commits."""
        return self._held.changes(lambda _, entity: pack(entity))

    def forget(self) -> None:
        """Drop all that is held, so that it is loaded again; for a commit that did not happen."""
        self._held.forget()

    def build_from_history(self, frames: Mapping[str, pl.LazyFrame | pl.DataFrame]) -> list[Change]:
        """Entities of all rows of history by topic; equal to the stream's. Nothing is held or loaded."""
        result: list[Change] = []
        for table in sorted(self.sources):
            source = self.sources[table]
            if source.source in frames:
                found = recent(versions(frames[source.source].lazy().collect(), source), source)
                by_key = _versions(source, found)
                for key in sorted(by_key):
                    latest, rows = by_key[key]
                    result.append((table, key, pack(add(source, None, latest, rows))))
        return result


def _versions(source: RowSource, found: pl.DataFrame) -> few.VersionsByKey:
    place = [found.columns.index(name) for name in source.columns]
    by_key: few.VersionsByKey = {}
    for row in found.iter_rows():
        key, valid_from, known_at, offset, time, seq = row[:6]
        latest, held = by_key.get(key) or (time, [])
        held.append((valid_from, known_at, seq, offset, values_text([row[i] for i in place])))
        by_key[key] = (max(latest, time), held)
    return by_key
