"""All engines of a shard as one: admitted rows in, output tables and changed state out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from saima.features.declaration import Declaration
from saima.features.lookups import RowSource
from saima.features.windows import Group
from saima.stores.interfaces import OnlineRead, OnlineStore
from saima.stores.shards import Share
from saima.streams import few
from saima.streams.aggregation.compiled import compile_kernels
from saima.streams.dedup import TABLE as SEEN
from saima.streams.dedup import Seen
from saima.streams.held import Change, Load
from saima.streams.samples import Happening, Prediction, SampleJoin, identity
from saima.streams.tiles import RowEngine, TileEngine
from saima.worker import ledger, outbox
from saima.worker.catalog import Catalog
from saima.worker.frames import MATCHES
from saima.worker.intake import Batch, Intake, Logged
from saima.worker.linking import Sessions
from saima.worker.matching import Matching
from saima.worker.parts import Part, parts

if TYPE_CHECKING:
    from saima.streams.linking import Linking


class Engines:
    """Windows, latest-value tables, joins, rules and sessions of all algorithms, and the intake before them."""

    def __init__(self, catalog: Catalog, online: OnlineStore, sessions: Mapping[str, Linking], share: Share) -> None:
        compile_kernels()
        self._online = online
        self._share = share
        self._declared = catalog, dict(sessions)
        self.intake = Intake(catalog.topics, catalog.lateness, catalog.declarations, Seen())
        self.aggregate(catalog)
        self.matching = Matching(catalog.topics, catalog.lateness, catalog.idle, share)
        self.sessions = Sessions(sessions, catalog.topics, catalog.lateness, catalog.idle, share)
        self.told = self._told()
        """What rules and sessions tell as of the last `changes` or `restore`, for other threads."""
        self._joins = {name: self._join(name, declaration) for name, declaration in joined(catalog).items()}

    def aggregate(self, catalog: Catalog) -> None:
        """Compute these windows and rows from now on; between two commits, so that their state is in the store."""
        self._aggregates = [Aggregates(part, catalog, self._load) for part in parts(catalog, self._share)]

    def declare(
        self, catalog: Catalog, sessions: Mapping[str, Linking], known: ledger.Ledger, ends: Mapping[str, int]
    ) -> None:
        """Swap declarations between two commits: what has not changed goes on as it is, the rest begins, or continues
        from the store as at a start.

        known: as committed; ends: of histories by topic, ms UTC.
        """
        (before, linked), self._declared = self._declared, (catalog, dict(sessions))
        self.intake = Intake(catalog.topics, catalog.lateness, catalog.declarations, self.intake.seen)
        self.intake.restore(known.clocks)
        self.intake.begin(ends)
        self.aggregate(catalog)
        joins = {name: self._join(name, declaration) for name, declaration in joined(catalog).items()}
        heard = (before.topics, before.lateness, before.idle)
        moved = heard != (catalog.topics, catalog.lateness, catalog.idle)
        with self._online.read() as read:
            for name, join in joins.items():
                if name in self._joins and before.declarations[name] == catalog.declarations[name]:
                    joins[name] = self._joins[name]
                else:
                    join.restore(read)
            self._joins = joins
            if moved:
                counts, refused = self.matching.counts, self.matching.refused
                self.matching = Matching(catalog.topics, catalog.lateness, catalog.idle, self._share)
                self.matching.restore(read)
                self.matching.counts, self.matching.refused = counts, refused
            if moved or linked != sessions:
                self.sessions = Sessions(sessions, catalog.topics, catalog.lateness, catalog.idle, self._share)
                self.sessions.restore(read)
        self.told = self._told()

    def process(self, batch: Batch) -> dict[str, pa.Table]:
        """Output rows by sink: events, journal records, samples, matches, nodes of sessions."""
        outputs = {f"events/{topic}": self._own(table) for topic, table in batch.tables.items()}
        for topic, table in batch.tables.items():
            accepted = table.filter(pc.invert(table.column("late"))) if batch.late else table
            for aggregates in self._aggregates:
                aggregates.process(topic, accepted)
        records: dict[str, list[Logged]] = {}
        for logged in batch.records:
            records.setdefault(logged.algorithm, []).append(logged)
        for name, found in records.items():
            own = found if self._share.alone else [one for one in found if self._share.owns(one.prediction.trace)]
            outputs[f"{name}/journal"] = outbox.journal_rows(own)
        for name, join in self._joins.items():
            rows: list[Prediction | Happening] = [logged.prediction for logged in records.get(name, [])]
            for topic in join.topics:
                if topic in batch.tables:
                    rows += happenings(topic, batch.tables[topic], join.declaration)
            emitted = join.process(sorted(rows, key=lambda row: row.offset))
            if emitted:
                outputs[f"{name}/samples"] = outbox.sample_rows(emitted)
        matches = self.matching.process(batch)
        if matches is not None:
            outputs[MATCHES] = matches
        outputs |= self.sessions.process(batch)
        return outputs if self._share.alone else {sink: rows for sink, rows in outputs.items() if rows.num_rows}

    def changes(self) -> list[Change]:
        """State changed since the last call: entities, pending joins, partial matches, open sessions, seen ids."""
        changes = [change for aggregates in self._aggregates for change in aggregates.changes()]
        for join in self._joins.values():
            changes += join.changes()
        changes += self.matching.changes() + self.sessions.changes()
        self.told = self._told()
        return changes + [(SEEN, key, data) for key, data in self.intake.seen.changes()]

    def waits(self, silent: Mapping[str, int]) -> set[str]:
        """Topics whose silence (ms by topic), if recorded now, would move time so far that something happens."""
        return {*self.matching.waits(silent), *self.sessions.waits(silent)}

    def restore(self, known: ledger.Ledger, read: OnlineRead) -> None:
        """Continue from what an earlier process committed; entities load as they are needed."""
        self.intake.restore(known.clocks)
        self.intake.seen.restore(read.scan(SEEN))
        for join in self._joins.values():
            join.restore(read)
        self.matching.restore(read)
        self.sessions.restore(read)
        self.told = self._told()

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """Counters of the joins, by algorithm."""
        return {name: join.counters for name, join in self._joins.items()}

    def _told(self) -> dict[str, Any]:
        return {"rules": self.matching.status(), "sessions": self.sessions.status()}

    def _own(self, table: pa.Table) -> pa.Table:
        """The events that this shard appends to their table: those whose id it owns."""
        if self._share.alone:
            return table
        return table.filter(self._share.mask(pl.Series(table.column("id"))).to_arrow())

    def _load(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._online.read() as read:
            return read.get_many(table, keys)

    def _join(self, name: str, declaration: Declaration) -> SampleJoin:
        return SampleJoin(name, declaration, lambda keys: self._load(f"join/{name}", keys), self._share.owns)


class Aggregates:
    """Windows and latest-value tables of one part of the definitions."""

    def __init__(self, part: Part, catalog: Catalog, load: Load) -> None:
        tables = {group.table for group in part.groups}
        predicates = {table: expr for table, expr in catalog.predicates.items() if table in tables}
        self._part = part
        self._tiles = TileEngine(part.groups, load, predicates)
        self._rows = RowEngine(part.rows, load)
        self._wanted: dict[str, list[Group | RowSource]] = {}
        wanted: list[Group | RowSource] = [*part.groups, *part.rows]
        for one in wanted:
            self._wanted.setdefault(one.source, []).append(one)

    def process(self, topic: str, table: pa.Table) -> None:
        """Accepted rows of a topic: a handful of events without a frame, more with one."""
        if topic not in self._wanted:
            return
        own = self._part.own_rows(table)
        columns = few.columns(own, self._wanted[topic])
        if columns is not None:
            self._tiles.process_few(columns, topic)
            self._rows.process_few(columns, topic)
            return
        frame = pl.DataFrame(own.select(self._columns(topic, own)))
        self._tiles.process_batch(frame, topic)
        self._rows.process_batch(frame, topic)

    def changes(self) -> list[Change]:
        """Entities changed since the last call."""
        return [*self._tiles.changes(), *self._rows.changes()]

    def _columns(self, topic: str, table: pa.Table) -> list[str]:
        """Columns that windows and rows of a topic are made of: the others are not worth their conversion."""
        names = {"time", "seq", "offset"}
        for one in self._wanted[topic]:
            if isinstance(one, RowSource):
                return list(table.column_names)
            predicate = self._tiles.predicates.get(one.table)
            names |= {*one.key, *([one.value] if one.value is not None else [])}
            names |= set() if predicate is None else set(predicate.meta.root_names())
        return [name for name in table.column_names if name in names]


def joined(catalog: Catalog) -> dict[str, Declaration]:
    """Declarations whose predictions are joined to what happened."""
    return {name: declared for name, declared in catalog.declarations.items() if declared.label is not None}


def happenings(topic: str, table: pa.Table, declaration: Declaration) -> list[Happening]:
    """Rows of a label's or an exposure's topic for the join; without a declared value a row itself is the label, 1."""
    assert declaration.label is not None
    trace, item = identity(declaration, topic)
    value = declaration.label.value
    rows = table.num_rows

    def column(name: str | None, default: Any) -> list[Any]:
        return table.column(name).to_pylist() if name in table.column_names else [default] * rows

    columns = zip(
        column("offset", None),
        column("appended", None),
        column(trace, None),
        [""] * rows if item is None else column(item, None),
        column("time", None),
        column("seq", None),
        column(value, 1.0),
        column("late", None),
        strict=True,
    )
    return [
        Happening(
            offset,
            appended,
            topic,
            trace,
            None if item is None else str(item),
            time,
            seq,
            None if label is None else float(label),
            late,
        )
        for offset, appended, trace, item, time, seq, label, late in columns
    ]
