"""One micro-batch: read, compute and commit, and clear what has been drained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from saima.events import DECLARATIONS
from saima.stores.interfaces import EventLog
from saima.stores.shards import Share
from saima.worker import letters
from saima.worker.commits import Committer
from saima.worker.declared import until_order
from saima.worker.drainer import Drainer
from saima.worker.engines import Engines
from saima.worker.intake import Batch
from saima.worker.status import Meter
from saima.worker.steps import step
from saima.worker.swap import Swap
from saima.worker.watch import Watch

HELD = 256 * 2**20
"""Bytes of outbox beyond which nothing more is read until the tables have taken some."""

BEHIND = 16
"""Times as many rows as usual that a cycle may read while the log holds more than the cycle before could take."""


class Cycle:
    """The cycles of a shard. rows: about the most that one reads, BEHIND times as many where it is behind; clock: wall
    ms."""

    def __init__(
        self,
        name: str,
        share: Share,
        log: EventLog,
        commits: Committer,
        engines: Engines,
        swap: Swap,
        drainer: Drainer,
        watch: Watch,
        meter: Meter,
        rows: int,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._share = share
        self._log = log
        self._commits = commits
        self._engines = engines
        self._swap = swap
        self._drainer = drainer
        self._watch = watch
        self._meter = meter
        self._most = self._size = rows
        self._clock = clock

    def run(self) -> int:
        """One cycle; the rows read."""
        self._swap.settle()
        is_full = self._commits.size + self._swap.held > HELD
        segments = until_order([] if is_full else self._log.read({0: self._commits.position}, self._size))
        if not segments:
            self._commits.clear(self._drainer.take())
            return 0
        step("after_read")
        if segments[0].topic == DECLARATIONS:
            rows = self._swap.carry_out(segments[0])
            self._watch.renew()
            return rows
        batch = self._engines.intake.admit(segments)
        if self._share.first:
            letters.post(self._log, self._name, batch.refused, self._clock())
        step("after_refused")
        outputs = self._engines.process(batch)
        step("after_compute")
        self._commit(batch, outputs)
        self._swap.keep(batch.tables)
        step("after_commit")
        now = self._clock()
        self._meter.committed(now, batch.appended)
        self._watch.hear(batch, now)
        # Behind, a cycle takes more: what it costs once is then shared by more rows.
        self._size = min(2 * self._size, BEHIND * self._most) if batch.rows >= self._size else self._most
        return batch.rows

    def _commit(self, batch: Batch, outputs: Mapping[str, pa.Table]) -> None:
        """State, position and outbox of a cycle, at once."""
        changes, book = self._engines.changes(), self._commits.ledger
        book.follow(self._engines.intake.clocks)
        if self._share.first:  # every shard sees all rows
            book.count(
                rows=batch.rows,
                late=batch.late,
                duplicates=batch.duplicates,
                refused=len(batch.refused),
                forgotten=self._engines.intake.seen.forgotten,
            )
            book.count_reasons(batch.reasons)
        self._commits.commit(batch.last, changes, outputs, self._drainer.take())
