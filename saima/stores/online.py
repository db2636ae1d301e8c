"""OnlineStore on LMDB: one environment and one writer a shard, any number of reading processes and threads."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from saima.errors import StoreError
from saima.events import Position
from saima.stores.environments import Environment, acquire, explain, lock_writer
from saima.stores.keys import LONGEST, position_key, prefix_of, stored_key, table_generation_key, unpack, wrap

_NUMBER = struct.Struct("<Q")


class LmdbRead:
    """One read transaction; see OnlineRead. It is used by one thread and ends with its block."""

    __slots__ = ("_held", "_txn")

    def __init__(self, held: Environment) -> None:
        self._held = held
        self._txn: Any = None

    def __enter__(self) -> LmdbRead:
        try:
            self._txn = self._held.begin()
        except lmdb.Error as error:
            raise StoreError(explain(self._held.path, "read the online store", error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._txn.abort()
        self._held.release()
        if isinstance(error, lmdb.Error):
            raise StoreError(explain(self._held.path, "read the online store", error)) from error

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Values of keys, None where there is none, in the order of the keys."""
        try:
            return _get_many(self._txn, table, keys)
        except lmdb.Error as error:
            raise self._explained(table, error) from error

    def scan(self, table: str) -> list[tuple[str, bytes]]:
        """All entities of a table, by key."""
        try:
            return _scan(self._txn, table)
        except lmdb.Error as error:
            raise self._explained(table, error) from error

    def position(self) -> Position:
        """Position that the state of this transaction covers; {} before the first."""
        return _position(self._txn)

    def generation(self, table: str) -> int:
        """Number of commits that changed the table."""
        try:
            return _generation(self._txn, table)
        except lmdb.Error as error:
            raise self._explained(table, error) from error

    def _explained(self, table: str, error: lmdb.Error) -> StoreError:
        return StoreError(explain(self._held.path, f"read '{table}' of the online store", error))


class LmdbWrite:
    """One write transaction; see OnlineWrite. Made by `LmdbStore.write`."""

    __slots__ = ("_touched", "_txn")

    def __init__(self, txn: Any) -> None:
        self._txn = txn
        self._touched: set[str] = set()

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Values of keys, those put in this transaction included."""
        return _get_many(self._txn, table, keys)

    def scan(self, table: str) -> list[tuple[str, bytes]]:
        """All entities of a table, by key."""
        return _scan(self._txn, table)

    def position(self) -> Position:
        """Position that the state of this transaction covers; {} before the first."""
        return _position(self._txn)

    def generation(self, table: str) -> int:
        """Number of commits that changed the table, this one included if it does."""
        return _generation(self._txn, table) + (table in self._touched)

    def put_many(self, table: str, items: Iterable[tuple[str, bytes | None]]) -> None:
        """Put values; None deletes."""
        prefix = prefix_of(table)
        pairs: list[tuple[bytes, bytes]] = []
        touched = False
        with self._txn.cursor() as cursor:
            for key, value in items:
                stored = prefix + key.encode()
                if value is not None and len(stored) <= LONGEST:
                    pairs.append((stored, value))
                    continue
                stored, _ = stored_key(prefix, key)
                if value is None:
                    touched |= bool(cursor.putmulti(pairs)[0])
                    pairs = []
                    touched |= self._txn.delete(stored)
                else:
                    pairs.append((stored, wrap(key, value)))
            touched |= bool(cursor.putmulti(pairs)[0])
        if touched:
            self._touched.add(table)

    def make(self, table: str) -> None:
        """Make a table, empty where there is none."""
        if not _generation(self._txn, table):
            self._touched.add(table)

    def clear(self, table: str) -> None:
        """Delete all entities of a table."""
        self.put_many(table, [(key, None) for key, _ in self.scan(table)])

    def set_position(self, position: Position) -> None:
        """Record the position that this commit covers."""
        self._txn.put(position_key(), json.dumps({str(k): v for k, v in sorted(position.items())}).encode())

    def _seal(self) -> None:
        for table in self._touched:
            self._txn.put(table_generation_key(table), _NUMBER.pack(_generation(self._txn, table) + 1))


class LmdbStore:
    """The online store of one shard.

    A reader opens the environment at its first `read`, so that it may be made before the worker has created it;
    until then `read` raises StoreError. All stores of a process on one folder share one environment.
    `sync`: force every commit to the disk; without it the last commits, or the file, can be lost with the power.
    """

    def __init__(self, path: Path, *, writer: bool = False, sync: bool = True) -> None:
        self.path = path
        self.writer = writer
        self._sync = sync
        self._guard = threading.Lock()
        self._environment: Environment | None = None
        self._lock = lock_writer(path) if writer else None
        if writer:
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def read(self) -> LmdbRead:
        """One read transaction, as a context manager."""
        held = self._environment
        return LmdbRead(held if held is not None and held.usable() else self._open())

    @contextmanager
    def write(self) -> Iterator[LmdbWrite]:
        """One write transaction: it commits when the block ends and aborts on an exception."""
        if not self.writer:
            raise StoreError(f"the online store {self.path} was opened for reading; open it with writer=True")
        held = self._environment or self._open()
        try:
            txn = held.begin(write=True)
            try:
                with txn:
                    write = LmdbWrite(txn)
                    yield write
                    write._seal()
            finally:
                held.release()
        except lmdb.Error as error:
            raise StoreError(explain(self.path, "write the online store", error)) from error

    def close(self) -> None:
        """Close the environment if no other store of this process uses it, and give up the writer's lock."""
        with self._guard:
            if self._environment is not None:
                self._environment.release()
                self._environment = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _open(self) -> Environment:
        with self._guard:
            if self._environment is None or not self._environment.usable():
                if self.writer and self._lock is None:
                    raise StoreError(f"the online store {self.path} is closed")
                self._environment = acquire(self.path, create=self.writer, sync=self._sync)
            return self._environment


def _get_many(txn: Any, table: str, keys: Sequence[str]) -> list[bytes | None]:
    prefix = prefix_of(table)
    get = txn.get
    values: list[bytes | None] = []
    for key in keys:
        stored, long = stored_key(prefix, key)
        value = get(stored)
        values.append(unpack(value)[1] if long and value is not None else value)
    return values


def _scan(txn: Any, table: str) -> list[tuple[str, bytes]]:
    prefix = prefix_of(table)
    size = len(prefix)
    found: list[tuple[str, bytes]] = []
    with txn.cursor() as cursor:
        if cursor.set_range(prefix):
            for stored, value in cursor.iternext(keys=True, values=True):
                if not stored.startswith(prefix):
                    break
                short = not stored.startswith(b"\xff", size)
                found.append((stored[size:].decode(), value) if short else unpack(value))
    return found


def _position(txn: Any) -> Position:
    value = txn.get(position_key())
    return {} if value is None else dict(_decoded(value))


@lru_cache(maxsize=64)
def _decoded(value: bytes) -> Position:
    """A position's bytes, decoded once for all requests between two commits; not to be written to."""
    return {int(k): v for k, v in json.loads(value).items()}


def _generation(txn: Any, table: str) -> int:
    value = txn.get(table_generation_key(table))
    return 0 if value is None else int(_NUMBER.unpack(value)[0])
