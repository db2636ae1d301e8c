"""Operators and expressions, case by case: the reference, batches and single rows give the expected values."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.features.compiler import FeatureError, compile_plan
from saima.features.declaration import Declaration
from saima.features.encodings import Decoder
from saima.features.extractor import Extraction, Extractor
from saima.features.plan import Plan
from saima.features.types import TIMESTAMP, Type, from_frame_value, parse_type, series
from saima.features.vocabularies import from_terms

from .conftest import known, read_cases
from .served import Compiled

KNOWN = ("expression", "fields", "dtype", "default", "time", "rows", "expect", "tolerance", "resources", "features",
         "error")  # fmt: skip
SIDES = ("request", "user", "item")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "operators.json")
    test = metafunc.function.__name__
    wanted = [case for case in cases if ("error" in case) == (test == "test_refused")]
    if test == "test_online_on_other_sides":
        wanted = [case for case in wanted if case["fields"] and all("." not in name for name in case["fields"])]
    metafunc.parametrize("case", wanted, ids=[case["id"] for case in wanted])


def side_of(name: str) -> str:
    return name.rpartition(".")[0] or "request"


def compiled(case: dict[str, Any]) -> Compiled:
    known(case, *KNOWN)
    sides: dict[str, dict[str, str]] = {side: {} for side in SIDES}
    for name, dtype in case["fields"].items():
        sides[side_of(name)][name.rpartition(".")[2]] = dtype
    result = {"value": case["expression"], "dtype": case.get("dtype", "float64"), "default": case.get("default")}
    resources = case.get("resources", {})
    declaration = Declaration.model_validate(
        {
            "algorithm": "case",
            "request": {
                "fields": sides["request"],
                "user": sides["user"],
                "items": {"fields": sides["item"]} if sides["item"] else None,
            },
            "resources": {"buckets": resources.get("buckets", {})},
            "features": {**case.get("features", {}), "result": result},
        }
    )
    vocabularies = {name: from_terms(name, terms) for name, terms in resources.get("vocabularies", {}).items()}
    return Compiled(declaration, compile_plan(declaration, vocabularies))


def moved(case: dict[str, Any], sides: list[str]) -> dict[str, Any]:
    """The case with its fields on other sides, in turn; only where it names no side itself."""
    names = {name: f"{sides[place % len(sides)]}.{name}" for place, name in enumerate(case["fields"])}
    rows = [{names[name]: value for name, value in row.items()} for row in case["rows"]]
    return {**case, "fields": {names[name]: dtype for name, dtype in case["fields"].items()}, "rows": rows}


def value_of(given: Any) -> Any:
    """A JSON value with `$float` read."""
    if isinstance(given, dict):
        return float(given["$float"]) if "$float" in given else {key: value_of(item) for key, item in given.items()}
    return [value_of(item) for item in given] if isinstance(given, list) else given


def typed_value(given: Any, dtype: Type) -> Any:
    value = value_of(given)
    if value is not None and dtype.is_float:
        return float(value)
    if value is not None and dtype.name == "decimal":
        return Decoder(str(dtype)).decode(value)
    if isinstance(value, list) and dtype.element:
        return [typed_value(item, dtype.element) for item in value]
    if isinstance(value, dict) and dtype.element:
        return {key: typed_value(item, dtype.element) for key, item in value.items()}
    return value


def time_of(case: dict[str, Any]) -> int:
    return int(datetime.fromisoformat(case["time"]).timestamp() * 1000) if "time" in case else 0


def rows_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for given in case["rows"]:
        row: dict[str, Any] = {"request.time": time_of(case)}
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


def read(result: pl.DataFrame, dtype: Type) -> list[Any]:
    assert result.schema["result"] == dtype.polars
    column = result["result"].cast(pl.Int64) if dtype == TIMESTAMP else result["result"]
    return [from_frame_value(value, dtype) for value in column.to_list()]


def test_reference_and_batch(case: dict[str, Any]) -> None:
    plan, rows, dtype = compiled(case).plan, rows_of(case), parse_type(case["dtype"])
    check(case, [plan.reference(row)["result"] for row in rows], "reference")
    frame = frame_of(plan, rows)
    check(case, read(plan.evaluate(frame), dtype), "as given")
    check(case, [value for row in range(len(rows)) for value in read(plan.evaluate(frame[row]), dtype)], "one row")
    many = pl.concat([frame] * (1 + 40 // len(rows)))
    check(case, read(plan.evaluate(many), dtype)[-len(rows) :], "batch")
    check(case, read(plan.evaluate_lazy(frame.lazy()).collect(), dtype), "lazy")


def asked(case: dict[str, Any], row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A row's fields by side, as a request brings them: a value that is missing is left out."""
    found: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    for name, value in row.items():
        if value is not None:
            dtype = parse_type(case["fields"][name])
            given = value_of(value)
            found[side_of(name)][name.rpartition(".")[2]] = float(given) if dtype.is_float else given
    return found


def hold(answer: Extraction, dtype: Type) -> None:
    """The matrix that models read holds the same numbers, as float32, missing as NaN."""
    if dtype.is_number or dtype.name == "bool":
        wanted = answer.features["result"].cast(pl.Float32).to_numpy()
        assert np.array_equal(answer.matrix(["result"])[:, 0], wanted, equal_nan=True)


def online(case: dict[str, Any], copies: int) -> list[Any]:
    """Each row as a request of its own; what stands on the item's side is sent as that many equal candidates."""
    extractor, dtype = Extractor(compiled(case), None), parse_type(case["dtype"])
    found = []
    for row in case["rows"]:
        sides = asked(case, row)
        items = [sides["item"]] * copies if any(side_of(name) == "item" for name in case["fields"]) else None
        answer = extractor.extract(sides["request"], sides["user"], items, time_of(case))
        values = read(answer.features, dtype)
        hold(answer, dtype)
        assert len({repr(value) for value in values}) == 1, f"candidates that are equal get {values}"
        assert answer.degraded == []
        found.append(values[0])
    return found


def test_online(case: dict[str, Any]) -> None:
    check(case, online(case, 1), "online")
    if any("." in name for name in case["fields"]):
        check(case, online(case, 30), "online, 30 candidates")


def test_online_on_other_sides(case: dict[str, Any]) -> None:
    """The same case with its fields sent by the candidates, and by user and candidates in turn."""
    dtype, items = parse_type(case["dtype"]), moved(case, ["item"])
    rows = [asked(items, row)["item"] for row in items["rows"]]
    for copies in (1, 1 + 40 // len(rows)):
        answer = Extractor(compiled(items), None).extract({}, {}, rows * copies, time_of(case))
        hold(answer, dtype)
        check(case, read(answer.features, dtype)[-len(rows) :], f"candidates, {copies} times")
    for sides in (["user", "item"], ["item", "user"]):
        for copies in (1, 30):
            check(case, online(moved(case, sides), copies), f"{' and '.join(sides)} in turn, {copies} candidates")


def test_refused(case: dict[str, Any]) -> None:
    wanted = case["error"]
    with pytest.raises(FeatureError) as caught:
        compiled(case)
    assert caught.value.kind == wanted["kind"]
    if "column" in wanted:
        assert caught.value.column == wanted["column"]
    if "suggest" in wanted:
        assert f"did you mean '{wanted['suggest']}'" in str(caught.value)
