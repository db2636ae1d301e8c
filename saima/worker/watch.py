"""What a worker looks out for beside the log's rows: edited declarations and rules, topics that are silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from saima.stores.interfaces import EventLog
from saima.stores.shards import Share
from saima.streams.matching.orders import give, wanted
from saima.worker.declared import Declared
from saima.worker.engines import Engines
from saima.worker.intake import Batch
from saima.worker.rulefiles import RuleFiles
from saima.worker.silence import Listening


class Watch:
    """What it finds becomes an order, or a record of silence, in the log, where every shard reads it.

    clock: wall ms. The first of several shards looks at files for all.
    """

    def __init__(
        self,
        name: str,
        share: Share,
        folder: Path,
        log: EventLog,
        declared: Declared,
        engines: Engines,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._share = share
        self._folder = folder
        self._log = log
        self._declared = declared
        self._engines = engines
        self._clock = clock
        self.renew()

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with files of rules now, by path."""
        return self._files.errors

    def renew(self) -> None:
        """Begin anew, after declarations have changed: rules may read other fields, other topics may be silent."""
        self._files = RuleFiles(self._folder, self._declared.catalog.fields)
        self._listening = Listening(self._name, self._declared.catalog.idle)

    def order(self, position: int) -> int:
        """Order what the algorithms' files say, where it is not what is deployed; the number of orders."""
        if not self._share.first:
            return 0
        given = self._declared.watch(position, self._clock())
        files = self._files.look()
        if files is None:
            return given
        matching = self._engines.matching
        orders = wanted(files, matching.matcher.rules, matching.book)
        if orders:
            give(self._log, orders, self._clock())
        return given + len(orders)

    def hear(self, batch: Batch, now: int) -> None:
        """A batch has been read by `now` (wall ms)."""
        self._listening.hear(batch.tables, batch.silences, now)

    def listen(self, position: int) -> int:
        """Record the silence of topics where rules or sessions wait for it; the number of records."""
        now = self._clock()
        silent = self._listening.look(now, self._engines.waits)
        if silent:
            self._listening.give(self._log, silent, position, now)
        return len(silent)
