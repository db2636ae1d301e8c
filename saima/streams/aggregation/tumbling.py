"""Tumbling windows: tiles that leave as outputs once the watermark has passed their end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.events import Event
from saima.features.declaration import Source
from saima.features.durations import milliseconds
from saima.features.keys import key_text
from saima.features.windows.columns import dtype
from saima.features.windows.definition import Group, Window
from saima.features.windows.rows import select
from saima.streams.aggregation.intake import LATE, Late
from saima.streams.aggregation.open_window import OpenWindow, measured
from saima.streams.aggregation.single import converter
from saima.streams.engine import Change
from saima.streams.lateness import Clock

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TumblingDefinition:
    """Measures of a source's events by key, in windows [start, start + width) aligned to the epoch, ms."""

    source: str
    key: tuple[str, ...]
    value: str | None
    measures: tuple[str, ...]
    width: int
    k: int = 10
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that has closed: its key, its start, and its measures by name; a sum that overflows int64 is None."""

    key: str
    start: int
    values: dict[str, Any]


class Tumbling:
    """Tumbling windows of one definition, as the engine contract has it; late events and closed windows are outputs.

    An event is late if it lies further behind the newest than the source's lateness, or before a watermark that time
    alone has brought.
    """

    def __init__(self, definition: TumblingDefinition, source: Source) -> None:
        self.definition, self.source = definition, source
        value = definition.value
        self.group = Group(
            definition.source, definition.key, value, source.fields[value] if value else None, None,
            (Window(f"{definition.width}ms", definition.width, definition.width),), frozenset(definition.measures),
            definition.k, milliseconds(source.lateness), error=definition.error,
        )  # fmt: skip
        self._clock = Clock(self.group.lateness)
        self._convert = converter(self.group)
        self._windows: dict[int, OpenWindow] = {}
        self._changed: set[int] = set()
        self.counters = {"accepted": 0, "late": 0, "overflowed": 0}

    def process(self, event: Event) -> list[Late | Closed]:
        if event.type != self.definition.source:
            return []
        before = self._clock.newest
        late, self._clock = self._clock.see(event.time)
        if late:
            self.counters["late"] += 1
            return [Late(event.key, event.type, event.time, event.seq, event.id, before - event.time)]
        self.counters["accepted"] += 1
        key = key_text([event.payload.get(part) for part in self.definition.key])
        value = None if self.definition.value is None else self._convert(event.payload.get(self.definition.value))
        if key is not None and (value is not None or self.definition.value is None):
            self._window(event.time // self.definition.width * self.definition.width).add(
                key, (event.time, event.seq or 0, value)
            )
        return []

    def _window(self, start: int) -> OpenWindow:
        self._changed.add(start)
        window = self._windows.get(start)
        if window is None:
            window = self._windows[start] = OpenWindow(self.group)
        return window

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        events = events.filter(type=self.definition.source)
        times = events.get_column("time").to_numpy()
        newest = np.maximum.accumulate(np.concatenate(([self._clock.newest], times)))[:-1]
        late, self._clock = self._clock.judge(times)
        found = pl.DataFrame(schema=LATE)
        if late.any():
            behind = events.with_columns(behind=pl.Series(newest - times)).filter(pl.Series(late))
            found = behind.select(pl.col(name).cast(kind) for name, kind in LATE.items())
            events = events.filter(pl.Series(~late))
        self.counters["late"] += found.height
        self.counters["accepted"] += events.height
        self._add(events)
        return found

    def _add(self, events: pl.DataFrame) -> None:
        key, value = f"{self.group.table}/key", f"{self.group.table}/value"
        names = [key] if self.group.value is None else [key, value]
        selected = select(events, [self.group], {}).drop_nulls(names)
        starts = selected.get_column("time").to_numpy() // self.definition.width * self.definition.width
        for start in np.unique(starts).tolist():
            rows = selected if starts[0] == starts[-1] == start and (starts == start).all() else (
                selected.filter(pl.Series(starts == start))
            )  # fmt: skip
            values = None if self.group.value is None else rows.get_column(value)
            times, seqs = (rows.get_column(name).to_numpy() for name in ("time", "seq"))
            self._window(start).add_batch(rows.get_column(key), times, seqs, values)

    def advance(self, watermark: int) -> list[Late | Closed]:
        frame = self.close(watermark)
        names = frame.columns[2:]
        return [Closed(key, start, dict(zip(names, row, strict=True))) for key, start, *row in frame.iter_rows()]

    def close(self, watermark: int) -> pl.DataFrame:
        """Windows that end at or before the watermark, by start and key: key, start and a column a measure."""
        if watermark > self._clock.watermark:
            self._clock = Clock(self._clock.lateness, watermark + self._clock.lateness)
        due = sorted(start for start in self._windows if start + self.definition.width <= watermark)
        frames = [self._closed(start, self._windows.pop(start)) for start in due]
        self._changed |= set(due)
        return pl.concat(frames) if frames else pl.DataFrame(schema=self.schema)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Columns of closed windows."""
        kinds = {measure: dtype(measure, self.group) for measure in self.definition.measures}
        return {"key": pl.String(), "start": pl.Int64(), **kinds}

    def _closed(self, start: int, window: OpenWindow) -> pl.DataFrame:
        keys, columns, overflowed = measured(window, self.definition.measures, self.definition.k)
        self.counters["overflowed"] += overflowed
        frame = pl.DataFrame(
            {"key": keys, "start": np.full(len(keys), start), **columns}, schema_overrides=self.schema, strict=False
        )
        return frame.select(list(self.schema)).sort("key")

    def changes(self) -> list[Change]:
        """Open windows that changed since the last call, packed, by start; None for closed ones; and the clock."""
        found: list[Change] = [
            (str(start), self._windows[start].pack() if start in self._windows else None)
            for start in sorted(self._changed)
        ]
        self._changed.clear()
        return [*found, ("clock", json.dumps([self._clock.newest, self.counters]).encode())]

    def snapshot(self) -> bytes:
        state = {
            "definition": asdict(self.definition),
            "source": self.source.model_dump(mode="json"),
            "newest": self._clock.newest,
            "counters": self.counters,
            "windows": [(start, window.pack().hex()) for start, window in self._windows.items()],
        }
        return json.dumps(state).encode()

    @classmethod
    def restore(cls, snapshot: bytes) -> Self:
        state = json.loads(snapshot)
        found = state["definition"]
        lists = {name: tuple(found[name]) for name in ("key", "measures")}
        made = cls(TumblingDefinition(**{**found, **lists}), Source.model_validate(state["source"]))
        made._clock, made.counters = Clock(made.group.lateness, state["newest"]), state["counters"]
        for start, data in state["windows"]:
            made._windows[start] = OpenWindow.unpack(made.group, bytes.fromhex(data))
        return made
