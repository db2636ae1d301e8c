"""Carries out orders that change declarations, between two events; what they add is built while the stream goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from saima.errors import StoreError
from saima.stores.interfaces import Registry, Segment
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.streams.samples import STATE as JOINED
from saima.worker import ledger
from saima.worker.accepted import Accepted
from saima.worker.commits import Committer
from saima.worker.declared import KEY, Declared
from saima.worker.drainer import Drainer
from saima.worker.engines import Engines, joined
from saima.worker.frames import SESSIONS, sinks
from saima.worker.history import history_ends
from saima.worker.linking import HELD
from saima.worker.steps import step
from saima.worker.teller import Teller
from saima.worker.warming import Warming

LOG = logging.getLogger("saima.worker")
RETRIED = 5.0
"""Seconds until windows that could not be built of history are tried again."""


class Swap:
    """One shard's swaps. drain: appends all of the outbox, raises StoreError; ends: of histories by topic, ms UTC."""

    def __init__(
        self,
        declared: Declared,
        commits: Committer,
        engines: Engines,
        outward: tuple[Drainer, Teller],
        registry: Registry,
        events: Accepted,
        share: Share,
        drain: Callable[[], int],
    ) -> None:
        self.ends: dict[str, int] = {}
        self._declared = declared
        self._commits = commits
        self._engines = engines
        self._drainer, self._teller = outward
        self._registry = registry
        self._events = events
        self._share = share
        self._drain = drain
        self._warming: Warming | None = None
        self._again: float | None = None

    @property
    def held(self) -> int:
        """Bytes of events that wait for what is being built."""
        return self._warming.size if self._warming else 0

    def status(self) -> dict[str, Any]:
        """What is declared; and `warming`: online tables that are being built, with what went wrong, if anything."""
        building = self._warming
        warming = {} if building is None else dict.fromkeys(sorted(building.catalog.tables), building.error)
        return {**self._declared.status(), "warming": warming}

    def carry_out(self, segment: Segment) -> int:
        """Swap between the events before and after a segment of orders; its rows; 0 where the tables refuse them now.

        Rows that were caused before are appended first, as they were declared then.
        """
        try:
            self._drain()
        except StoreError as error:
            LOG.warning("an order that changes declarations waits for the tables: %s", error)
            return 0
        step("before_declare")
        declared, known = self._declared, self._commits.ledger
        rows = int(segment.table.num_rows)
        if self._share.first:  # every shard sees all rows
            known.count(rows=rows)
        book, old, linked = declared.after(segment), declared.catalog, set(declared.sessions)
        if book == declared.book:
            self._commits.declare(segment.last, (), ())
            return rows
        declared.take(book)
        new = declared.catalog
        begun = {topic: end for topic, end in history_ends(self._registry).items() if topic not in old.topics}
        self.ends = {**self.ends, **begun}
        known.built = {table: end for table, end in known.built.items() if table in new.tables}
        known.clocks = {topic: newest for topic, newest in known.clocks.items() if topic in new.topics}
        dropped = joined(old).keys() - joined(new).keys()
        gone = [*(old.tables.keys() - new.tables.keys()), *(f"join/{name}" for name in dropped)]
        gone += [f"{place}{name}" for name in linked - declared.sessions.keys() for place in (SESSIONS, HELD)]
        changes: list[Change] = [(JOINED, name, None) for name in dropped]
        self._commits.declare(segment.last, [*changes, (ledger.TABLE, KEY, book.pack())], gone)
        step("after_declare")
        self._engines.declare(new.only(known.built), declared.sessions, known, self.ends)
        self._drainer.declare(sinks(new.topics, new.declarations, declared.sessions))
        self._teller.declare(new.declarations)
        LOG.info("declared at offset %d: %s", segment.last, ", ".join(new.declarations) or "nothing")
        self._begin()
        return rows

    def keep(self, tables: Mapping[str, pa.Table]) -> None:
        """Remember rows that were committed, by topic, for what is being built."""
        if self._warming is not None:
            self._warming.keep(tables)

    def settle(self) -> None:
        """Take over what has been built, if it is ready; what could not be built is tried again after a while.

        Raises StoreError where the tables take no rows when it is tried again.
        """
        building = self._warming
        if building is None or building.is_alive():
            return
        if building.error:
            self._retry(building.error)
            return
        known, made = self._commits.ledger, building.catalog.tables
        known.built = dict(sorted({**known.built, **{name: self.ends.get(made[name], 0) for name in made}}.items()))
        self._commits.build(building.changes(), made, (), warm=True)
        step("after_warm")
        self._engines.aggregate(self._declared.catalog.only(known.built))
        self._warming = None
        LOG.info("built %d tables out of the event tables, as of position %d", len(made), self._commits.position)

    def _begin(self) -> None:
        """Build what is declared and not there yet, of the event tables, which have been drained up to here."""
        found, upto, ends = self._declared.catalog, self._commits.position, dict(self.ends)
        missing = found.tables.keys() - self._commits.ledger.built.keys()
        self._warming = self._again = None
        if missing:
            topics = list(found.topics.values())
            frames = partial(self._events.frames, topics, upto, ends)
            self._warming = Warming(found.only(missing), frames, self._share)
            self._warming.start()

    def _retry(self, error: str) -> None:
        if self._again is None:
            LOG.warning("windows and rows could not be built, and are missing until they are: %s", error)
            self._again = time.monotonic() + RETRIED
        if time.monotonic() < self._again:
            return
        self._again = None
        try:
            self._drain()
        except StoreError:
            return
        self._begin()
