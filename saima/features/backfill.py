"""The offline path: features of every row of a request log, as they were known at its moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.asof import RowHistory
from saima.features.declaration import Declaration, Source
from saima.features.encodings import decoded
from saima.features.keys import key_expr
from saima.features.lookups import versions
from saima.features.needs import Declared, TableNeed, WindowNeed, table_needs, window_needs
from saima.features.windows.batch import Timeline
from saima.features.windows.rows import counted
from saima.features.windows.where import predicates

Ints = npt.NDArray[np.int64]
Events = Mapping[str, pl.LazyFrame]
Logged = Mapping[str, Sequence[Sequence[int | None] | None]]


def backfill(algorithm: Declared, requests: pl.LazyFrame, events: Events, *, inputs: bool = False) -> pl.LazyFrame:
    """Features of a request log.

    requests: `time` (q, int64 ms UTC), the request's fields by name (or as `request.x`, `user.x`, `item.x`), and any
    other columns, which are passed through; `position` (int64), if there, is the log offset up to which events count
    for its row. events: rows by topic, `offset` 0 where absent; rows marked `late` are left out.

    Returns the passed columns (`time` among them), with `inputs` the plan's input columns, and the features, rows in
    order. Raises SaimaError naming a missing field or topic, WindowOverflow where an int64 sum does not fit.
    """
    rows = requests.collect()
    needed = gather(algorithm, rows, events).frame
    features = algorithm.plan.evaluate(needed)
    parts = [passed(algorithm.declaration, rows, features.columns), *([needed] if inputs else []), features]
    return pl.concat(parts, how="horizontal").lazy()


@dataclass
class Gathered:
    """Inputs of the plan for every request, and per table the index of the version read with its history.

    ideal: of tables whose logged versions were taken, the index of the version that the position holds.
    """

    frame: pl.DataFrame
    versions: dict[str, tuple[RowHistory, Ints]] = field(default_factory=dict)
    ideal: dict[str, Ints] = field(default_factory=dict)


def gather(algorithm: Declared, rows: pl.DataFrame, events: Events, logged: Logged | None = None) -> Gathered:
    """Everything that the plan reads, for every row of a request log (see `backfill`).

    logged: by table the version that each row has read, instead of the one that it should have read.
    """
    declaration, schema = algorithm.declaration, algorithm.plan.input_schema()
    fields = request_frame(declaration, rows)
    if "time" not in rows.columns:
        raise SaimaError("requests: the column 'time' (int64 ms UTC) is missing")
    q: Ints = rows.get_column("time").cast(pl.Int64).to_numpy()
    position: Ints | None = None
    if "position" in rows.columns:
        position = rows.get_column("position").cast(pl.Int64).fill_null(0).to_numpy()
    sources = Sources(declaration, events)
    columns: dict[str, pl.Series] = {"request.time": rows.get_column("time").cast(pl.Int64)}
    columns |= {name: fields.get_column(name) for name in algorithm.plan.request_fields}
    gathered = Gathered(pl.DataFrame())
    for table in table_needs(algorithm):
        history, at = _table(table, sources, fields, q, position)
        if logged and table.name in logged:
            gathered.ideal[table.name] = at
            at = history.find(_keys(table.inputs, fields), logged[table.name])
        gathered.versions[table.name] = (history, at)
        names = [name for _, name, _ in table.places]
        for (column, _, _), series in zip(table.places, history.columns(at, names), strict=True):
            columns[column] = series
    conditions = predicates(declaration)
    timelines: dict[str, Timeline] = {}
    for window in window_needs(algorithm):
        group = window.read.group
        if group.table not in timelines:
            frame = counted(sources.frame(group.source), group, conditions.get(group.table))
            timelines[group.table] = Timeline(frame, group)
        columns |= _windows(window, timelines[group.table], fields, q, position)
    gathered.frame = pl.DataFrame([columns[name].cast(dtype).alias(name) for name, dtype in schema.items()])
    return gathered


class Sources:
    """Frames of events by topic, collected once each: accepted rows, the source's fields in their declared types."""

    def __init__(self, declaration: Declaration, events: Events) -> None:
        self._declaration = declaration
        self._events = events
        self._frames: dict[str, pl.DataFrame] = {}

    def frame(self, topic: str) -> pl.DataFrame:
        """Events of a topic; SaimaError if they are not given."""
        if topic not in self._frames:
            if topic not in self._events:
                raise SaimaError(f"events of '{topic}' are not given{suggest(topic, self._events)}")
            self._frames[topic] = accepted(topic, self._declaration.sources[topic], self._events[topic])
        return self._frames[topic]


def accepted(topic: str, source: Source, events: pl.LazyFrame) -> pl.DataFrame:
    """Accepted rows of a topic with what features can read of them."""
    known = events.collect_schema().names()
    if "late" in known:
        events = events.filter(~pl.col("late"))
    names = [name for name in ("time", "seq", "offset", *source.fields) if name in known]
    missing = [name for name in ("time", *source.fields) if name not in known]
    if missing:
        raise SaimaError(f"events of '{topic}' have no column '{missing[0]}'{suggest(missing[0], known)}")
    frame = events.select(list(dict.fromkeys(names))).collect()
    frame = frame.with_columns(
        decoded(frame.get_column(name), dtype) for name, dtype in source.fields.items() if "<" in dtype or "(" in dtype
    )
    return frame if "seq" in known else frame.with_columns(pl.lit(0, pl.Int64).alias("seq"))


def request_frame(declaration: Declaration, rows: pl.DataFrame) -> pl.DataFrame:
    """The request's columns under their input names; timestamps as int64 ms. SaimaError names a missing field."""
    request = declaration.request
    sides = {"request": request.fields, "user": request.user, "item": request.items.fields if request.items else {}}
    columns = []
    for side, fields in sides.items():
        for name, dtype in fields.items():
            column = f"{side}.{name}" if f"{side}.{name}" in rows.columns else name
            if column not in rows.columns:
                raise SaimaError(f"requests: the field '{name}' is missing{suggest(name, rows.columns)}")
            series = rows.get_column(column)
            if dtype == "timestamp" and series.dtype.is_temporal():
                series = series.dt.cast_time_unit("ms").cast(pl.Int64)
            series = decoded(series, dtype)
            columns.append(series.alias(f"{side}.{name}"))
    return pl.DataFrame(columns)


def passed(declaration: Declaration, rows: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """Columns of a request log that are neither the request's fields nor named as a feature."""
    request = declaration.request
    sides = {"request": request.fields, "user": request.user, "item": request.items.fields if request.items else {}}
    taken = {name for fields in sides.values() for name in fields} | set(features)
    taken |= {f"{side}.{name}" for side, fields in sides.items() for name in fields}
    return rows.select(name for name in rows.columns if name not in taken)


def _table(
    need: TableNeed, sources: Sources, fields: pl.DataFrame, q: Ints, position: Ints | None
) -> tuple[RowHistory, Ints]:
    rows = need.read.rows
    history = RowHistory(versions(sources.frame(rows.source), rows), rows)
    return history, history.read(_keys(need.inputs, fields), q, need.read.ttl, position)


def _windows(
    need: WindowNeed, timeline: Timeline, fields: pl.DataFrame, q: Ints, position: Ints | None
) -> dict[str, pl.Series]:
    return timeline.read(need.asks, _keys(need.inputs, fields), q, position)


def _keys(inputs: Sequence[str], fields: pl.DataFrame) -> pl.Series:
    return fields.select(key_expr([pl.col(name) for name in inputs]).alias("key")).to_series()
