"""The seams of the stores: one interface each; an embedded backend and a scaled-out one fit behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from saima.events import Position


@dataclass(frozen=True)
class Segment:
    """A run of records of one topic; the row at index i has offset `first + i`."""

    topic: str
    partition: int
    first: int
    table: pa.Table

    @property
    def last(self) -> int:
        """Offset of the last row."""
        return self.first + int(self.table.num_rows) - 1


class EventLog(Protocol):
    """An append-only log of all topics; offsets grow by one over all topics of a partition and start at 1."""

    @property
    def generation(self) -> str:
        """Identity of this log; positions of another generation are refused."""
        ...

    def append(self, topic: str, table: pa.Table, producer: tuple[str, int] | None = None) -> Position:
        """Append rows and return the position of the last one.

        `producer` is (boot id, number of the last row): a batch whose number is not above the producer's last one
        has been appended before and changes nothing. Several processes may append at once.
        """
        ...

    def produced(self, producer: str) -> int:
        """The last number that this producer appended, or -1."""
        ...

    def read(self, after: Position, rows: int = 10_000, topics: Sequence[str] | None = None) -> list[Segment]:
        """Segments after a position, oldest first, at most about `rows` rows; [] at the head.

        Raises CorruptSegment (naming offsets and topic) and PositionError (an offset beyond the head).
        """
        ...

    def head(self) -> Position:
        """Position of the last record."""
        ...

    def close(self) -> None: ...


class OnlineRead(Protocol):
    """One read transaction: everything read through it belongs to one commit."""

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]: ...

    def scan(self, table: str) -> list[tuple[str, bytes]]: ...

    def position(self) -> Position:
        """Position that the state of this transaction covers."""
        ...

    def generation(self, table: str) -> int:
        """Number of commits that changed the table; equal numbers mean equal contents, 0 that there is no table."""
        ...


class OnlineWrite(OnlineRead, Protocol):
    """One write transaction; it commits when its block ends and aborts on an exception."""

    def put_many(self, table: str, items: Iterable[tuple[str, bytes | None]]) -> None:
        """Put values; None deletes."""
        ...

    def make(self, table: str) -> None:
        """Make a table, empty where there is none: what has no rows yet is not what nobody has built."""
        ...

    def set_position(self, position: Position) -> None: ...


class OnlineStore(Protocol):
    """Key-value store of packed entities: one writer a shard, any number of reading processes."""

    def read(self) -> AbstractContextManager[OnlineRead]: ...

    def write(self) -> AbstractContextManager[OnlineWrite]: ...

    def close(self) -> None: ...


class Tables(Protocol):
    """Offline tables by name, such as `events/flight_departed` or `flight_delay/samples`."""

    def append(self, name: str, frame: pl.DataFrame, app: str | None = None, version: int | None = None) -> bool:
        """Append rows; with `app` and `version` (an application transaction) at most once: False if it was there."""
        ...

    def app_version(self, name: str, app: str) -> int:
        """Last application transaction version of `app`, or -1."""
        ...

    def replace(self, name: str, frame: pl.DataFrame, where: str | None = None) -> None:
        """Overwrite the table, or the rows that fit a SQL predicate such as `day = '2013-01-01'`."""
        ...

    def merge(self, name: str, frame: pl.DataFrame, on: Sequence[str]) -> None:
        """Insert rows, replacing those with equal values in `on`."""
        ...

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Lazy rows, of an older version if given. Raises StoreError naming the table if it does not exist."""
        ...

    def exists(self, name: str) -> bool: ...

    def version(self, name: str) -> int: ...

    def names(self) -> list[str]:
        """Names of all tables, sorted."""
        ...

    def compact(self, name: str) -> None: ...


@dataclass(frozen=True)
class BundleRow:
    """A published bundle. Order is by publication number, never by text."""

    publication: int
    algorithm: str
    lineage: str
    digest: str
    tag: str
    path: str
    manifest: dict[str, Any]
    created: int


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment document and who wrote it."""

    epoch: int
    document: dict[str, Any]
    author: str
    reason: str
    created: int


@dataclass(frozen=True)
class Claim:
    """The one retrain of a lineage that is queued or running."""

    lineage: str
    token: str
    position: int
    trigger: str
    run_id: str
    claimed: int


class Registry(Protocol):
    """Bundles, deployments with history, retrain claims, status of processes, facts."""

    def publish(
        self, algorithm: str, lineage: str, digest: str, tag: str, path: str, manifest: Mapping[str, Any]
    ) -> int:
        """Record a bundle and return its publication number; the same digest again returns the first number."""
        ...

    def bundle(self, publication: int) -> BundleRow: ...

    def bundles(self, algorithm: str, lineage: str | None = None) -> list[BundleRow]: ...

    def deployment(self) -> DeploymentRow:
        """The newest document; epoch 0 with an empty document where there is none."""
        ...

    def deployments(self, limit: int = 50) -> list[DeploymentRow]: ...

    def deploy(self, expected: int, document: Mapping[str, Any], author: str, reason: str) -> int:
        """Write epoch `expected + 1`; raises Conflict if the newest epoch is not `expected`."""
        ...

    def claim(self, lineage: str, position: int, trigger: str, seconds: float) -> Claim | None:
        """Take the lineage's only retrain place, or None if it is taken; an unbound claim ends after `seconds`.

        `lineage` is `<algorithm>/<lineage>` here and below.
        """
        ...

    def bind(self, token: str, run_id: str) -> bool:
        """Tie a claim to a Dagster run, so that it no longer ends by time; False if the claim has ended."""
        ...

    def release(self, token: str) -> None: ...

    def claims(self) -> list[Claim]: ...

    def set_status(self, name: str, document: Mapping[str, Any]) -> None:
        """Publish the status of a process, e.g. `host/<boot>` or `worker/0`; stamped with the wall clock."""
        ...

    def statuses(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Statuses by name; each document carries `updated` (ms)."""
        ...

    def put_fact(self, name: str, value: Mapping[str, Any]) -> None:
        """A small named JSON value that outlives processes, e.g. `trained/flight_delay/xgb`."""
        ...

    def fact(self, name: str) -> dict[str, Any] | None: ...

    def facts(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Facts by name, of those whose names begin so."""
        ...

    def append_mark(self, kind: str, document: Mapping[str, Any]) -> None:
        """Append to a history, e.g. `retrain`, `swap`, `rollback`; stamped with the wall clock as `at` (ms)."""
        ...

    def marks(self, kind: str, since: int = 0) -> list[dict[str, Any]]: ...
