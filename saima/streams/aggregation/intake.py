"""One source's events on their way into tiles: lateness row by row, keys, values and conditions of single events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from saima.events import Event
from saima.features.declaration import Source
from saima.features.expression import interpret
from saima.features.keys import key_text
from saima.features.windows.definition import Group
from saima.features.windows.where import condition
from saima.streams.aggregation.rows import NOTED, RowTiles
from saima.streams.aggregation.tiles import Tiles
from saima.streams.lateness import BEGINNING, Clock


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

Take = Callable[[int, int, Mapping[str, Any]], None]


class Intake:
    """What one source's events update, and the clock that judges them."""

    def __init__(self, source: Source, tiles: Sequence[Tiles], clock: Clock) -> None:
        self._takes = [take(one, source) for one in tiles]
        self._newest, self._lateness = clock.newest, clock.lateness
        self._single = self._takes[0] if len(self._takes) == 1 else None
        self._taken = 0
        self.late = 0

    @property
    def accepted(self) -> int:
        """How many events were accepted."""
        return self._taken

    def take(self, event: Event) -> list[Late]:
        """Take in one event; the event itself if it is late."""
        time = event.time
        if time > self._newest:
            self._newest = time
        elif time < self._newest - self._lateness:
            self.late += 1
            return [Late(event.key, event.type, time, event.seq, event.id, self._newest - time)]
        self._taken += 1
        if self._single is not None:
            self._single(time, event.seq, event.payload)
            return []
        for one in self._takes:
            one(time, event.seq, event.payload)
        return []

    def judge(self, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Accepted events, and late ones as `LATE` has them; each row is judged against the rows before it."""
        times = events.get_column("time").to_numpy()
        late, clock = Clock(self._lateness, self._newest).judge(times)
        found = pl.DataFrame(schema=LATE)
        if late.any():
            before = np.maximum.accumulate(np.concatenate(([self._newest], times)))[:-1]
            behind = pl.Series("behind", before - times)
            every = events.with_columns(behind).filter(pl.Series(late))
            found = every.select(pl.col(name).cast(kind) for name, kind in LATE.items())
            events = events.filter(pl.Series(~late))
        self._newest = clock.newest
        self._taken += events.height
        self.late += found.height
        return events, found

    def state(self) -> dict[str, int]:
        """The clock and the counters."""
        return {"newest": self._newest, "accepted": self._taken, "late": self.late}

    def resume(self, state: Mapping[str, int]) -> None:
        """Continue from a `state`."""
        self._newest, self._taken, self.late = state["newest"], state["accepted"], state["late"]

    @property
    def started(self) -> bool:
        """Whether the source has been seen."""
        return self._newest != BEGINNING


def take(tiles: Tiles, source: Source) -> Take:
    """How a group takes in a single event (time, seq, payload)."""
    group = tiles.group
    add = (
        note(tiles) if isinstance(tiles, RowTiles) else lambda key, time, seq, value: tiles.add(key, (time, seq, value))
    )
    node = condition(source, group.where, f"aggregates over '{group.source}'") if group.where else None
    fields, (first, *more) = tuple(source.fields), group.key
    value_of, field = converter(group), group.value

    def admit(time: int, seq: int, payload: Mapping[str, Any]) -> None:
        key = payload.get(first)
        if more or key.__class__ is not str:
            key = key_text([payload.get(part) for part in group.key])
            if key is None:
                return
        if node is not None and interpret(node, {name: payload.get(name) for name in fields}) is not True:
            return
        if field is None:
            add(key, time, seq or 0, None)
            return
        value = payload.get(field)
        if value.__class__ is not int:
            value = value_of(value)
            if value is None:
                return
        add(key, time, seq or 0, value)

    if node is None and not more and field is not None and group.dtype == "int64" and isinstance(tiles, RowTiles):
        return plain(tiles, first, field, admit)
    return admit


def plain(tiles: RowTiles, key_field: str, value_field: str, otherwise: Take) -> Take:
    """The same for the commonest kind, a text key and a whole number, with nothing in between."""
    noted, fold = tiles.noted, tiles.fold

    def admit(time: int, seq: int, payload: Mapping[str, Any]) -> None:
        key, value = payload.get(key_field), payload.get(value_field)
        if key.__class__ is str and value.__class__ is int and seq.__class__ is int:
            rows = noted.get(key)
            if rows is None:
                noted[key] = [(time, seq, value)]
                return
            rows.append((time, seq, value))
            if len(rows) >= NOTED:
                fold(key)
        else:
            otherwise(time, seq, payload)

    return admit


def note(tiles: RowTiles) -> Callable[[str, int, int, Any], None]:
    """Adds a row to tiles in dictionaries."""

    def add(key: str, time: int, seq: int, value: Any) -> None:
        tiles.add(key, (time, seq, value))

    return add


def converter(group: Group) -> Callable[[Any], Any]:
    """A payload's value as the group holds it, None where it does not count; equal to `windows.rows.select`."""
    if group.is_text:
        return lambda value: None if value is None else value if isinstance(value, str) else key_text([value])
    if group.is_float:
        return lambda value: None if value is None or value != value else float(value) + 0.0
    return lambda value: None if value is None else int(value)
