"""The stream worker: reads the log, runs the engines, commits state, position and outbox in one transaction."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from saima.errors import SaimaError, StoreError
from saima.features.declaration import Declaration
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry, open_tables
from saima.streams.held import Change
from saima.worker import ledger, letters, outbox
from saima.worker.catalog import catalog, declared
from saima.worker.drainer import Drainer
from saima.worker.engines import Engines
from saima.worker.frames import sinks
from saima.worker.history import build, history_ends, history_frames
from saima.worker.intake import Batch, packed
from saima.worker.status import Meter, counts, watermarks
from saima.worker.steps import step
from saima.worker.teller import Teller

LOG = logging.getLogger("saima.worker")
HELD = 256 * 2**20
"""Bytes of outbox beyond which nothing more is read until the tables have taken some."""

ACTIVE, IDLE = 0.002, 0.02
"""Seconds between looks at the log while events come, and after a second without any."""


def wall_clock() -> int:
    """Now, in ms UTC."""
    return time.time_ns() // 1_000_000


class Worker:
    """One shard. Making it takes the online store's writer lock: a second worker of the shard gets StoreError.

    `declarations` are the algorithms by name; absent: those of the settings' folder. `rows` is about the most that one
    cycle reads; `drain_seconds` the least time between two appends to a table.
    """

    def __init__(
        self,
        settings: Settings,
        shard: int = 0,
        declarations: Mapping[str, Declaration] | None = None,
        clock: Callable[[], int] = wall_clock,
        rows: int = 4_000,
        drain_seconds: float = 1.0,
    ) -> None:
        if settings.shards != 1 or shard != 0:
            raise SaimaError(
                f"shard {shard} of {settings.shards}: the embedded stores run one shard; set SAIMA_SHARDS=1 and shard 0"
            )
        self.catalog = catalog(declared(settings.algorithms) if declarations is None else declarations)
        self.name = f"worker/{shard}"
        self.state = "starting"
        self.meter = Meter()
        self._clock = clock
        self._most = rows
        self._online = open_online(shard, settings, writer=True)
        self._log = open_log(settings)
        self._tables = open_tables(settings)
        self._registry = open_registry(settings)
        self._registry.drop_status(self.name)
        self._ledger = ledger.Ledger(self._log.generation)
        self._engines = Engines(self.catalog, self._online)
        self._position = 0
        self._outbox_rows = self._outbox_size = 0
        self._ready = False
        found = sinks(self.catalog.topics, self.catalog.declarations)
        address = os.environ.get("SAIMA_DAGSTER_URL", "")
        self._teller = Teller(
            self._registry, self._tables, self.catalog.declarations, self.name, self.status, self._note, address, clock
        )
        self._drainer = Drainer(self._online, self._tables, found, shard, self._teller.appended, drain_seconds)

    @property
    def position(self) -> int:
        """Offset that the committed state covers."""
        return self._position

    def bootstrap(self) -> None:
        """Make the state whole: that of an earlier process, and from history what it lacks.

        History is what the event tables hold before the facts `history/<topic>` ({"end": ms}); a table whose topic has
        got another history since it was built is built again. Raises StoreError if there is no such fact,
        PositionError if the state belongs to another log.
        """
        with self._online.read() as read:
            known = ledger.load(read, self._log.generation)
            if known is not None:
                self._ledger = known
                self._position = read.position().get(0, 0)
                self._engines.restore(known, read)
                for sink in self._drainer.sinks:
                    for _, data in read.scan(outbox.table(sink)):
                        self._outbox_rows += outbox.unpacked(data).num_rows
                        self._outbox_size += len(data)
        ends = history_ends(self._registry)
        self._engines.intake.begin(ends)
        wanted = {name: ends.get(topic, 0) for name, topic in self.catalog.tables.items()}
        missing = {name for name, end in wanted.items() if self._ledger.built.get(name) != end}
        if known is None or missing:
            self._build(missing, wanted, ends)
        self._note()
        self._teller.catch_up(self._drainer.sinks)
        self._ready = True
        step("after_bootstrap")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain the outbox. Raises what ends it otherwise; what was read is safe."""
        self._await_history(stop)
        if stop.is_set():
            return
        self.bootstrap()
        self.state = "running"
        LOG.info("worker %s runs from offset %d on", self.name, self._position)
        self._drainer.start()
        self._teller.start()
        try:
            self._work(stop)
            self.state = "stopped"
        except BaseException as error:
            self.state = f"failed: {error}"
            raise
        finally:
            self._drainer.stop()
            self._teller.stop()
            self._finish()

    def cycle(self) -> int:
        """Read, compute and commit one micro-batch, and clear what has been drained; the rows read."""
        if not self._ready:
            self.bootstrap()
        segments = [] if self._outbox_size > HELD else self._log.read({0: self._position}, self._most)
        if not segments:
            self._clear()
            return 0
        step("after_read")
        batch = self._engines.intake.admit(segments)
        letters.post(self._log, self.name, batch.refused, self._clock())
        step("after_refused")
        outputs = self._engines.process(batch)
        step("after_compute")
        self._commit(batch, outputs)
        step("after_commit")
        self.meter.committed(self._clock(), batch.appended)
        return batch.rows

    def drain(self) -> int:
        """Append the outbox to the tables now and clear it; the rows appended."""
        rows = self._drainer.drain()
        self._clear()
        return rows

    def status(self) -> dict[str, Any]:
        """What the registry shows as `worker/<shard>`."""
        head = self._log.head().get(0, 0)
        return {
            "pid": os.getpid(),
            "state": self.state,
            "position": {"0": self._position},
            "head": head,
            "lag_events": max(0, head - self._position),
            "outbox_rows": self._outbox_rows,
            "drain_error": self._drainer.error,
            "seen_ids": len(self._engines.intake.seen),
            **watermarks(self._engines.intake.clocks),
            **counts(self._ledger.counts, self._engines.counters),
            **self.meter.read(self._clock()),
        }

    def close(self) -> None:
        """Give up the stores and the writer's lock."""
        self._online.close()
        self._log.close()
        self._registry.close()

    def _note(self) -> None:
        """Tell the log how far its records are no longer needed here, so that retention may cut them."""
        self._log.register(self.name, {0: self._position})

    def _await_history(self, stop: threading.Event) -> None:
        """A worker that comes up before the first materialization waits for it, and says so."""
        while not history_ends(self._registry) and not stop.is_set():
            self.state = "waiting for the history: materialize it, or run `saima up`"
            self._registry.set_status(self.name, self.status())
            stop.wait(0.5)

    def _work(self, stop: threading.Event) -> None:
        busy = time.monotonic()
        while not stop.is_set():
            if self._drainer.failure is not None:
                raise self._drainer.failure
            if self.cycle():
                busy = time.monotonic()
                continue
            stop.wait(ACTIVE if time.monotonic() - busy < 1.0 else IDLE)

    def _finish(self) -> None:
        """Last drain and last status; a table that refuses leaves its rows in the outbox."""
        try:
            self.drain()
            self._note()
        except StoreError as error:
            LOG.warning("%d rows stay in the outbox until the next start: %s", self._outbox_rows, error)
        self._teller.tell()

    def _build(self, missing: set[str], wanted: dict[str, int], ends: Mapping[str, int]) -> None:
        """Build the missing online tables from the event tables, drop those that nobody declares any more."""
        if not ends:
            raise StoreError(
                "there is no fact 'history/<topic>' in the registry: materialize the history, or run `saima up`"
            )
        if self._position:
            self.drain()
        frames = history_frames(self._tables, self.catalog.topics.values(), self._position, ends)
        changes = build(self.catalog, missing, frames)
        stale = set(self._ledger.built) - set(wanted) | (missing & set(self._ledger.built))
        self._ledger.built = dict(sorted(wanted.items()))
        with self._online.write() as txn:
            gone: list[Change] = [(table, key, None) for table in sorted(stale) for key, _ in txn.scan(table)]
            changes = [*gone, *changes]
            for table in sorted(missing):
                txn.make(table)
            for table, items in _by_table(changes).items():
                txn.put_many(table, items)
            txn.put_many(ledger.TABLE, [(ledger.KEY, self._ledger.pack())])
            txn.set_position({0: self._position})
        LOG.info("built %d entities of %d tables out of the event tables", len(changes), len(missing))

    def _commit(self, batch: Batch, outputs: Mapping[str, pa.Table]) -> None:
        """The one transaction of a cycle."""
        changes = self._engines.changes()
        self._ledger.follow(self._engines.intake.clocks)
        self._ledger.count(
            rows=batch.rows,
            late=batch.late,
            duplicates=batch.duplicates,
            refused=len(batch.refused),
            forgotten=self._engines.intake.seen.forgotten,
        )
        key = outbox.entry_key(batch.last)
        entries = {sink: packed(table) for sink, table in outputs.items()}
        drained = self._drainer.take()
        with self._online.write() as txn:
            for table, items in _by_table(changes).items():
                txn.put_many(table, items)
            txn.put_many(ledger.TABLE, [(ledger.KEY, self._ledger.pack())])
            for sink, data in entries.items():
                txn.put_many(outbox.table(sink), [(key, data)])
            for sink, keys in drained.keys.items():
                txn.put_many(outbox.table(sink), [(gone, None) for gone in keys])
            txn.set_position({0: batch.last})
            step("in_commit")
        self._position = batch.last
        self._outbox_rows += sum(table.num_rows for table in outputs.values()) - drained.rows
        self._outbox_size += sum(map(len, entries.values())) - drained.size

    def _clear(self) -> None:
        """Delete what has been drained, where no commit of rows does it."""
        drained = self._drainer.take()
        if not drained.keys:
            return
        with self._online.write() as txn:
            for sink, keys in drained.keys.items():
                txn.put_many(outbox.table(sink), [(gone, None) for gone in keys])
            step("in_clear")
        self._outbox_rows -= drained.rows
        self._outbox_size -= drained.size
        step("after_clear")


def _by_table(changes: Iterable[Change]) -> dict[str, list[tuple[str, bytes | None]]]:
    tables: dict[str, list[tuple[str, bytes | None]]] = {}
    for table, key, data in changes:
        tables.setdefault(table, []).append((key, data))
    return tables
