"""From log segments to rows that the engines may see: schema, identity, lateness; what is refused says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saima.events import (
    DEAD_LETTER,
    DEAD_LETTER_TOPIC,
    JOURNAL,
    JOURNAL_TOPIC,
    RULES,
    RULES_TOPIC,
    SILENCE,
    SILENCE_TOPIC,
    Topic,
)
from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.stores.interfaces import Segment
from saima.streams.adapters import AHEAD, implausible, reason_of
from saima.streams.dedup import Seen
from saima.streams.lateness import Clock
from saima.streams.samples import Prediction
from saima.streams.watermarks import Silence
from saima.worker.records import RecordReader
from saima.worker.schema import conform

_OFFSET = pa.field("offset", pa.int64())
_LATE = pa.field("late", pa.bool_())
_PLAIN = pa.ipc.IpcWriteOptions()
_NEEDED = ("time", "seq", "id", "appended")
_SILENT = ("silent", "seen")


class Logged(NamedTuple):
    """A journal record: the algorithm's name, the record as the join sees it and as JSON gave it."""

    algorithm: str
    prediction: Prediction
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of the log that no engine may see, with its bytes and the reason."""

    offset: int
    topic: str
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one topic and one schema, with their offsets, ascending."""

    topic: str
    table: pa.Table
    offsets: NDArray[np.int64]


