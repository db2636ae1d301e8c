"""Moves outbox rows to the offline tables, each exactly once, on a thread of its own.

Per sink: read the table's application version on the handle that commits, drop the rows whose cause is not above it,
append the rest with version = the last cause, tell the worker which entries may go. A kill between any two of these
leaves either the rows in the outbox or the table's version above them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from saima.errors import StoreError
from saima.stores.interfaces import OnlineStore, Tables
from saima.stores.shards import Share, owners
from saima.worker.frames import MATCHES, SESSIONS, Frame
from saima.worker.outbox import table, unpacked
from saima.worker.steps import step

LOG = logging.getLogger("saima.worker")
ROWS = 100_000
"""Most rows of one append."""

Appended = Callable[[str, pl.DataFrame], None]


@dataclass
class Drained:
    """What the worker may delete: keys of entries by sink; and how many rows and bytes they hold."""

    keys: dict[str, list[str]] = field(default_factory=dict)
    rows: int = 0
    size: int = 0


UNHURRIED = 5
"""Rounds between two appends to a table that nobody waits for: event tables and the journal. Samples go each round."""


class Drainer(threading.Thread):
    """Drains every `interval` seconds, so that a table gets at most one append in it.

    `appended` is told what went to a sink, after the append; rows that an earlier process had appended come with it
    no second time. A store that refuses keeps the rows in the outbox: `error` says why, the next round tries again;
    any other failure is kept in `failure` for the worker to raise. `numbers`: of how many shards there were before.
    """

    def __init__(
        self,
        online: OnlineStore,
        tables: Tables,
        sinks: Mapping[str, Frame],
        share: Share,
        appended: Appended,
        interval: float = 1.0,
        numbers: Iterable[int] = (),
    ) -> None:
        super().__init__(name="drainer", daemon=True)
        self.error = ""
        self.failure: BaseException | None = None
        self.appends = 0
        self._online = online
        self._tables = tables
        self._sinks = dict(sinks)
        self._share = share
        self._numbers = [number for number in numbers if number != share.shards]
        self._appended = appended
        self._interval = interval
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._drained = Drained()
        self._done: dict[str, str] = {}

    @property
    def sinks(self) -> list[str]:
        """Names of the tables that are drained to."""
        return list(self._sinks)

    def declare(self, sinks: Mapping[str, Frame]) -> None:
        """Drain to these tables from now on; whatever an order had to wait for has been drained."""
        with self._turn:
            self._sinks = dict(sinks)

    def run(self) -> None:
        """Drain until stopped."""
        turn = 0
        while not self._halt.wait(self._interval):
            turn += 1
            try:
                self.drain([sink for sink in self.sinks if turn % UNHURRIED == 0 or sink.endswith("/samples")])
            except StoreError as error:
                if str(error) != self.error:
                    LOG.warning("the tables take no rows now, they wait in the outbox: %s", error)
                self.error = str(error)
            except BaseException as error:  # noqa: BLE001  # raised again by the worker's thread
                self.failure = error
                return

    def stop(self) -> None:
        """Stop after the round that is running."""
        self._halt.set()
        if self.is_alive():
            self.join()

    def drain(self, sinks: Sequence[str] | None = None) -> int:
        """Append what is in the outbox now, of the given sinks or of all; the rows appended.

        Raises StoreError, after all others, for a table that refuses.
        """
        rows = 0
        refusal: StoreError | None = None
        with self._turn:
            for sink in self._sinks if sinks is None else sinks:
                more = True
                while more:
                    try:
                        more, appended = self._drain(sink)
                        rows += appended
                    except StoreError as error:
                        refusal, more = error, False
        if refusal is not None:
            raise refusal
        self.error = ""
        return rows

    def take(self) -> Drained:
        """Entries drained since the last call."""
        with self._lock:
            taken, self._drained = self._drained, Drained()
        return taken

    def _drain(self, sink: str) -> tuple[bool, int]:
        """One append of at most about ROWS rows; whether entries are left, and the rows appended."""
        parts: list[pa.Table] = []
        keys: list[str] = []
        size = count = 0
        more = False
        if sink not in self._sinks:
            return False, 0  # dropped since the round began
        with self._online.read() as read:
            entries = read.scan(table(sink))
        for key, data in entries:
            if key <= self._done.get(sink, ""):
                continue
            if count >= ROWS:
                more = True
                break
            parts.append(unpacked(data))
            keys.append(key)
            size += len(data)
            count += parts[-1].num_rows
        if not keys:
            return False, 0
        step("before_append")
        appended = self._append(sink, pa.concat_tables(parts))
        step("after_append")
        self._done[sink] = keys[-1]
        with self._lock:
            self._drained.keys.setdefault(sink, []).extend(keys)
            self._drained.rows += count
            self._drained.size += size
        return more, appended

    def _append(self, sink: str, rows: pa.Table) -> int:
        """Append the rows whose cause the table does not have yet."""
        app = application(sink, self._share)
        known = self._tables.app_version(sink, app)
        if known >= 0:
            rows = rows.filter(pc.greater(rows.column("offset"), known))
        for number in self._numbers:
            rows = self._new_to(sink, rows, number)
        if not rows.num_rows:
            return 0
        frame = self._sinks[sink](rows)
        last = int(rows.column("offset").to_numpy().max())
        if not self._tables.append(sink, frame, app=app, version=last):
            return 0
        self.appends += 1
        self._appended(sink, frame)
        return frame.height

    def _new_to(self, sink: str, rows: pa.Table, shards: int) -> pa.Table:
        """The rows that the shards of an earlier number have not appended: each one up to its own last cause."""
        apps = [application(sink, Share(shard, shards)) for shard in range(shards)]
        known = np.array([self._tables.app_version(sink, app) for app in apps])
        if known.max() < 0:
            return rows
        last = known[owners(pl.Series(rows.column(key(sink))), shards)]
        return rows.filter(pa.array(rows.column("offset").to_numpy() > last))


def application(sink: str, share: Share) -> str:
    """Name of a shard's application transactions in a table; shards of another number have other names."""
    return f"{sink}/{share.shard}" if share.shards == 1 else f"{sink}/{share.shard} of {share.shards}"


def key(sink: str) -> str:
    """The column by which the rows of a table are shared out among shards."""
    if sink.startswith("events/"):
        return "id"
    return "key" if sink == MATCHES or sink.startswith(SESSIONS) else "trace"
