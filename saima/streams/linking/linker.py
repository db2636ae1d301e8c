"""The session linker: events of a key become the tree session > app > scene > page > behaviour."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import polars as pl

from saima.errors import StoreError
from saima.events import Event
from saima.streams.engine import Change
from saima.streams.lateness import BEGINNING
from saima.streams.linking import layout as at
from saima.streams.linking.batch import Batch
from saima.streams.linking.intake import Reader
from saima.streams.linking.nodes import SCHEMA, Node, from_frame
from saima.streams.linking.sessions import Ints, Sessions
from saima.streams.linking.single import Single
from saima.streams.linking.spec import LEVELS, Linking
from saima.streams.parts import join, split

CLOCK = "clock"
"""Key under which `changes` gives watermark, counts and the declaration's digest."""

SESSION = "session/"
"""Stands before a key of the stream in the keys of `changes`."""


class Linker:
    """Links the events of each key; events come in the order (time, seq), as the sorter gives them.

    A node's row is given when the node is left, a page's when the next page of its session is known. A session whose
    key is silent for more than the gap ends at its last event, by the next event of the key or by `advance`: whichever
    comes first, the rows are the same. `counters` counts what is not linked, by reason.
    """

    def __init__(self, spec: Linking) -> None:
        self.spec = spec
        self.watermark = BEGINNING
        self._reader = Reader(spec)
        self._open = Sessions()
        self._timers: list[tuple[int, int]] = []
        self._counts: Ints = np.zeros(at.COUNTS, dtype=np.int64)
        self._refused = {"ignored": 0, "unnamed": 0, "late": 0}
        self._flags = (spec.gap, spec.lenient, spec.declared_sessions)
        self._single = Single()

    @property
    def open(self) -> int:
        """Open sessions."""
        return len(self._open)

    @property
    def next(self) -> int | None:
        """The least watermark at which a session ends by its gap, ms; None without open ones."""
        held, gap = self._open, self.spec.gap
        while self._timers:
            deadline, slot = self._timers[0]
            end = int(held.rows[slot, at.LAST]) + gap
            if held.rows[slot, at.DEPTH] and end <= deadline:
                return deadline + 1
            heapq.heappop(self._timers)
            held.timed[slot] = False
            if held.rows[slot, at.DEPTH]:
                self._time([slot])
        return None

    @property
    def counters(self) -> dict[str, int]:
        """Counts since the beginning.

        ignored: of undeclared types; unnamed: without the name that the declaration asks for; late: before the
        watermark; disordered: before an earlier event of the key; orphan_<level>: lacking that level (strict).
        """
        counts = self._counts.tolist()
        return {
            **self._refused,
            "disordered": counts[at.DISORDERED],
            "timeouts": counts[at.TIMEOUTS],
            "synthesised": counts[at.SYNTHESISED],
            "nodes": counts[at.NODES],
            **{f"orphan_{level}": counts[at.ORPHANS + place] for place, level in enumerate(LEVELS[:-1])},
        }

    def process(self, event: Event) -> list[Node]:
        """Nodes that one event leaves."""
        if event.type not in self.spec.entries:
            self._refused["ignored"] += 1
            return []
        found = self._reader.read(event.type, event.payload)
        if found is None:
            self._refused["unnamed"] += 1
            return []
        if event.time < self.watermark:
            self._refused["late"] += 1
            return []
        held = self._open
        slot = held.slot(event.key)
        nodes = self._single.link(held, slot, event, *found, self._counts, self._flags)
        if not held.rows[slot, at.DEPTH]:
            held.drop([slot])
        elif not held.timed[slot]:
            self._time([slot])
        return nodes

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        """Nodes that the rows leave, row by row in their order."""
        known = events.filter(pl.col("type").is_in(self._reader.types))
        self._refused["ignored"] += events.height - known.height
        read = self._reader.read_batch(known)
        if read["name"].null_count():
            named = read.filter(pl.col("name").is_not_null())
            self._refused["unnamed"] += read.height - named.height
            read = named
        if read.height and read["time"].min() < self.watermark:  # type: ignore[operator]
            on_time = read.filter(pl.col("time") >= self.watermark)
            self._refused["late"] += read.height - on_time.height
            read = on_time
        return self._link(read) if read.height else SCHEMA.to_frame()

    def advance(self, watermark: int) -> list[Node]:
        """Nodes of the sessions whose gap is over, by the session's last event, then by key."""
        return from_frame(self.expire(watermark))

    def expire(self, watermark: int) -> pl.DataFrame:
        """The same as a frame: the path of high throughput."""
        self.watermark = max(self.watermark, watermark)
        due = self._due()
        if not due:
            return SCHEMA.to_frame()
        held = self._open
        slots = np.array(due)
        batch = Batch(held, slots, pl.Series(held.keys[slots].tolist(), dtype=pl.String))
        found = batch.expire(self._counts, self.spec.gap)
        held.dirty[slots] = True
        self._settle(slots)
        if held.sparse:
            self._compact()
        return found

    def changes(self) -> list[Change]:
        """Sessions that changed since the last call by key, packed, None where one is over; and the clock."""
        index, pack = self._open.index, self._open.pack
        changed = [(SESSION + key, pack(index[key]) if key in index else None) for key in self._open.changed()]
        self._open.settle()
        return [*changed, (CLOCK, self._clock())]

    def load(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in what the `changes` of an earlier linker left in the store.

        Raises StoreError where that one had another declaration.
        """
        for key, data in items:
            if key == CLOCK:
                self._read_clock(json.loads(data))
            else:
                self._time([self._open.unpack(data)])

    def snapshot(self) -> bytes:
        """Declaration, clock, open sessions and which of them `changes` has not given yet, packed."""
        open_ = [self._open.pack(slot) for _, slot in sorted(self._open.index.items())]
        parts = [
            self.spec.model_dump_json().encode(),
            self._clock(),
            json.dumps(self._open.changed()).encode(),
            *open_,
        ]
        return join(parts)

    @classmethod
    def restore(cls, snapshot: bytes) -> Self:
        """A linker that continues where the snapshot was taken."""
        parts = split(snapshot)
        made = cls(Linking.model_validate_json(parts[0]))
        made.load([(CLOCK, parts[1]), *((SESSION, data) for data in parts[3:])])
        made._open.settle(json.loads(parts[2]))
        return made

    def _link(self, read: pl.DataFrame) -> pl.DataFrame:
        held = self._open
        local, first = _locals(read["key"])
        keys = read["key"].gather(first)
        slots = held.slots(keys.to_list())
        before = held.rows[slots, at.DEPTH]
        batch = Batch(held, slots, keys)
        found = batch.link(read, local, self._counts, self._flags)
        held.dirty[slots[(before > 0) | batch.begins]] = True
        self._settle(slots)
        return found

    def _settle(self, slots: Ints) -> None:
        """Give back the slots of sessions that are over, time those that are new."""
        held = self._open
        over = held.rows[slots, at.DEPTH] == 0
        held.drop(slots[over].tolist())
        self._time(slots[~over & ~held.timed[slots]].tolist())

    def _time(self, slots: list[int]) -> None:
        """One timer a session: at its end as far as it is known; it is set anew when it goes off too early."""
        held = self._open
        for deadline, slot in zip((held.rows[slots, at.LAST] + self.spec.gap).tolist(), slots, strict=True):
            heapq.heappush(self._timers, (deadline, slot))
        held.timed[slots] = True

    def _due(self) -> list[int]:
        """Slots whose sessions are over, in the order of the sessions' last events, then of keys."""
        held, found = self._open, []
        while self._timers and self._timers[0][0] < self.watermark:
            _, slot = heapq.heappop(self._timers)
            held.timed[slot] = False
            if not held.rows[slot, at.DEPTH]:
                continue
            if held.rows[slot, at.LAST] + self.spec.gap < self.watermark:
                found.append(slot)
            else:
                self._time([slot])
        return sorted(found, key=lambda slot: (held.rows[slot, at.LAST], held.keys[slot]))

    def _compact(self) -> None:
        """Move the open sessions to arrays of their number."""
        held, self._open, self._timers = self._open, Sessions(), []
        self._time([self._open.unpack(held.pack(slot)) for slot in held.index.values()])
        self._open.settle(held.changed())

    def _clock(self) -> bytes:
        state = {
            "digest": self.spec.digest,
            "watermark": self.watermark,
            "refused": self._refused,
            "counts": self._counts.tolist(),
        }
        return json.dumps(state, separators=(",", ":")).encode()

    def _read_clock(self, known: Mapping[str, Any]) -> None:
        if known["digest"] != self.spec.digest:
            raise StoreError(
                f"the open sessions are those of the declaration {known['digest'][:12]}, now it is "
                f"{self.spec.digest[:12]}: let them end under the old one, or build the state anew"
            )
        self.watermark, self._refused = known["watermark"], dict(known["refused"])
        self._counts[:] = known["counts"]


def _locals(keys: pl.Series) -> tuple[Ints, Ints]:
    """Per row the number of its key, in order of first appearance, and the row where each key appears first."""
    first = keys.to_frame("key").with_row_index("row").select(pl.col("row").min().over("key")).to_series().to_numpy()
    firsts = first == np.arange(len(first))
    return (np.cumsum(firsts) - 1)[first], np.flatnonzero(firsts)
