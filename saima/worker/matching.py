"""Rules on a shard's events: sorter, matcher and the orders of the log that change the rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from saima.events import Topic
from saima.stores.interfaces import OnlineRead
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.streams.lateness import BEGINNING
from saima.streams.matching import SCHEMA, Match, Matcher, RuleError, RuleSet
from saima.streams.matching.deployed import BOOK, KEY, STATE, load
from saima.streams.matching.orders import Order, Rulebook
from saima.worker.ordered import InOrder

if TYPE_CHECKING:
    from saima.worker.intake import Batch

_NO_ORDER = (ValueError, TypeError, AttributeError, RecursionError)
"""What reading a record that is no order raises."""

HELD = "matching_held"
"""Online table of events that wait for the watermark."""

SCHEMA_OF_ROWS = pa.schema(
    [
        ("rule", pa.string()),
        ("version", pa.int64()),
        ("key", pa.string()),
        ("kind", pa.string()),
        ("time", pa.int64()),
        ("start", pa.int64()),
        ("steps", pa.list_(pa.string())),
        ("ids", pa.list_(pa.string())),
        ("fields", pa.string()),
        ("offset", pa.int64()),
    ]
)
"""A row of the table `matches`; `fields` is JSON, `offset` that of the event whose watermark let the match out."""


class Matching:
    """Deployed rules over the topics that they listen to. Without rules nothing is held and nothing written."""

    def __init__(
        self, topics: Mapping[str, Topic], lateness: Mapping[str, int], idle: Mapping[str, int | None], share: Share
    ) -> None:
        self.order = InOrder(topics, lateness, idle, share)
        self.matcher = Matcher(RuleSet.read([]), share)
        self.book = Rulebook()
        self.counts: Counter[str] = Counter()
        self.refused = ""
        self._topics = list(topics)
        self._share = share
        self._changed = False

    def restore(self, read: OnlineRead) -> None:
        """Continue from what an earlier process committed."""
        self.matcher, self.book = load(read, self._share)
        self.order.load(read.scan(HELD))

    def process(self, batch: Batch) -> pa.Table | None:
        """Matches that a batch lets out, its orders carried out at their offsets; None without any."""
        if not batch.orders and not self.active:
            return None
        self._changed = True
        rows: list[pl.DataFrame] = []
        low = -1
        for offset, text in [*batch.orders, (None, "")]:
            rows += self._events(batch, low, offset)
            if offset is not None:
                self._carry_out(offset, text)
                low = offset
        found = pl.concat(rows) if rows else None
        if found is None or not found.height:
            return None
        self.counts["matches"] += found.height
        return found.to_arrow().cast(SCHEMA_OF_ROWS)

    def changes(self) -> list[Change]:
        """State changed since the last call."""
        if not self._changed:
            return []
        self._changed = False
        changes: list[Change] = [(STATE, key, data) for key, data in self.matcher.changes()]
        changes += [(HELD, key, data) for key, data in self.order.changes()]
        return [*changes, (BOOK, KEY, self.book.pack())]

    def waits(self, silent: Mapping[str, int]) -> list[str]:
        """Topics whose silence (ms by topic), if it were recorded now, would let something out; [] if it would not."""
        heard = self._heard()
        return heard if self.order.due(heard, silent, self.matcher.timers.next) else []

    @property
    def active(self) -> bool:
        """Whether there are rules, or some that were disabled may have partial matches, be it in another shard."""
        return bool(self.matcher.rules.rules) or bool(self.book.draining(self.matcher.watermark))

    def status(self) -> dict[str, Any]:
        """What the worker tells of its rules: id, version and origin of each, counts, the watermark in ms."""
        rules = [
            {"id": name, "version": one.rule.version, "origin": self.book.origins.get(name, "")}
            for name, one in self.matcher.rules.rules.items()
        ]
        watermark = self.matcher.watermark
        counters = {f"{rule} {what}".strip(): count for (rule, what), count in self.matcher.counters.items() if count}
        return {
            "deployed": rules,
            "disabled": sorted(self.book.disabled),
            "matches": self.counts["matches"],
            "late": self.order.sorter.late,
            "held": len(self.order.sorter),
            "watermark": watermark if watermark > BEGINNING else None,
            "counters": counters,
            "refused": self.refused,
        }

    def _carry_out(self, offset: int, text: str) -> None:
        try:
            order = Order.read(text)
            book = Rulebook.unpack(self.book.pack())  # followed only if the matcher takes the rules
            rules = book.after(self.matcher.rules, order, self.matcher.watermark)
            self.matcher.deploy(rules, order.in_flight)
            self.book = book
            self.refused = ""
        except (RuleError, *_NO_ORDER) as error:
            self.refused = f"the order at offset {offset} is refused: {error}"

    def _events(self, batch: Batch, low: int, high: int | None) -> list[pl.DataFrame]:
        """Matches that rows of offsets between two orders let out."""
        passed = self.order.take(batch.tables, batch.silences, self._heard(), low, high)
        if passed is None:
            return []
        found = self.matcher.process_batch(passed.events)
        moments = passed.events["time"].gather(found["row"]).to_numpy()
        parts = [found.with_columns(offset=passed.causes(moments))]
        timed = self.matcher.advance(passed.watermark)
        if timed:
            ends = np.array([match.time for match in timed], np.int64)
            parts.append(_frame(timed).with_columns(offset=passed.causes(ends, reached=True)))
        return [part.select(SCHEMA_OF_ROWS.names) for part in parts if part.height]

    def _heard(self) -> list[str]:
        """Topics whose events some rule sees, of whatever shard; a rule without `on` sees all."""
        names: set[str] = set()
        for compiled in self.matcher.rules.rules.values():
            names.update(compiled.rule.on or self._topics)
        for retired in self.book.draining(self.matcher.watermark):
            names.update(retired.on or self._topics)
        return [topic for topic in self._topics if topic in names]


def _frame(found: Sequence[Match]) -> pl.DataFrame:
    """Matches that time let out, as the matcher's frames hold theirs."""
    rows = [asdict(match) for match in found]
    for row in rows:
        row["fields"] = json.dumps(row["fields"], sort_keys=True) if row["fields"] else None
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in SCHEMA.items() if name != "row"})
