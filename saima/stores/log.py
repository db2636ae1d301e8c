"""EventLog on SQLite: one row a segment, one run of offsets over all topics, any number of appending processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from saima.errors import CorruptSegment, PositionError, StoreError
from saima.events import Position
from saima.stores.interfaces import Segment
from saima.stores.repair import Damage, find_damages, set_aside
from saima.stores.retention import Extent
from saima.stores.segments import checksum, decode, encode
from saima.stores.sqlite import connect, failures, immediate

PARTITION = 0
"""The only partition of this backend."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
    last INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL, topic TEXT NOT NULL,
    appended INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB);
CREATE INDEX IF NOT EXISTS segments_of_topic ON segments (topic, last);
CREATE TABLE IF NOT EXISTS producers (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumers (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteLog:
    """The log of one file; an instance may be used by several threads and is not carried over a fork.

    Commits are synchronous=NORMAL: a killed process loses nothing; a power cut can lose the tail, which a consumer
    that was ahead of it notices by PositionError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with failures(path, "open the event log"):
            self.generation = self._prepare()

    def append(self, topic: str, table: pa.Table, producer: tuple[str, int] | None = None) -> Position:
        """Append rows as one segment, in one transaction with the producer's number; see EventLog."""
        data = encode(table)
        rows = table.num_rows
        with failures(self.path, f"append {rows} rows of topic '{topic}' to the event log"):
            connection = self._connection()
            with immediate(connection):
                if producer is not None:
                    known = connection.execute(
                        "SELECT number, last FROM producers WHERE name = ?", (producer[0],)
                    ).fetchone()
                    if known is not None and known[0] >= producer[1]:
                        return {PARTITION: known[1]}
                last = _head(connection)
                if rows:
                    first, last = last + 1, last + rows
                    connection.execute(
                        "INSERT INTO segments (last, first, topic, appended, crc, data) VALUES (?, ?, ?, ?, ?, ?)",
                        (last, first, topic, time.time_ns() // 1_000_000, checksum(topic, first, last, data), data),
                    )
                if producer is not None:
                    connection.execute("INSERT OR REPLACE INTO producers VALUES (?, ?, ?)", (*producer, last))
        return {PARTITION: last}

    def produced(self, producer: str) -> int:
        """The last number that this producer appended, or -1."""
        with failures(self.path, "read the event log"):
            row = self._connection().execute("SELECT number FROM producers WHERE name = ?", (producer,)).fetchone()
        return -1 if row is None else int(row[0])

    def read(self, after: Position, rows: int = 10_000, topics: Sequence[str] | None = None) -> list[Segment]:
        """Segments after a position; see EventLog. Whole segments before a corrupt one are returned first."""
        offset = _offset(after)
        query = "SELECT last, first, topic, crc, data FROM segments WHERE last > ?"
        if topics is not None:
            query += f" AND topic IN ({','.join('?' * len(topics))})"
        with failures(self.path, "read the event log"):
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                head = self._refuse(connection, offset)
                with closing(connection.execute(f"{query} ORDER BY last", (offset, *(topics or ())))) as cursor:
                    return self._collect(cursor, offset, rows, None if topics is not None else head)
            finally:
                connection.execute("COMMIT")

    def head(self) -> Position:
        """Position of the last record; offset 0 while there is none."""
        with failures(self.path, "read the event log"):
            return {PARTITION: _head(self._connection())}

    def tail(self) -> Position:
        """The oldest position that can still be read after: the last record that retention has cut, or 0."""
        with failures(self.path, "read the event log"):
            return {PARTITION: _cut(self._connection())}

    def register(self, consumer: str, position: Position) -> None:
        """Note how far a consumer has read (idempotent): retention keeps what comes after."""
        with failures(self.path, "register a consumer with the event log"):
            connection = self._connection()
            with immediate(connection):
                connection.execute("INSERT OR REPLACE INTO consumers VALUES (?, ?)", (consumer, _offset(position)))

    def unregister(self, consumer: str) -> None:
        """Let go of a consumer that is no more (idempotent): retention does not wait for it."""
        with failures(self.path, "let go of a consumer of the event log"):
            connection = self._connection()
            with immediate(connection):
                connection.execute("DELETE FROM consumers WHERE name = ?", (consumer,))

    def consumers(self) -> dict[str, Position]:
        """How far each registered consumer has read."""
        with failures(self.path, "read the event log"):
            return _consumers(self._connection())

    def extents(self) -> list[Extent]:
        """Last offset, time of append and size of every segment, oldest first; for retention."""
        query = "SELECT last, appended, coalesce(length(data), 0) FROM segments ORDER BY last"
        with failures(self.path, "read the event log"):
            return [Extent(*row) for row in self._connection().execute(query)]

    def trim(self, before: int, consumers: Mapping[str, Position] | None = None) -> int:
        """Cut whole segments whose last offset is below `before`; returns the new tail's offset.

        `consumers` adds to the registered ones. Raises StoreError naming a consumer that has not read that far, and
        cuts nothing then.
        """
        with failures(self.path, "trim the event log"):
            connection = self._connection()
            with immediate(connection):
                for name, position in {**_consumers(connection), **(consumers or {})}.items():
                    if _offset(position) < before - 1:
                        raise StoreError(
                            f"cannot trim the event log {self.path} before offset {before}: consumer '{name}' has read "
                            f"up to {_offset(position)} only; let it catch up, or trim before {_offset(position) + 1}"
                        )
                cut = connection.execute("SELECT max(last) FROM segments WHERE last < ?", (before,)).fetchone()[0]
                if cut is not None:
                    connection.execute("DELETE FROM segments WHERE last <= ?", (cut,))
                    connection.execute("INSERT OR REPLACE INTO facts VALUES ('cut', ?)", (str(cut),))
                tail = _cut(connection)
            connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page only
        return tail

    def damages(self) -> list[Damage]:
        """Segments that cannot be read and runs of offsets that are missing, oldest first; reads the whole log."""
        with failures(self.path, "check the event log"):
            return find_damages(self._connection(), self.path)

    def repair(self) -> list[Damage]:
        """Set damaged segments aside, so that consumers pass them by; returns what was lost to them.

        Their bytes are kept under `<folder of the log>/set-aside/`. Nothing else changes.
        """
        with failures(self.path, "repair the event log"):
            connection = self._connection()
            with immediate(connection):
                damages = find_damages(connection, self.path)
                for damage in damages:
                    set_aside(connection, damage, self.path.parent / "set-aside")
        return damages

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    def _prepare(self) -> str:
        connection = self._connection()
        with immediate(connection):
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('generation', ?)", (uuid.uuid4().hex,))
            return str(connection.execute("SELECT value FROM facts WHERE name = 'generation'").fetchone()[0])

    def _connection(self) -> sqlite3.Connection:
        held: tuple[int, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == os.getpid():
            return held[1]
        connection = connect(self.path)
        with self._lock:
            self._connections.append(connection)
        self._local.held = (os.getpid(), connection)
        return connection

    def _collect(self, cursor: sqlite3.Cursor, offset: int, rows: int, head: int | None) -> list[Segment]:
        """Segments of a cursor up to `rows` rows; with the head of the log no offset up to it may be missing."""
        found: list[Segment] = []
        count, expected = 0, offset + 1
        for last, first, topic, crc, data in cursor:
            if head is not None and first > expected:
                return found or _missing(self.path, expected, first - 1)
            expected = last + 1
            if data is None:
                continue
            try:
                table = decode(data, crc, topic, first, last, self.path)
            except CorruptSegment:
                if found:
                    return found
                raise
            skip = max(0, offset + 1 - first)
            found.append(Segment(topic, PARTITION, first + skip, table.slice(skip) if skip else table))
            count += table.num_rows - skip
            if count >= rows:
                return found
        if head is not None and expected <= head and not found:
            return _missing(self.path, expected, head)
        return found

    def _refuse(self, connection: sqlite3.Connection, offset: int) -> int:
        """The head; raises PositionError for an offset beyond it or below the tail."""
        head, cut = _head(connection), _cut(connection)
        if offset > head:
            raise PositionError(
                f"offset {offset} is beyond the head {head} of the event log {self.path}: the log has lost its tail or "
                "is another one; rebuild the state that is ahead of it"
            )
        if offset < cut:
            raise PositionError(
                f"offset {offset} is below the tail {cut} of the event log {self.path}: retention has cut the records "
                "after it; rebuild the state from the event tables"
            )
        return head


def _head(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
    return 0 if row is None else int(row[0])


def _cut(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM facts WHERE name = 'cut'").fetchone()
    return 0 if row is None else int(row[0])


def _consumers(connection: sqlite3.Connection) -> dict[str, Position]:
    rows = connection.execute("SELECT name, last FROM consumers ORDER BY name")
    return {name: {PARTITION: last} for name, last in rows}


def _offset(position: Position) -> int:
    unknown = position.keys() - {PARTITION}
    if unknown:
        raise PositionError(f"the event log has partition {PARTITION} only, not {sorted(unknown)}")
    return position.get(PARTITION, 0)


def _missing(path: Path, first: int, last: int) -> list[Segment]:
    raise CorruptSegment(f"offsets {first} to {last} are missing from the event log {path}; run `saima log repair`")
