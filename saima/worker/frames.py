"""Outbox rows as frames of the offline tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from saima.events import DEAD_LETTER
from saima.features.declaration import Declaration
from saima.features.types import parse_type

MATCHES = "matches"
"""Table of what rules have matched."""

SESSIONS = "sessions/"
"""Stands before a linker's name in the name of its table of nodes."""

Frame = Callable[[pa.Table], pl.DataFrame]

_SAMPLE = {
    "trace": pl.String,
    "item": pl.String,
    "time": pl.Int64,
    "label": pl.Float64,
    "label_time": pl.Int64,
    "label_offset": pl.Int64,
    "label_appended": pl.Int64,
    "role": pl.String,
    "weight": pl.Float64,
    "version": pl.Int64,
    "lineage": pl.String,
    "experiment": pl.String,
    "arm": pl.String,
    "unit": pl.String,
    "score": pl.Float64,
    "offset": pl.Int64,
}


def sinks(
    topics: Iterable[str], declarations: Mapping[str, Declaration], sessions: Iterable[str] = ()
) -> dict[str, Frame]:
    """Every table that the worker appends to, and how its outbox rows become frames."""
    found: dict[str, Frame] = {f"events/{topic}": dated for topic in (*topics, DEAD_LETTER)}
    for name, declaration in declarations.items():
        found[f"{name}/journal"] = dated
        if declaration.label is not None:
            found[f"{name}/samples"] = sample_frame(declaration)
    found[MATCHES] = dated
    return found | {f"{SESSIONS}{name}": dated for name in sessions}


def dated(rows: pa.Table) -> pl.DataFrame:
    """Rows of an event table or a journal as they are, with the UTC day of their time."""
    return _with_day(pl.DataFrame(rows))


def sample_frame(declaration: Declaration) -> Frame:
    """How outbox rows become rows of `<algorithm>/samples`: what the snapshot holds of the row's candidate.

    Columns: trace, item, time, label, label_time, label_offset, label_appended, role, weight, version, lineage,
    experiment, arm, unit, score, offset, day, `out.<model>.<output>`, then every feature with its declared type.
    """
    features = {name: parse_type(feature.dtype).polars for name, feature in declaration.features.items()}
    outputs = {
        f"{name}.{output}": pl.Float64 for name, model in declaration.models.items() for output in model.produced
    }
    schema = {**_SAMPLE, **{f"out.{name}": dtype for name, dtype in outputs.items()}}

    def frame(rows: pa.Table) -> pl.DataFrame:
        heads: list[tuple[Any, ...]] = []
        columns: dict[str, list[Any]] = {name: [] for name in features}
        for row in rows.to_pylist():
            record, index = json.loads(row["record"]), row["index"]
            kept = record["kept"]
            heads.append(_head(row, record, index, kept[index] if kept else index, list(outputs)))
            for name, values in columns.items():
                found = record["features"].get(name)
                values.append(None if found is None else found[index])
        table = pl.DataFrame(heads, schema=schema, orient="row")
        typed = [_series(name, values, features[name]) for name, values in columns.items()]
        return _with_day(table).hstack(typed)

    return frame


def _head(row: dict[str, Any], record: dict[str, Any], index: int, place: int, outputs: list[str]) -> tuple[Any, ...]:
    made = record.get("outputs") or {}
    weights = record.get("weights") or []
    return (
        row["trace"],
        row["item"],
        int(record["time"]),
        row["label"],
        row["label_time"],
        row["label_offset"],
        row["label_appended"],
        row["role"],
        float(weights[index]) if index < len(weights) else 1.0,
        record.get("version"),
        record.get("lineage"),
        record.get("experiment"),
        record.get("arm"),
        record.get("unit"),
        _at(record["scores"], place),
        row["offset"],
        *(_at(made.get(name), place) for name in outputs),
    )


def _at(values: list[float | None] | None, place: int) -> float | None:
    if not values:
        return None
    value = values[place]
    return None if value is None else float(value)


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Datetime("ms", "UTC"):
        return pl.Series(name, values, dtype=pl.Int64).cast(dtype)
    return pl.Series(name, values, dtype=dtype)


def _with_day(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(day=pl.from_epoch("time", time_unit="ms").dt.strftime("%Y-%m-%d"))
