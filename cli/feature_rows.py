"""Rows of a file for `saima feature preview`: inputs as given, or requests read as of their time in history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.checks.trial import MOMENT, frame_of, input_types, same
from saima.features.cost import part_of
from saima.features.types import TIMESTAMP, Type, from_frame_value, parse_type
from saima.settings import settings

if TYPE_CHECKING:
    from saima.features import Algorithm

SIDES = ("request", "user", "item")


def given_rows(algorithm: Algorithm, name: str, exact: bool, file: Path, limit: int) -> list[dict[str, Any]]:
    """The inputs that a feature reads and its value, row by row; `the reference` appears where it differs.

    A column is an input's name, or a field's without its side; what a file does not give is missing. Raises SaimaError
    for a column that is no input of the algorithm, and for a file that cannot be read.
    """
    plan = part_of(algorithm.plan, [name])
    types, known = input_types(plan), {**fields_of(algorithm), **input_types(algorithm.plan)}
    rows = [_inputs(row, known, file) for row in read_rows(file)[:limit]]
    if not rows:
        raise SaimaError(f"{file} holds no row")
    values = plan.evaluate(frame_of(types, rows))
    column = values[name].cast(pl.Int64) if plan.features[name] == TIMESTAMP else values[name]
    shown = []
    for row, value in zip(rows, column.to_list(), strict=True):
        found = from_frame_value(value, plan.features[name])
        reference = plan.reference({**dict.fromkeys(types), **row})[name]
        line = {each: _shown(row.get(each), types[each]) for each in types if each in plan.lineage[name]}
        line[name] = _shown(found, plan.features[name])
        shown.append(line if same(found, reference, exact) else line | {"the reference": reference})
    return shown


def fields_of(algorithm: Algorithm) -> dict[str, Type]:
    """Types of all that a request carries, by input column; keys are among them, which no feature may read."""
    request = algorithm.declaration.request
    sides = {"request": request.fields, "user": request.user, "item": request.items.fields if request.items else {}}
    return {f"{side}.{name}": parse_type(text) for side, fields in sides.items() for name, text in fields.items()}


def as_of_history(algorithm: Algorithm, name: str, file: Path, limit: int) -> list[dict[str, Any]]:
    """The feature for requests of a file (the request's fields and `time`), from the event tables as of that time."""
    from saima.features.backfill import backfill
    from saima.stores import open_tables

    tables = open_tables(settings())
    sources = algorithm.declaration.sources
    events = {topic: tables.scan(f"events/{topic}") for topic in sources if tables.exists(f"events/{topic}")}
    if not events:
        raise SaimaError(f"there are no event tables under {settings().home}; `saima up` or `saima demo` makes them")
    rows = [row | {"time": moment(row.get("time"), f"{file}: 'time'")} for row in read_rows(file)[:limit]]
    inputs = algorithm.plan.lineage[name]
    found = backfill(algorithm, pl.DataFrame(rows).lazy(), events, inputs=True).collect()
    return found.select("time", *(column for column in inputs if column != "request.time"), name).to_dicts()


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows of a JSON, JSON lines, CSV or Parquet file. Raises SaimaError naming file and line."""
    try:
        match file.suffix:
            case ".json":
                rows = json.loads(file.read_text("utf-8"))
            case ".jsonl":
                rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
            case ".csv":
                rows = pl.read_csv(file).to_dicts()
            case ".parquet":
                rows = pl.read_parquet(file).to_dicts()
            case other:
                raise SaimaError(f"{file}: '{other}' is no file of rows; give .json, .jsonl, .csv or .parquet")
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise SaimaError(f"{file} cannot be read: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SaimaError(f"{file}: rows are objects in a list")
    return rows


def moment(value: Any, place: str) -> int:
    """A moment as int64 ms; text is ISO, without a zone UTC. Raises SaimaError naming the place."""
    if isinstance(value, int):
        return value
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise SaimaError(f"{place} is {value!r}; write a moment such as 2026-11-21T20:00:00Z or ms") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_text(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _inputs(row: dict[str, Any], types: dict[str, Type], file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"request.time": MOMENT}
    for given, value in row.items():
        names = [given] if given in types else [f"{side}.{given}" for side in SIDES if f"{side}.{given}" in types]
        if given == "time":
            names = ["request.time"]
        if len(names) != 1:
            problem = (
                f"may be {' or '.join(names)}" if names else f"is no input of the algorithm{suggest(given, types)}"
            )
            raise SaimaError(f"{file}: the column '{given}' {problem}")
        dtype = types[names[0]]
        found[names[0]] = moment(value, f"{file}: '{given}'") if dtype == TIMESTAMP and value is not None else value
    return found


def _shown(value: Any, dtype: Type) -> Any:
    return datetime.fromtimestamp(value / 1000, UTC) if dtype == TIMESTAMP and value is not None else value


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
