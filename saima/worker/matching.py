"""Rules on a shard's events: sorter, matcher and the orders of the log that change the rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from saima.events import Topic
from saima.stores.interfaces import OnlineRead
from saima.streams.held import Change
from saima.streams.lateness import BEGINNING
from saima.streams.matching import SCHEMA, Match, Matcher, RuleError, RuleSet
from saima.streams.matching.orders import Order, Rulebook
from saima.streams.ordering import ENVELOPE, Sorter
from saima.worker.intake import Batch

STATE, HELD, BOOK = "matching", "matching_held", "matching_book"
"""Online tables of partial matches, of events that wait for the watermark, and of the rules' origins."""

_KEY = "book"

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
    """Deployed rules over all topics. The watermark is the newest time of any topic that a rule listens to, minus the
    greatest lateness among these; lateness is judged row by row. Without rules nothing is held and nothing written."""

    def __init__(self, topics: Mapping[str, Topic], lateness: Mapping[str, int]) -> None:
        self.sorter = Sorter(_fields(topics.values()))
        self.matcher = Matcher(RuleSet.read([]))
        self.book = Rulebook()
        self.counts: Counter[str] = Counter()
        self.refused = ""
        self._lateness = dict(lateness)
        self._topics = list(topics)
        self._noted = self.book.pack()

    def restore(self, read: OnlineRead) -> None:
        """Continue from what an earlier process committed."""
        self.matcher = Matcher.load(read.scan(STATE))
        self.sorter.load(read.scan(HELD))
        (book,) = read.get_many(BOOK, [_KEY])
        if book is not None:
            self.book, self._noted = Rulebook.unpack(book), book

    def process(self, batch: Batch) -> pa.Table | None:
        """Matches that a batch lets out, its orders carried out at their offsets; None without any."""
        if not batch.orders and not self.active:
            return None
        rows: list[pl.DataFrame] = []
        low = -1
        for offset, text in [*batch.orders, (None, "")]:
            rows += self._events(batch.tables, low, offset)
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
        book = self.book.pack()
        if not self.active and book == self._noted:
            return []
        self._noted = book
        changes: list[Change] = [(STATE, key, data) for key, data in self.matcher.changes()]
        changes += [(HELD, key, data) for key, data in self.sorter.changes()]
        return [*changes, (BOOK, _KEY, book)]

    @property
    def active(self) -> bool:
        """Whether there are rules, or partial matches of rules that were disabled."""
        return bool(self.matcher.rules.rules) or any(partition.keys for partition in self.matcher.partitions.values())

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
            "late": self.sorter.late,
            "held": len(self.sorter),
            "watermark": watermark if watermark > BEGINNING else None,
            "counters": counters,
            "refused": self.refused,
        }

    def _carry_out(self, offset: int, text: str) -> None:
        try:
            order = Order.read(text)
            rules = self.book.after(self.matcher.rules, order)
            self.matcher.deploy(rules, order.in_flight)
            self.refused = ""
        except (RuleError, ValueError, TypeError) as error:
            self.refused = f"the order at offset {offset} is refused: {error}"

    def _events(self, tables: Mapping[str, pa.Table], low: int, high: int | None) -> list[pl.DataFrame]:
        """Matches that rows of offsets between two orders let out."""
        heard = self._heard()
        frames = [_rows(tables[topic], self.sorter.fields, low, high) for topic in heard if topic in tables]
        frames = [frame for frame in frames if frame.height]
        if not frames:
            return []
        events = pl.concat(frames).sort("offset")
        times = events["time"].to_numpy()
        bound = max(self._lateness[topic] for topic in heard)
        marks = np.maximum(np.maximum.accumulate(times) - bound, self.sorter.watermark)
        before = np.concatenate([[self.sorter.watermark], marks[:-1]])
        late = times < before
        self.sorter.late += int(late.sum())
        self.sorter.process_batch(events.filter(~late))
        watermark = int(marks[-1])
        released = self.sorter.release(watermark)
        offsets = events["offset"].to_numpy()
        found = self.matcher.process_batch(released)
        moments = released["time"].gather(found["row"]).to_numpy()
        parts = [_caused(found.drop("row"), offsets, np.searchsorted(marks, moments, "right"))]
        timed = self.matcher.advance(watermark)
        if timed:
            ends = np.array([match.time for match in timed], np.int64)
            parts.append(_caused(_frame(timed), offsets, np.searchsorted(marks, ends, "left")))
        return [part for part in parts if part.height]

    def _heard(self) -> list[str]:
        """Topics whose events some rule sees; a rule without `on` sees all."""
        names: set[str] = set()
        for partition in self.matcher.partitions.values():
            for compiled in [*partition.starts.rules, *partition.draining]:
                names.update(compiled.rule.on or self._topics)
        return [topic for topic in self._topics if topic in names]


def _fields(topics: Iterable[Topic]) -> dict[str, pl.DataType]:
    """Scalar fields of all topics; a name that two topics give different types is a float64, or a text."""
    found: dict[str, pl.DataType] = {}
    for topic in topics:
        for name, dtype in pl.DataFrame(topic.schema.empty_table()).schema.items():
            if name in ENVELOPE or name == "appended" or dtype.is_nested():
                continue
            known = found.setdefault(name, dtype)
            if known != dtype:
                found[name] = pl.Float64() if known.is_numeric() and dtype.is_numeric() else pl.String()
    return found


def _rows(table: pa.Table, fields: Mapping[str, pl.DataType], low: int, high: int | None) -> pl.DataFrame:
    """Rows of a topic between two offsets, in the sorter's columns, with their offsets."""
    frame = pl.DataFrame(table)
    wanted = pl.col("offset") > low
    if high is not None:
        wanted &= pl.col("offset") < high
    columns = [pl.col(name).cast(dtype) for name, dtype in ENVELOPE.items()]
    columns += [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in fields.items()
    ]
    return frame.filter(wanted).select(*columns, "offset")


def _caused(rows: pl.DataFrame, offsets: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Matches with the offset of the event whose watermark let each out."""
    causes = offsets[np.minimum(places, len(offsets) - 1)]
    return rows.with_columns(offset=pl.Series(causes, dtype=pl.Int64)).select(SCHEMA_OF_ROWS.names)


def _frame(found: Sequence[Match]) -> pl.DataFrame:
    """Matches that time let out, as the matcher's frames hold theirs."""
    rows = [asdict(match) for match in found]
    for row in rows:
        row["fields"] = json.dumps(row["fields"], sort_keys=True) if row["fields"] else None
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in SCHEMA.items() if name != "row"})
