"""The offline path: features of every row of a request log, as they were known at its moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.asked import Asked
from saima.features.asof import RowHistory
from saima.features.declaration import Declaration
from saima.features.encodings import decoded
from saima.features.history import Events, History, Slice, joined
from saima.features.lookups import versions
from saima.features.needs import Declared, TableNeed, WindowNeed, table_needs, window_needs
from saima.features.windows.batch import ORDERED, Timeline
from saima.features.windows.rows import counted
from saima.features.windows.where import predicates

Ints = npt.NDArray[np.int64]
Logged = Mapping[str, Sequence[Sequence[int | None] | None]]

LEAST_MEMORY = 2**24
"""The smallest bound on memory that is of use, bytes."""

CELL = 64
"""What a value of a row costs while features are computed, bytes: columns, copies and lists."""


def backfill(algorithm: Declared, requests: pl.LazyFrame, events: Events, *, inputs: bool = False) -> pl.LazyFrame:
    """Features of a request log.

    requests: `time` (q, int64 ms UTC), the request's fields by name (or as `request.x`, `user.x`, `item.x`), and any
    other columns, which are passed through; `position` (int64), if there, is the log offset up to which events count
    for its row, and `positions` (list of int64, or null) that of each shard, for the keys that it owns. events: rows by
    topic, `offset` 0 where absent; rows marked `late` are left out.

    Returns the passed columns (`time` among them), with `inputs` the plan's input columns, and the features, rows in
    order. Raises SaimaError naming a missing field or topic, WindowOverflow where an int64 sum does not fit.
    """
    rows = requests.collect()
    return _evaluated(algorithm, rows, gather(algorithm, rows, events), inputs).lazy()


def stream(
    algorithm: Declared, requests: pl.LazyFrame, events: Events, *, memory: int, inputs: bool = False
) -> Iterator[pl.DataFrame]:
    """As `backfill`, in frames of consecutive rows, for history and request logs that are larger than memory.

    memory: bytes that events and rows may take at a time, beside what the readers of the files hold. A key whose events
    alone are more is held nevertheless. The frames together are what `backfill` returns, whatever the bound.
    """
    if memory < LEAST_MEMORY:
        raise SaimaError(f"backfill: a bound of {memory} bytes is too small; give at least {LEAST_MEMORY}")
    width = len(requests.collect_schema()) + len(algorithm.plan.input_schema()) + len(algorithm.plan.features)
    size = max(1000, memory // (CELL * width))
    for rows in requests.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
        for start in range(0, rows.height, size):
            part = rows.slice(start, size)
            yield _evaluated(algorithm, part, gather(algorithm, part, events, memory=memory // 2), inputs)


def _evaluated(algorithm: Declared, rows: pl.DataFrame, gathered: Gathered, inputs: bool) -> pl.DataFrame:
    features = algorithm.plan.evaluate(gathered.frame)
    parts = [passed(algorithm.declaration, rows, features.columns), *([gathered.frame] if inputs else []), features]
    return pl.concat(parts, how="horizontal")


@dataclass
class Gathered:
    """Inputs of the plan for every request, and per table the index of the version read with its history.

    ideal: of tables whose logged versions were taken, the index of the version that the position holds.
    """

    frame: pl.DataFrame
    versions: dict[str, tuple[RowHistory, Ints]] = field(default_factory=dict)
    ideal: dict[str, Ints] = field(default_factory=dict)


def gather(
    algorithm: Declared,
    rows: pl.DataFrame,
    events: Events,
    logged: Logged | None = None,
    memory: int | None = None,
) -> Gathered:
    """Everything that the plan reads, for every row of a request log (see `backfill`).

    logged: by table the version that each row has read, instead of the one that it should have read. memory: bytes
    that events may take at a time; with it no versions are returned, and none may be given.
    """
    declaration, schema = algorithm.declaration, algorithm.plan.input_schema()
    fields = request_frame(declaration, rows)
    if "time" not in rows.columns:
        raise SaimaError("requests: the column 'time' (int64 ms UTC) is missing")
    asked = Asked(fields, rows.get_column("time").cast(pl.Int64).to_numpy(), None)
    if "position" in rows.columns:
        asked.position = rows.get_column("position").cast(pl.Int64).fill_null(0).to_numpy()
        if "positions" in rows.columns and rows.get_column("positions").is_not_null().any():
            asked.positions = rows.get_column("positions").cast(pl.List(pl.Int64()))
    tables, windows, conditions = table_needs(algorithm), window_needs(algorithm), predicates(declaration)
    history = History(declaration, events, columns_of(tables, windows, conditions, asked), memory)
    columns: dict[str, pl.Series] = {"request.time": rows.get_column("time").cast(pl.Int64)}
    columns |= {name: fields.get_column(name) for name in algorithm.plan.request_fields}
    gathered = Gathered(pl.DataFrame())
    for table in tables:
        if history.is_whole:
            columns |= _versions(table, history, asked, gathered, logged)
        else:
            columns |= _rows(table, history, asked)
    timelines: dict[str, Timeline] = {}
    for window in windows:
        columns |= _windows(window, history, asked, conditions, timelines)
    gathered.frame = pl.DataFrame([columns[name].cast(dtype).alias(name) for name, dtype in schema.items()])
    return gathered


def columns_of(
    tables: Sequence[TableNeed], windows: Sequence[WindowNeed], conditions: Mapping[str, pl.Expr], asked: Asked
) -> dict[str, frozenset[str]]:
    """Columns of each topic that are read for these rows."""
    wanted: dict[str, frozenset[str]] = {}
    for table in tables:
        wanted[table.read.rows.source] = wanted.get(table.read.rows.source, frozenset()) | _table_columns(table)
    for need in windows:
        group = need.read.group
        columns = _window_columns(need, conditions, asked)
        wanted[group.source] = wanted.get(group.source, frozenset()) | columns
    return wanted


def _table_columns(need: TableNeed) -> frozenset[str]:
    return frozenset({"time", "seq", "offset", *(name for name, _ in need.read.rows.fields)})


def _window_columns(need: WindowNeed, conditions: Mapping[str, pl.Expr], asked: Asked) -> frozenset[str]:
    group = need.read.group
    columns = {"time", *group.key, *([group.value] if group.value else [])}
    columns |= {"seq"} if group.measures & ORDERED else set()
    columns |= {"offset"} if asked.position is not None else set()
    return frozenset(columns.union(conditions[group.table].meta.root_names() if group.table in conditions else ()))


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


def _versions(
    need: TableNeed, history: History, asked: Asked, gathered: Gathered, logged: Logged | None
) -> dict[str, pl.Series]:
    """Columns of a table whose versions are all held."""
    rows, keys = need.read.rows, asked.keys(need.inputs)
    ((_, frame),) = history.parts(_reach(need, asked), keys)
    held = RowHistory(versions(frame, rows), rows)
    at = held.read(keys, asked.q, need.read.ttl, asked.read(keys))
    if logged and need.name in logged:
        gathered.ideal[need.name] = at
        at = held.find(keys.cast(pl.String), logged[need.name])
    gathered.versions[need.name] = (held, at)
    return _named(need, held.columns(at, [name for _, name, _ in need.places]))


def _rows(need: TableNeed, history: History, asked: Asked) -> dict[str, pl.Series]:
    """Columns of a table part by part."""
    rows, keys, pieces = need.read.rows, asked.keys(need.inputs), []
    position = asked.read(keys)
    for at, frame in history.parts(_reach(need, asked), keys):
        held = RowHistory(versions(frame, rows), rows)
        own = keys if at is None else keys.gather(pl.Series(at))
        found = held.read(own, asked.q if at is None else asked.q[at], need.read.ttl, asked.of(position, at))
        pieces.append((at, held.columns(found, [name for _, name, _ in need.places])))
    return _named(need, joined(pieces))


def _named(need: TableNeed, columns: Sequence[pl.Series]) -> dict[str, pl.Series]:
    return {column: series for (column, _, _), series in zip(need.places, columns, strict=True)}


def _windows(
    need: WindowNeed,
    history: History,
    asked: Asked,
    conditions: Mapping[str, pl.Expr],
    timelines: dict[str, Timeline],
) -> dict[str, pl.Series]:
    group, keys, pieces = need.read.group, asked.keys(need.inputs), []
    position = asked.read(keys)
    low = int(asked.q.min(initial=0)) - max(ask.window.width + ask.window.hop for ask in need.asks)
    wanted = Slice(
        group.source, group.key, _window_columns(need, conditions, asked), "time", low, int(asked.q.max(initial=0))
    )
    for at, frame in [(None, None)] if group.table in timelines else history.parts(wanted, keys):
        if frame is None:
            timeline = timelines[group.table]
        else:
            timeline = Timeline(counted(frame, group, conditions.get(group.table)), group)
            if history.is_whole:
                timelines[group.table] = timeline
        own = keys if at is None else keys.gather(pl.Series(at))
        found = timeline.read(need.asks, own, asked.q if at is None else asked.q[at], asked.of(position, at))
        pieces.append((at, [found[ask.column] for ask in need.asks]))
    return dict(zip([ask.column for ask in need.asks], joined(pieces), strict=True))


def _reach(need: TableNeed, asked: Asked) -> Slice:
    """Versions that the rows can read: those of a table with a ttl are not older than it."""
    rows, ttl = need.read.rows, need.read.ttl
    low = None if ttl is None else int(asked.q.min(initial=0)) - ttl
    return Slice(rows.source, rows.key, _table_columns(need), rows.valid_from, low, int(asked.q.max(initial=0)) + 1)
