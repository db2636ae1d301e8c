"""One source's events on their way into tiles: lateness row by row, keys, values and conditions of single events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from saima.events import Event
from saima.features.declaration import Source
from saima.streams.aggregation.columns import STAGED, ColumnTiles
from saima.streams.aggregation.rows import NOTED, RowTiles
from saima.streams.aggregation.single import plain, take
from saima.streams.aggregation.tiles import Tiles
from saima.streams.lateness import Clock


@dataclass(frozen=True, slots=True)
class Late:
    """An event later than its source's lateness, and how many ms it is behind the newest event before it."""

    key: str
    type: str
    time: int
    seq: int
    id: str
    behind: int


LATE = {
    "key": pl.String, "type": pl.String, "time": pl.Int64, "seq": pl.Int64, "id": pl.String, "behind": pl.Int64,
}  # fmt: skip
"""Columns of late events."""

PLACE = "@place"
"""Column of a row's number in a batch of several sources."""


class Intake:
    """What one source's events update, and the clock that judges them."""

    def __init__(self, source: Source, tiles: Sequence[Tiles], clock: Clock) -> None:
        self._takes = [take(one, source) for one in tiles]
        self._newest, self._lateness = clock.newest, clock.lateness
        self.accepted = 0
        self.late = 0
        self.take: Callable[[Event], list[Late]] = self._take
        """Take in one event; the event itself if it is late."""
        if len(tiles) == 1 and plain(tiles[0].group):
            (only,) = tiles
            if isinstance(only, RowTiles):
                self.take = self._plainly(only)
            elif isinstance(only, ColumnTiles):
                self.take = self._staging(only)

    def _take(self, event: Event) -> list[Late]:
        time = event.time
        if time > self._newest:
            self._newest = time
        elif time < self._newest - self._lateness:
            return self._late(event)
        self.accepted += 1
        for one in self._takes:
            one(time, event.seq, event.payload)
        return []

    def _late(self, event: Event) -> list[Late]:
        self.late += 1
        return [Late(event.key, event.type, event.time, event.seq, event.id, self._newest - event.time)]

    def _plainly(self, tiles: RowTiles) -> Callable[[Event], list[Late]]:
        """The same for a text key and a whole number in dictionaries, with nothing in between."""
        noted, fold, lateness = tiles.noted, tiles.fold, self._lateness
        key_field, value_field, otherwise = tiles.group.key[0], str(tiles.group.value), self._takes[0]

        def admit(event: Event) -> list[Late]:
            time = event.time
            if time > self._newest:
                self._newest = time
            elif time < self._newest - lateness:
                return self._late(event)
            self.accepted += 1
            payload, seq = event.payload, event.seq
            key, value = payload.get(key_field), payload.get(value_field)
            if key.__class__ is not str or value.__class__ is not int or seq.__class__ is not int:
                otherwise(time, seq, payload)
                return []
            rows = noted.get(key)
            if rows is None:
                noted[key] = [(time, seq, value)]
                return []
            rows.append((time, seq, value))
            if len(rows) >= NOTED:
                fold(key)
            return []

        return admit

    def _staging(self, tiles: ColumnTiles) -> Callable[[Event], list[Late]]:
        """The same into arrays."""
        staged, settle, lateness = tiles.staged, tiles.settle, self._lateness
        key_field, value_field, otherwise = tiles.group.key[0], str(tiles.group.value), self._takes[0]

        def admit(event: Event) -> list[Late]:
            time = event.time
            if time > self._newest:
                self._newest = time
            elif time < self._newest - lateness:
                return self._late(event)
            self.accepted += 1
            payload, seq = event.payload, event.seq
            key, value = payload.get(key_field), payload.get(value_field)
            if key.__class__ is not str or value.__class__ is not int or seq.__class__ is not int:
                otherwise(time, seq, payload)
                return []
            staged.extend((key, time, seq, value))
            if len(staged) >= STAGED:
                settle()
            return []

        return admit

    def judge(self, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Accepted events, and late ones as `LATE` has them; each row is judged against the rows before it.

        A column PLACE, where there is one, stays with the late events.
        """
        times = events.get_column("time").to_numpy()
        late, clock = Clock(self._lateness, self._newest).judge(times)
        schema = LATE | ({PLACE: pl.UInt32} if PLACE in events.columns else {})
        found = pl.DataFrame(schema=schema)
        if late.any():
            before = np.maximum.accumulate(np.concatenate(([self._newest], times)))[:-1]
            behind = pl.Series("behind", before - times)
            every = events.with_columns(behind).filter(pl.Series(late))
            found = every.select(pl.col(name).cast(kind) for name, kind in schema.items())
            events = events.filter(pl.Series(~late))
        self._newest = clock.newest
        self.accepted += events.height
        self.late += found.height
        return events, found

    def state(self) -> dict[str, int]:
        """The clock and the counters."""
        return {"newest": self._newest, "accepted": self.accepted, "late": self.late}

    def resume(self, state: Mapping[str, int]) -> None:
        """Continue from a `state`."""
        self._newest, self.accepted, self.late = state["newest"], state["accepted"], state["late"]
