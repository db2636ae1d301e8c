"""One linker behind a sorter of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from saima.events import Topic
from saima.stores.interfaces import OnlineRead
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.streams.lateness import BEGINNING
from saima.streams.linking import Linker, Linking
from saima.worker.frames import SESSIONS
from saima.worker.intake import Batch
from saima.worker.linking import HELD
from saima.worker.ordered import InOrder

_SPEC = "declaration"
_END = 1 << 61


class Linked:
    """A declared linker in the worker; see linking.Sessions."""

    def __init__(
        self,
        name: str,
        spec: Linking,
        topics: Mapping[str, Topic],
        lateness: Mapping[str, int],
        idle: Mapping[str, int | None],
        share: Share,
    ) -> None:
        self._table, self._held = f"{SESSIONS}{name}", f"{HELD}{name}"
        self._heard = list(topics)
        self._order = InOrder(topics, lateness, idle, share, whole=False)
        self._linker = Linker(spec)
        self._noted = False
        self._ended: pl.DataFrame | None = None
        self._at = 0
        self._gone: list[str] = []

    def restore(self, read: OnlineRead) -> None:
        """Continue; sessions of another declaration end, caused by the order of the log that this state covers last."""
        self._at = read.position().get(0, 0)
        items = dict(read.scan(self._table))
        self._order.load(read.scan(self._held))
        known = items.pop(_SPEC, None)
        if known is None:
            return
        before = Linking.model_validate_json(known)
        self._noted = before == self._linker.spec
        if self._noted:
            self._linker.load(items.items())
            return
        old = Linker(before)
        old.load(items.items())
        self._gone = list(items)
        self._linker.watermark = old.watermark
        self._ended = old.expire(_END)

    def process(self, batch: Batch) -> pa.Table | None:
        """Nodes that a batch lets out; None if there are none."""
        passed = self._order.take(batch.tables, batch.silences, self._heard)
        parts: list[pl.DataFrame] = []
        if self._ended is not None:
            parts.append(self._ended.with_columns(offset=pl.lit(self._at, pl.Int64)))
            self._ended = None
        if passed is not None:
            nodes = [self._linker.process_batch(passed.events), self._linker.expire(passed.watermark)]
            parts += [one.with_columns(offset=passed.causes(one["known"].to_numpy())) for one in nodes if one.height]
        if not any(part.height for part in parts):
            return None
        return pl.concat(parts).rename({"known": "time"}).to_arrow()

    def changes(self) -> list[Change]:
        """State changed since the last call."""
        changes: list[Change] = [(self._table, key, None) for key in self._gone]
        self._gone = []
        if not self._noted:
            spec = self._linker.spec.model_dump_json().encode()
            changes.append((self._table, _SPEC, spec))
            self._noted = True
        changes += [(self._table, key, data) for key, data in self._linker.changes()]
        return changes + [(self._held, key, data) for key, data in self._order.changes()]

    def waits(self, silent: Mapping[str, int]) -> list[str]:
        """Topics whose silence (ms by topic), if it were recorded now, would let something out; [] if it would not."""
        return self._heard if self._order.due(self._heard, silent, self._linker.next) else []

    def status(self) -> dict[str, Any]:
        """Open sessions, events that wait or came late, the watermark in ms, counters."""
        sorter = self._order.sorter
        watermark = sorter.watermark if sorter.watermark > BEGINNING else None
        counters = {name: count for name, count in self._linker.counters.items() if count}
        return {"open": self._linker.open, "late": sorter.late, "held": len(sorter), "watermark": watermark, **counters}
