"""The stream worker: reads the log, runs the engines, commits state, position and outbox in one transaction."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from saima.errors import SaimaError, StoreError
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry, open_tables
from saima.stores.shards import Share, former
from saima.worker import ledger
from saima.worker.accepted import Accepted, Stopped
from saima.worker.catalog import Catalog
from saima.worker.commits import Committer
from saima.worker.cycle import Cycle
from saima.worker.declared import KEY, Declared
from saima.worker.drainer import Drainer
from saima.worker.engines import Engines
from saima.worker.frames import sinks
from saima.worker.history import build, history_ends
from saima.worker.readers import Readers
from saima.worker.status import Meter, counts, watermarks
from saima.worker.steps import step
from saima.worker.swap import Swap
from saima.worker.teller import Teller
from saima.worker.watch import Watch

LOG = logging.getLogger("saima.worker")
FEW = 64
"""Rows below which a cycle costs what its commit costs: such cycles may linger, so that one commit serves more."""

ACTIVE, IDLE = 0.002, 0.02
"""Seconds between looks at the log while events come, and after a second without any."""


WATCHED = 0.5
"""Seconds between looks at the files of rules, and for topics that are silent."""


def wall_clock() -> int:
    """Now, in ms UTC."""
    return time.time_ns() // 1_000_000


class Worker:
    """One shard. Making it takes the online store's writer lock: a second worker of the shard gets StoreError.

    `rows` is about the most that one cycle reads, BEHIND times as many where it is behind; `drain_seconds` the least
    time between two appends to a table.
    """

    def __init__(
        self,
        settings: Settings,
        shard: int = 0,
        clock: Callable[[], int] = wall_clock,
        rows: int = 4_000,
        drain_seconds: float = 1.0,
    ) -> None:
        if not 0 <= shard < settings.shards:
            raise SaimaError(
                f"shard {shard}: of {settings.shards} shards (SAIMA_SHARDS) the last is {settings.shards - 1}"
            )
        self._share = share = Share(shard, settings.shards)
        self.name = f"worker/{shard}"
        self.state = "starting"
        self.meter = Meter()
        self._clock = clock
        self._linger = settings.linger_ms / 1000
        self._online = open_online(shard, settings, writer=True)
        self._log = open_log(settings)
        self._tables = open_tables(settings)
        self._registry = open_registry(settings)
        self._registry.drop_status(self.name)
        self._numbers: list[int] = (self._registry.fact("shards") or {"numbers": [1]})["numbers"]
        self._commits = Committer(self._online, ledger.Ledger(self._log.generation, settings.shards))
        try:
            with self._online.read() as read:
                self.declared = Declared(settings.algorithms, read, self._registry, self._log)
            self._engines = Engines(self.catalog, self._online, self.declared.sessions, share)
        except SaimaError:
            self.close()
            raise
        self._readers = Readers(self._registry)
        self._ready = False
        address = os.environ.get("SAIMA_DAGSTER_URL", "")
        self._teller = Teller(
            self._registry,
            self._tables,
            self.catalog.declarations,
            self.name,
            self.status,
            self._note,
            address,
            clock,
            share,
        )
        found = sinks(self.catalog.topics, self.catalog.declarations, self.declared.sessions)
        appended = self._teller.appended
        self._drainer = Drainer(self._online, self._tables, found, share, appended, drain_seconds, self._numbers)
        self._events = Accepted(settings, share, self._tables)
        outward = (self._drainer, self._teller)
        self._swap = Swap(
            self.declared, self._commits, self._engines, outward, self._registry, self._events, share, self.drain
        )
        self._watch = Watch(self.name, share, settings.algorithms, self._log, self.declared, self._engines, clock)
        doing = (self._commits, self._engines, self._swap, self._drainer, self._watch, self.meter)
        self._cycle = Cycle(self.name, share, self._log, *doing, rows, clock)

    @property
    def catalog(self) -> Catalog:
        """What is declared, of all algorithms together."""
        return self.declared.catalog

    @property
    def position(self) -> int:
        """Offset that the committed state covers."""
        return self._commits.position

    def bootstrap(self, stop: threading.Event | None = None) -> None:
        """Make the state whole: that of an earlier process, and from history what it lacks.

        History is what the event tables hold before the facts `history/<topic>` ({"end": ms}); a table whose topic has
        got another history since it was built is built again, which waits for shards that are behind, or until `stop`.
        Raises StoreError if there is no such fact, and for a store of another number of shards, PositionError if the
        state belongs to another log.
        """
        with self._online.read() as read:
            known = ledger.load(read, self._log.generation, self._share.shards)
            if known is not None:
                self._commits.resume(known, read, self._drainer.sinks)
                self._engines.restore(known, read)
        self._settle_number()
        self._swap.ends = ends = history_ends(self._registry)
        self._engines.intake.begin(ends)
        wanted = {name: ends.get(topic, 0) for name, topic in self.catalog.tables.items()}
        missing = {name for name, end in wanted.items() if self._commits.ledger.built.get(name) != end}
        if known is None or missing:
            self._build(missing, wanted, ends, stop)
        self.declared.begin()
        if known is not None and self._share.first:
            self.declared.files.look()
            self.declared.watch(self.position, self._clock())
        self._note()
        self._teller.catch_up(self._drainer.sinks)
        self._ready = True
        step("after_bootstrap")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain the outbox. Raises what ends it otherwise; what was read is safe."""
        self._await_history(stop)
        if stop.is_set():
            return
        try:
            self.bootstrap(stop)
        except Stopped:
            return
        gc.freeze()  # what stays for good is not looked through again
        self.state = "running"
        LOG.info("worker %s runs from offset %d on", self.name, self.position)
        self._drainer.start()
        self._teller.start()
        if self._share.first:
            self.declared.files.start()
        try:
            self._work(stop)
            self.state = "stopped"
        except BaseException as error:
            self.state = f"failed: {error}"
            raise
        finally:
            self.declared.files.stop()
            self._drainer.stop()
            self._teller.stop()
            self._finish()

    def cycle(self) -> int:
        """Read, compute and commit one micro-batch, and clear what has been drained; the rows read."""
        if not self._ready:
            self.bootstrap()
        return self._cycle.run()

    def watch(self) -> int:
        """Order what the algorithms' files say, where it is not what is deployed; the number of orders.

        The first of several shards does it for all.
        """
        return self._watch.order(self.position)

    def listen(self) -> int:
        """Record the silence of topics where rules or sessions wait for it; the number of records."""
        return self._watch.listen(self.position) if self._ready else 0

    def drain(self) -> int:
        """Append the outbox to the tables now and clear it; the rows appended."""
        rows = self._drainer.drain()
        self._commits.clear(self._drainer.take())
        return rows

    def status(self) -> dict[str, Any]:
        """What the registry shows as `worker/<shard>`."""
        head = self._log.head().get(0, 0)
        return {
            "pid": os.getpid(),
            "state": self.state,
            "position": {"0": self.position},
            "head": head,
            "lag_events": max(0, head - self.position),
            "outbox_rows": self._commits.rows,
            "drain_error": self._drainer.error,
            "seen_ids": len(self._engines.intake.seen),
            **watermarks(self._engines.intake.clocks),
            "dead_letters": dict(self._commits.ledger.reasons),
            **counts(self._commits.ledger.counts, self._engines.counters),
            **self._engines.told,
            "wrong_rules": self._watch.errors,
            "unread": self._readers.unread(self.catalog, self._clock()),
            **self._swap.status(),
            **self.meter.read(self._clock()),
        }

    def close(self) -> None:
        """Give up the stores and the writer's lock."""
        self._online.close()
        self._log.close()
        self._registry.close()

    def _settle_number(self) -> None:
        """Keep of how many shards the home's workers were, as the fact `shards`; let go of shards that are no more.

        Their registrations with the log would hold its retention up for ever.
        """
        if self._share.shards not in self._numbers:
            self._registry.put_fact("shards", {"numbers": [*self._numbers, self._share.shards]})
        if self._share.first:
            for name in former(self._log.consumers(), self._share.shards):
                self._log.unregister(name)
            for name in former(self._registry.statuses("worker/"), self._share.shards):
                self._registry.drop_status(name)

    def _wait(self, state: str) -> None:
        if self.state != state:
            self.state = state
            self._registry.set_status(self.name, self.status())

    def _note(self) -> None:
        """Tell the log how far its records are no longer needed here, so that retention may cut them."""
        self._log.register(self.name, {0: self.position})

    def _await_history(self, stop: threading.Event) -> None:
        """A worker that comes up before the first materialization waits for it, and says so."""
        while not history_ends(self._registry) and not stop.is_set():
            self.state = "waiting for the history: materialize it, or run `saima up`"
            self._registry.set_status(self.name, self.status())
            stop.wait(0.5)

    def _work(self, stop: threading.Event) -> None:
        busy, watched = time.monotonic(), 0.0
        while not stop.is_set():
            if self._drainer.failure is not None:
                raise self._drainer.failure
            if time.monotonic() - watched > WATCHED:
                self.watch()
                self.listen()
                watched = time.monotonic()
            begun = time.monotonic()
            if rows := self.cycle():
                busy = time.monotonic()
                left = begun + self._linger - busy
                if rows < FEW and left > 0:
                    stop.wait(left)
                continue
            stop.wait(ACTIVE if time.monotonic() - busy < 1.0 else IDLE)

    def _finish(self) -> None:
        """Last drain and last status; a table that refuses leaves its rows in the outbox."""
        try:
            self.drain()
            self._note()
        except StoreError as error:
            LOG.warning("%d rows stay in the outbox until the next start: %s", self._commits.rows, error)
        self._teller.tell()

    def _build(
        self, missing: set[str], wanted: dict[str, int], ends: Mapping[str, int], stop: threading.Event | None
    ) -> None:
        """Build the missing online tables from the event tables, drop those that nobody declares any more."""
        if not ends:
            raise StoreError(
                "there is no fact 'history/<topic>' in the registry: materialize the history, or run `saima up`"
            )
        if self.position:
            self.drain()
        topics = list(self.catalog.topics.values())
        frames = self._events.frames(topics, self.position, ends, stop, self._wait)
        changes = build(self.catalog, missing, frames, self._share)
        stale = set(self._commits.ledger.built) - set(wanted) | (missing & set(self._commits.ledger.built))
        self._commits.ledger.built = dict(sorted(wanted.items()))
        self._commits.build([*changes, (ledger.TABLE, KEY, self.declared.book.pack())], missing, stale)
        LOG.info("built %d entities of %d tables out of the event tables", len(changes), len(missing))
