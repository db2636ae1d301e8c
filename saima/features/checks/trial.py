"""Features on trial: rows made up from the inputs' types, edges among them, through every path of the plan."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from saima.features.plan import Plan
from saima.features.types import (
    FLOAT32,
    FLOAT64,
    INT64,
    INT64_MAX,
    INT64_MIN,
    STRING,
    TIMESTAMP,
    Type,
    from_frame_value,
    narrow,
    series,
)

MOMENT = 1_780_000_000_000
"""A request's time in made-up rows, ms UTC."""

DAY = 86_400_000
_MISSING, _EDGE = 0.12, 0.3
_EDGES: dict[str, list[Any]] = {
    "int64": [0, 1, -1, INT64_MAX, INT64_MIN, 2**53 + 1],
    "decimal": [0, 1, -1, 10**17, -(10**17)],
    "float64": [0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324, math.inf, -math.inf, math.nan],
    "float32": [0.0, -0.0, 1.0, -1.0, 3.4028234663852886e38, math.inf, -math.inf, math.nan],
    "bool": [True, False],
    "string": ["", " ", "a", "ALL", "1", "true", "é", "中文", "\x1d", "a:1", "N" * 300],
    "timestamp": [0, -1, 1, MOMENT, MOMENT - 1, MOMENT + 1, 4 * 10**12],
}
_WORDS = ("AA", "UA", "EWR", "JFK", "red", "blue", "new york", "7", "42", "a", "b")


@dataclass(frozen=True)
class Difference:
    """A value on which two paths do not agree: the feature, the path, its value and the reference's, the row."""

    feature: str
    path: str
    found: Any
    reference: Any
    row: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.feature}: {self.path} gives {self.found!r}, the reference {self.reference!r}"


def input_types(plan: Plan) -> dict[str, Type]:
    """Type of every input column of a plan, in its order."""
    types: dict[str, Type] = {"request.time": TIMESTAMP, **plan.request_fields}
    for table in plan.tables.values():
        types |= {f"{table.name}.{name}": dtype for name, dtype in table.columns.items()}
    for aggregate in plan.aggregates.values():
        types |= aggregate.columns
    return types


def made_up(types: Mapping[str, Type], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of inputs as Python values (timestamps int ms), the same each time: typical values, edges, missing ones."""
    rng = random.Random(seed)  # noqa: S311  trial rows are no secret
    rows = []
    for _ in range(count):
        row = {name: _value(rng, dtype) for name, dtype in types.items()}
        rows.append(row | {"request.time": MOMENT + rng.randrange(DAY)})
    return rows


def frame_of(types: Mapping[str, Type], rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of inputs as the frame that a plan evaluates; what a row does not name is missing."""
    return pl.DataFrame([series(name, [row.get(name) for row in rows], dtype) for name, dtype in types.items()])


def differences(plan: Plan, rows: list[dict[str, Any]], exact: Mapping[str, bool]) -> list[Difference]:
    """Where single rows, batches and lazy frames differ from the reference.

    exact: per feature whether bits must agree; of the others, which use logarithms and the like, a part in 1e9 may.
    """
    types = input_types(plan)
    frame = frame_of(types, rows)
    wide = pl.concat([frame] * (1 + 40 // max(1, frame.height)))
    references = [plan.reference(row) for row in rows]
    paths = {
        "a single row": pl.concat([plan.evaluate(frame[at]) for at in range(frame.height)]),
        "a batch": plan.evaluate(wide).head(frame.height),
        "a lazy frame": plan.evaluate_lazy(wide.lazy()).collect().head(frame.height),
    }
    found = []
    for path, result in paths.items():
        for name, dtype in plan.features.items():
            column = result[name].cast(pl.Int64) if dtype == TIMESTAMP else result[name]
            for at, value in enumerate(column.to_list()):
                plain, wanted = from_frame_value(value, dtype), references[at][name]
                if not same(plain, wanted, exact[name]):
                    found.append(Difference(name, path, plain, wanted, rows[at]))
    return found


def same(found: Any, wanted: Any, exact: bool) -> bool:
    """Whether two values are one: NaN equals NaN and 0.0 equals -0.0, lists and maps by their parts."""
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(same(a, b, exact) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key], exact) for key in wanted)
    if isinstance(wanted, float) and isinstance(found, float):
        if math.isnan(wanted) or math.isnan(found):
            return math.isnan(wanted) and math.isnan(found)
        return found == wanted or (not exact and math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12))
    return type(found) is type(wanted) and bool(found == wanted)


def _value(rng: random.Random, dtype: Type) -> Any:
    chance = rng.random()
    if chance < _MISSING:
        return None
    if dtype.name == "map":
        return {rng.choice(_WORDS): _value(rng, dtype.of) for _ in range(rng.randrange(4))}
    if dtype.name == "vector":
        return [_value(rng, dtype.of) for _ in range(dtype.size)]
    if dtype.name == "list":
        return [_value(rng, dtype.of) for _ in range(rng.choice([0, 1, 2, 3, 12]))]
    if chance < _MISSING + _EDGE:
        return rng.choice(_EDGES[dtype.name])
    return _typical(rng, dtype)


def _typical(rng: random.Random, dtype: Type) -> Any:
    if dtype in (INT64, FLOAT64, FLOAT32):
        number = rng.choice([rng.randrange(-3, 30), rng.randrange(-1000, 100_000)])
        if dtype == INT64:
            return number
        value = number + rng.random()
        return narrow(value) if dtype == FLOAT32 else value
    if dtype == STRING:
        return rng.choice(_WORDS)
    if dtype == TIMESTAMP:
        return MOMENT - rng.randrange(30 * DAY)
    return rng.random() < 0.5 if dtype.name == "bool" else rng.randrange(-1000, 100_000)
