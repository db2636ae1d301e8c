"""Operators and expressions, case by case: the reference, batches and single rows give the expected values."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from saima.features.compiler import FeatureError, compile_plan
from saima.features.declaration import Declaration
from saima.features.plan import Plan
from saima.features.types import TIMESTAMP, Type, from_frame_value, parse_type, series
from saima.features.vocabularies import from_terms

from .conftest import read_cases

KNOWN = {"id", "meaning", "expression", "fields", "dtype", "default", "time", "rows", "expect", "tolerance",
         "resources", "features", "error"}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "operators.json")
    wanted = [case for case in cases if ("error" in case) == (metafunc.function.__name__ == "test_refused")]
    metafunc.parametrize("case", wanted, ids=[case["id"] for case in wanted])


def plan_of(case: dict[str, Any]) -> Plan:
    assert set(case) <= KNOWN, f"unknown parts of a case: {set(case) - KNOWN}"
    sides: dict[str, dict[str, str]] = {"request": {}, "user": {}, "item": {}}
    for name, dtype in case["fields"].items():
        side, _, plain = name.rpartition(".")
        sides[side or "request"][plain] = dtype
    result = {"value": case["expression"], "dtype": case.get("dtype", "float64"), "default": case.get("default")}
    resources = case.get("resources", {})
    declaration = Declaration.model_validate(
        {
            "algorithm": "case",
            "request": {"fields": sides["request"], "user": sides["user"], "items": {"fields": sides["item"]}},
            "resources": {"buckets": resources.get("buckets", {})},
            "features": {**case.get("features", {}), "result": result},
        }
    )
    vocabularies = {name: from_terms(name, terms) for name, terms in resources.get("vocabularies", {}).items()}
    return compile_plan(declaration, vocabularies)


def value_of(given: Any) -> Any:
    """A JSON value with `$float` read."""
    if isinstance(given, dict):
        return float(given["$float"]) if "$float" in given else {key: value_of(item) for key, item in given.items()}
    return [value_of(item) for item in given] if isinstance(given, list) else given


def typed_value(given: Any, dtype: Type) -> Any:
    value = value_of(given)
    if value is not None and dtype.is_float:
        return float(value)
    if isinstance(value, list) and dtype.element:
        return [typed_value(item, dtype.element) for item in value]
    if isinstance(value, dict) and dtype.element:
        return {key: typed_value(item, dtype.element) for key, item in value.items()}
    return value


def rows_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    time = datetime.fromisoformat(case["time"]).timestamp() * 1000 if "time" in case else 0
    rows = []
    for given in case["rows"]:
        row: dict[str, Any] = {"request.time": int(time)}
        for name, text in case["fields"].items():
            full = name if "." in name else f"request.{name}"
            row[full] = typed_value(given.get(name), parse_type(text))
        rows.append(row)
    return rows


def frame_of(plan: Plan, rows: list[dict[str, Any]]) -> pl.DataFrame:
    types = {"request.time": TIMESTAMP, **plan.request_fields}
    return pl.DataFrame([series(name, [row[name] for row in rows], dtype) for name, dtype in types.items()])


def same(found: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(same(a, b, tolerance) for a, b in zip(found, wanted, strict=True))
        )
    if wanted is None or isinstance(wanted, bool | str):
        return type(found) is type(wanted) and found == wanted
    if not isinstance(found, int | float) or isinstance(found, bool):
        return False
    if isinstance(wanted, float) and not math.isfinite(wanted):
        return found == wanted
    return abs(found - wanted) <= tolerance if tolerance else found == wanted


def check(case: dict[str, Any], found: list[Any], path: str) -> None:
    tolerance = case.get("tolerance", 0)
    if parse_type(case["dtype"]).name == "float32":
        tolerance = max(tolerance, 1e-7)
    for place, (value, wanted) in enumerate(zip(found, value_of(case["expect"]), strict=True)):
        assert same(value, wanted, tolerance), f"{path}, row {place}: {value!r}, not {wanted!r} ({case['meaning']})"


def test_case(case: dict[str, Any]) -> None:
    plan, rows = plan_of(case), rows_of(case)
    dtype = parse_type(case["dtype"])

    def read(result: pl.DataFrame) -> list[Any]:
        assert result.schema["result"] == dtype.polars
        column = result["result"].cast(pl.Int64) if dtype == TIMESTAMP else result["result"]
        return [from_frame_value(value, dtype) for value in column.to_list()]

    check(case, [plan.reference(row)["result"] for row in rows], "reference")
    frame = frame_of(plan, rows)
    check(case, read(plan.evaluate(frame)), "as given")
    check(case, [value for row in range(len(rows)) for value in read(plan.evaluate(frame[row]))], "one row")
    many = pl.concat([frame] * (1 + 40 // len(rows)))
    check(case, read(plan.evaluate(many))[-len(rows) :], "batch")
    check(case, read(plan.evaluate_lazy(frame.lazy()).collect()), "lazy")


def test_refused(case: dict[str, Any]) -> None:
    wanted = case["error"]
    with pytest.raises(FeatureError) as caught:
        plan_of(case)
    assert caught.value.kind == wanted["kind"]
    if "column" in wanted:
        assert caught.value.column == wanted["column"]
    if "suggest" in wanted:
        assert f"did you mean '{wanted['suggest']}'" in str(caught.value)
