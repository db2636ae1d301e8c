"""The sorter: events wait behind the watermark and leave in the order (time, seq)."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
import polars as pl

from saima.errors import StoreError
from saima.events import Event
from saima.streams.engine import Change
from saima.streams.lateness import BEGINNING
from saima.streams.parts import join, packed, split, unpacked

ENVELOPE: dict[str, pl.DataType] = {
    "key": pl.String(),
    "type": pl.String(),
    "time": pl.Int64(),
    "seq": pl.Int64(),
    "id": pl.String(),
}
"""Columns of the standard event in a batch that an engine takes."""

ORDER = ("time", "seq", "key", "type", "id")
"""Ties of time and seq, which only events of different producers have, fall by key, type and id."""

CLOCK = "clock"
"""Key under which `changes` gives the watermark and the counts."""

_Place = tuple[int, int, str, str, str]


class Sorter:
    """Holds events until the watermark has passed them; `advance` and, as a frame, `release` give them in order.

    fields: the payload's columns and their types; others are left out, a missing one is null, and the payload of a
    released event holds no nulls. width: ms of event time that are kept together. An event before the watermark can
    no longer be put in order: it is counted in `late` and goes no further.
    """

    def __init__(self, fields: Mapping[str, pl.DataType], width: int = 1_000) -> None:
        self.fields = dict(fields)
        self.watermark = BEGINNING
        self.late = 0
        self._width = width
        self._schema = pl.Schema({**ENVELOPE, **self.fields})
        self._singles = [name for name, dtype in self.fields.items() if dtype == pl.Float32]
        self._events: list[tuple[_Place, int, Event]] = []
        self._count = 0
        self._buckets: dict[int, list[pl.DataFrame]] = {}
        self._times: list[int] = []
        self._fresh: list[pl.DataFrame] = []
        self._fresh_events: list[Event] = []
        self._chunks: dict[int, int] = {}
        self._gone: list[int] = []
        self._next = 0

    def process(self, event: Event) -> list[Event]:
        """Hold one event; nothing leaves before `advance`."""
        if event.time < self.watermark:
            self.late += 1
            return []
        held = Event(event.key, event.type, event.time, event.seq, event.id, self._payload(event.payload))
        self._push(held)
        self._fresh_events.append(held)
        return []

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        """Hold a batch; the returned frame, of what leaves at once, is empty."""
        missing = [pl.lit(None, dtype).alias(name) for name, dtype in self.fields.items() if name not in events.columns]
        frame = events.with_columns(missing).select(self._schema.names()).cast(self._schema)
        on_time = frame.filter(pl.col("time") >= self.watermark)
        self.late += frame.height - on_time.height
        if on_time.height:
            self._hold(on_time)
            self._fresh.append(on_time)
        return self._schema.to_frame()

    def advance(self, watermark: int) -> list[Event]:
        """Every held event before the watermark, in order."""
        frame = self._cut(watermark)
        found = _events(frame) if frame.height else []
        popped = self._pop()
        return sorted([*found, *popped], key=_place) if found and popped else found or popped

    def release(self, watermark: int) -> pl.DataFrame:
        """The same as a frame: the path of high throughput."""
        frame = self._cut(watermark)
        popped = self._pop()
        return frame.vstack(self._frame(popped)).sort(*ORDER) if popped else frame

    @property
    def first(self) -> int | None:
        """The least time of the events that are held, ms; None without any."""
        times = [event.time for _, _, event in self._events[:1]]
        if self._times:
            times += [int(part["time"].min()) for part in self._buckets[self._times[0]]]  # type: ignore[arg-type]
        return min(times, default=None)

    def __len__(self) -> int:
        return len(self._events) + sum(part.height for parts in self._buckets.values() for part in parts)

    def changes(self) -> list[Change]:
        """What came since the last call as one chunk, the chunks that have left since, and the clock.

        A chunk never changes: what of it has left is known by the watermark.
        """
        frame = self._new()
        changed: list[Change] = [(f"{chunk:020d}", None) for chunk in self._gone]
        if frame.height:
            changed.append((f"{self._next:020d}", packed(frame)))
            self._chunks[self._next] = _newest(frame)
            self._next += 1
        self._fresh, self._fresh_events, self._gone = [], [], []
        return [*changed, (CLOCK, _json(self._clock()))]

    def load(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in what the `changes` of an earlier sorter left in the store; a field that is new is missing there.

        Raises StoreError for a field whose type has changed.
        """
        chunks = dict(items)
        if CLOCK in chunks:
            self._read_clock(json.loads(chunks.pop(CLOCK)))
        for key, data in sorted(chunks.items()):
            frame = self._conform(key, unpacked(data))
            self._chunks[int(key)] = _newest(frame)
            self._hold(frame.filter(pl.col("time") >= self.watermark))

    def snapshot(self) -> bytes:
        """All that is held, what of it `changes` has not given yet, and the clock, packed."""
        parts = [part for _, parts in sorted(self._buckets.items()) for part in parts]
        held = pl.concat([*parts, self._frame([event for _, _, event in sorted(self._events)])])
        state = {**self._clock(), "chunks": list(self._chunks.items()), "gone": self._gone}
        return join((_json(state), packed(held), packed(self._new())))

    @classmethod
    def restore(cls, snapshot: bytes) -> Self:
        """A sorter that continues where the snapshot was taken."""
        state, held, fresh = split(snapshot)
        frame, known = unpacked(held), json.loads(state)
        fields = {name: dtype for name, dtype in frame.schema.items() if name not in ENVELOPE}
        made = cls(fields, known["width"])
        made._read_clock(known)
        made._chunks, made._gone = dict(known["chunks"]), known["gone"]
        made._fresh = [unpacked(fresh)]
        made._hold(frame)
        return made

    def _conform(self, chunk: str, frame: pl.DataFrame) -> pl.DataFrame:
        if frame.schema == self._schema:
            return frame
        for name, dtype in frame.schema.items():
            if self._schema.get(name, dtype) != dtype:
                raise StoreError(
                    f"the sorter's chunk {chunk} holds '{name}' as {dtype}, declared {self._schema[name]}: put the old "
                    "declaration back until the events that wait have left, or give the field another name"
                )
        new = [pl.lit(None, dtype).alias(name) for name, dtype in self._schema.items() if name not in frame.columns]
        return frame.with_columns(new).select(self._schema.names())

    def _payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: payload[name] for name in self.fields if payload.get(name) is not None}
        for name in self._singles:
            if name in found:
                found[name] = float(np.float32(found[name]))
        return found

    def _push(self, event: Event) -> None:
        heapq.heappush(self._events, (_place(event), self._count, event))
        self._count += 1

    def _pop(self) -> list[Event]:
        found = []
        while self._events and self._events[0][0][0] < self.watermark:
            found.append(heapq.heappop(self._events)[2])
        return found

    def _hold(self, frame: pl.DataFrame) -> None:
        times = frame["time"].to_numpy()
        if not len(times):
            return
        places = times // self._width
        low, high = int(places.min()), int(places.max())
        if low == high:
            self._put(low, frame)
            return
        order = np.argsort(places, kind="stable")
        sorted_places = places[order]
        frame = frame[order]
        cuts = [0, *(np.flatnonzero(np.diff(sorted_places)) + 1).tolist(), len(times)]
        for start, stop in pairwise(cuts):
            self._put(int(sorted_places[start]), frame[start:stop])

    def _put(self, place: int, frame: pl.DataFrame) -> None:
        held = self._buckets.get(place)
        if held is None:
            self._buckets[place] = held = []
            heapq.heappush(self._times, place)
        held.append(frame)

    def _cut(self, watermark: int) -> pl.DataFrame:
        """Take out the rows before the watermark, sorted."""
        self.watermark = max(self.watermark, watermark)
        taken: list[pl.DataFrame] = []
        while self._times and self._times[0] * self._width < self.watermark:
            place = heapq.heappop(self._times)
            parts = self._buckets.pop(place)
            if (place + 1) * self._width <= self.watermark:
                taken += parts
                continue
            frame = pl.concat(parts)
            leaves = frame["time"] < self.watermark
            taken.append(frame.filter(leaves))
            rest = frame.filter(~leaves)
            if rest.height:
                self._put(place, rest)
            break
        gone = [chunk for chunk, newest in self._chunks.items() if newest < self.watermark]
        for chunk in gone:
            del self._chunks[chunk]
        self._gone += gone
        return pl.concat(taken).sort(*ORDER) if taken else self._schema.to_frame()

    def _frame(self, events: list[Event]) -> pl.DataFrame:
        rows = [(e.key, e.type, e.time, e.seq, e.id, *(e.payload.get(name) for name in self.fields)) for e in events]
        return pl.DataFrame(rows, schema=self._schema, orient="row")

    def _new(self) -> pl.DataFrame:
        """Rows that came since the last `changes` and are still held."""
        frame = pl.concat([*self._fresh, self._frame(self._fresh_events)])
        return frame.filter(pl.col("time") >= self.watermark)

    def _clock(self) -> dict[str, Any]:
        return {"watermark": self.watermark, "late": self.late, "next": self._next, "width": self._width}

    def _read_clock(self, known: Mapping[str, Any]) -> None:
        self.watermark, self.late, self._next = known["watermark"], known["late"], known["next"]


def _place(event: Event) -> _Place:
    return event.time, event.seq, event.key, event.type, event.id


def _events(frame: pl.DataFrame) -> list[Event]:
    names = frame.columns[len(ENVELOPE) :]
    return [
        Event(key, kind, time, seq, identity, {n: v for n, v in zip(names, values, strict=True) if v is not None})
        for key, kind, time, seq, identity, *values in frame.iter_rows()
    ]


def _newest(frame: pl.DataFrame) -> int:
    return int(frame["time"].to_numpy().max())


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