@dataclass
class Batch:
    """What one read of the log holds, after the intake.

    tables: per topic the first rows of their ids, with `offset` and `late`, in order of offsets; the journal is in
    `records`, orders that change the rules are in `orders` as (offset, JSON), records of silence in `silences`;
    `reasons` counts the dead letters, the worker's own and those of hosts, as they come along the log; `rows` counts
    everything that was read, up to and including offset `last`.
    """

    rows: int = 0
    last: int = 0
    tables: dict[str, pa.Table] = field(default_factory=dict)
    records: list[Logged] = field(default_factory=list)
    orders: list[tuple[int, str]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    late: int = 0
    appended: list[np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=list)


class Intake:
    """Admits rows in order of offsets; `seen` and `clocks` are its state."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        lateness: Mapping[str, int],
        declarations: Mapping[str, Declaration],
        seen: Seen,
    ) -> None:
        own = (JOURNAL_TOPIC, DEAD_LETTER_TOPIC, RULES_TOPIC, SILENCE_TOPIC)
        self._topics = {**topics, **{topic.name: topic for topic in own}}
        self._readers = {name: RecordReader(declaration) for name, declaration in declarations.items()}
        self._ahead = max([AHEAD, *(_ahead(one) for one in declarations.values())])
        self.seen = seen
        self.clocks = {topic: Clock(bound) for topic, bound in lateness.items()}

    def restore(self, newest: Mapping[str, int]) -> None:
        """Continue with the clocks of an earlier process; a new source begins afresh."""
        for topic, time in newest.items():
            if topic in self.clocks:
                self.clocks[topic] = replace(self.clocks[topic], newest=time)

    def begin(self, ends: Mapping[str, int]) -> None:
        """Leave to history what happened before its end, by topic, ms UTC: a row of the log from then is late."""
        for topic, end in ends.items():
            if topic in self.clocks:
                self.clocks[topic] = replace(self.clocks[topic], floor=end)

    def admit(self, segments: Sequence[Segment]) -> Batch:
        """Check, de-duplicate and judge all rows of the segments, whole topics at a time."""
        batch = Batch(rows=sum(one.table.num_rows for one in segments), last=max(one.last for one in segments))
        checked = [found for chunk in _chunks(segments) if (found := self._checked(chunk, batch)) is not None]
        tables = self._first(_by_topic(checked), batch)
        for topic, table in tables.items():
            if not table.num_rows:
                continue
            batch.appended.append(table.column("appended").to_numpy())
            if topic == JOURNAL:
                self._read_records(table, batch)
            elif topic == RULES:
                batch.orders = list(zip(table["offset"].to_pylist(), table["order"].to_pylist(), strict=True))
            elif topic == SILENCE:
                self._read_silences(table, batch)
            else:
                batch.tables[topic] = self._judged(topic, table, batch)
                if topic == DEAD_LETTER:
                    batch.reasons.update(map(reason_of, table["reason"].to_pylist()))
        return batch

    def _checked(self, chunk: Chunk, batch: Batch) -> tuple[str, pa.Table] | None:
        """The rows in the topic's schema with their offsets; those without time, seq or id, orders without text, are
        refused."""
        topic = self._topics.get(chunk.topic)
        table = chunk.table
        if topic is None:
            _refuse(batch, chunk, chunk.offsets, f"unknown_topic: unknown topic '{chunk.topic}'")
            return None
        try:
            table, wrong = conform(table, topic)
        except KeyError as error:
            _refuse(batch, chunk, chunk.offsets, f"wrong_schema: not in the schema of '{topic.name}': {error.args[0]}")
            return None
        table = table.append_column(_OFFSET, pa.array(chunk.offsets))
        if wrong:
            for row, reason in sorted(wrong.items()):
                _refuse(
                    batch, chunk, chunk.offsets[[row]], f"wrong_schema: not in the schema of '{topic.name}': {reason}"
                )
            table = table.filter(pa.array([row not in wrong for row in range(table.num_rows)]))
        needed = (*_NEEDED, "order") if topic.name == RULES else _NEEDED
        missing = [name for name in needed if table.column(name).null_count]
        if missing:
            bad = pc.is_null(table.column(missing[0]))
            for name in missing[1:]:
                bad = pc.or_(bad, pc.is_null(table.column(name)))
            _refuse(batch, chunk, table.column("offset").filter(bad).to_numpy(), f"missing: no {' or '.join(missing)}")
            table = table.filter(pc.invert(bad))
        if chunk.topic != DEAD_LETTER:  # of a journal record, too: it would move the horizon of de-duplication
            wild = implausible(table.column("time").to_numpy(), table.column("appended").to_numpy(), self._ahead)
            if wild.any():
                reason = "wrong_time: its time is before 1970, or far ahead of the wall clock when it was appended"
                _refuse(batch, chunk, table.column("offset").to_numpy()[wild], reason)
                table = table.filter(pa.array(~wild))
        return topic.name, table

    def _first(self, tables: dict[str, pa.Table], batch: Batch) -> dict[str, pa.Table]:
        """The rows whose id has not come before, by topic.

        Orders and records of silence are not judged: twice is as once, and their time is the wall clock, which would
        end the horizon of replayed events' ids.
        """
        judged = [topic for topic in tables if topic not in (DEAD_LETTER, RULES, SILENCE)]
        columns = [
            (topic, table.column("id"), table.column("time").to_numpy(), table.column("offset").to_numpy())
            for topic, table in ((topic, tables[topic]) for topic in judged)
        ]
        for topic, again in zip(judged, self.seen.judge_columns(columns), strict=True):
            count = int(again.sum())
            if count:
                batch.duplicates += count
                tables[topic] = tables[topic].filter(pa.array(~again))
        return tables

    def _judged(self, topic: str, table: pa.Table, batch: Batch) -> pa.Table:
        clock = self.clocks.get(topic)
        if clock is None:
            return table.append_column(_LATE, pa.array(np.zeros(table.num_rows, dtype=np.bool_)))
        late, self.clocks[topic] = clock.judge(table.column("time").to_numpy())
        batch.late += int(late.sum())
        return table.append_column(_LATE, pa.array(late))

    def _read_silences(self, table: pa.Table, batch: Batch) -> None:
        for place, row in enumerate(table.to_pylist()):
            if row["key"] not in self.clocks or any(type(row[name]) is not int or row[name] < 0 for name in _SILENT):
                said = f"source {row['key']!r}, silent {row['silent']}, seen {row['seen']}"
                reason = f"wrong_record: not a record of silence: {said}"
                batch.refused.append(Refused(row["offset"], SILENCE, reason, packed(table.slice(place, 1))))
                continue
            batch.silences.append(Silence(row["offset"], row["key"], row["appended"], row["silent"], row["seen"]))

    def _read_records(self, table: pa.Table, batch: Batch) -> None:
        columns = [table.column(name).to_pylist() for name in ("algorithm", "record", "offset", "appended")]
        for row, (algorithm, text, offset, appended) in enumerate(zip(*columns, strict=True)):
            reader = self._readers.get(algorithm)
            try:
                if reader is None:
                    raise ValueError(f"unknown algorithm '{algorithm}'")
                logged, document = reader.read(text, offset, appended)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                reason = f"wrong_record: not a journal record: {type(error).__name__}: {error}"
                batch.refused.append(Refused(offset, JOURNAL, reason, packed(table.slice(row, 1))))
                continue
            batch.records.append(Logged(algorithm, logged, document))


def _ahead(declaration: Declaration) -> int:
    """How far ahead of the wall clock the events of any source may lie, ms."""
    records = [source.record for source in declaration.sources.values() if source.record is not None]
    return max((milliseconds(record.ahead) for record in records), default=0)


def packed(table: pa.Table) -> bytes:
    """Rows as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_PLAIN) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _chunks(segments: Sequence[Segment]) -> list[Chunk]:
    """The segments, those of one topic and schema together, in order of offsets."""
    alike: dict[tuple[str, pa.Schema], list[Segment]] = {}
    for segment in segments:
        alike.setdefault((segment.topic, segment.table.schema), []).append(segment)
    found = []
    for (topic, _), parts in alike.items():
        if len(parts) == 1:
            (one,) = parts
            found.append(Chunk(topic, one.table, np.arange(one.first, one.last + 1)))
            continue
        table = pa.concat_tables([part.table for part in parts])
        offsets = np.concatenate([np.arange(part.first, part.last + 1) for part in parts])
        found.append(Chunk(topic, table.combine_chunks(), offsets))
    return found


def _by_topic(checked: Iterable[tuple[str, pa.Table]]) -> dict[str, pa.Table]:
    """Rows by topic in order of offsets, whatever schemas they came in."""
    found: dict[str, list[pa.Table]] = {}
    for topic, table in checked:
        found.setdefault(topic, []).append(table)
    return {
        topic: tables[0] if len(tables) == 1 else pa.concat_tables(tables).sort_by("offset").combine_chunks()
        for topic, tables in found.items()
    }


def _refuse(batch: Batch, chunk: Chunk, offsets: NDArray[np.int64], reason: str) -> None:
    for offset, row in zip(offsets.tolist(), np.searchsorted(chunk.offsets, offsets).tolist(), strict=True):
        batch.refused.append(Refused(offset, chunk.topic, reason, packed(chunk.table.slice(row, 1))))
