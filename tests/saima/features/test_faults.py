"""What leaves an operator's domain is null and counted, by feature; what is missing, or null by meaning, is not."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from saima.features.compiler import compile_plan
from saima.features.declaration import Declaration
from saima.features.faults import Faults
from saima.features.plan import Plan
from saima.features.types import TIMESTAMP, series

FIELDS = {
    "i": "int64", "j": "int64", "x": "float64", "s": "string", "xs": "list<float64>", "texts": "list<string>",
    "flags": "list<bool>", "d": "decimal(2)", "m": "map<string,float64>", "many": "list<int64>",
}  # fmt: skip
BIG = 2**62
CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("i / j", "float64", {"i": 1, "j": 0}, 1),
    ("i / j", "float64", {"i": None, "j": 0}, 0),
    ("i // j", "int64", {"i": 1, "j": 0}, 1),
    ("i % j", "int64", {"i": 1, "j": 0}, 1),
    ("i * j", "int64", {"i": BIG, "j": 4}, 1),
    ("i + j", "int64", {"i": BIG, "j": BIG}, 1),
    ("(i / j) + (j / i)", "float64", {"i": 0, "j": 0}, 2),
    ("(i / j) + (i / j)", "float64", {"i": 1, "j": 0}, 1),
    ("-(i / j)", "float64", {"i": 1, "j": 0}, 1),
    ("d * d", "decimal(4)", {"d": BIG}, 1),
    ("log(x)", "float64", {"x": -1.0}, 1),
    ("log(x)", "float64", {"x": None}, 0),
    ("log(x)", "float64", {"x": float("nan")}, 0),
    ("sqrt(x)", "float64", {"x": -4.0}, 1),
    ("exp(x)", "float64", {"x": 1000.0}, 1),
    ("zscore(x, 0.0, 0.0)", "float64", {"x": 1.0}, 1),
    ("minmax(x, 1.0, 1.0)", "float64", {"x": 1.0}, 1),
    ("smooth(i, j, 0.0, 0.0)", "float64", {"i": 1, "j": 0}, 1),
    ("cast(s, 'int64')", "int64", {"s": "abc"}, 1),
    ("cast(s, 'int64')", "int64", {"s": "12"}, 0),
    ("cast(s, 'decimal(2)')", "decimal(2)", {"s": "1,5"}, 1),
    ("cast(x, 'int64')", "int64", {"x": 1e300}, 1),
    ("cast(texts, 'list<int64>')", "list<int64>", {"texts": ["1", "x", None, "y"]}, 2),
    ("cast(xs, 'vector<float64,2>')", "vector<float64,2>", {"xs": [1.0]}, 1),
    ("cast(m, 'map<string,int64>')", "map<string,int64>", {"m": {"a": 1e300, "b": None, "c": 1.5}}, 1),
    ("log(xs)", "list<float64>", {"xs": [1.0, 0.0, None, -1.0]}, 2),
    ("log(xs)", "list<float64>", {"xs": None}, 0),
    ("sum(xs)", "float64", {"xs": [1e308, 1e308]}, 1),
    ("mask(xs, flags)", "list<float64>", {"xs": [1.0], "flags": [True, False]}, 1),
    ("mask(xs, flags)", "list<float64>", {"xs": [1.0], "flags": [False]}, 0),
    ("len(combo(many, many, many, many))", "int64", {"many": list(range(40))}, 1),
    ("len(combo(many, many))", "int64", {"many": []}, 0),
    ("element(xs, 7)", "float64", {"xs": [1.0]}, 0),
    ("num_bucket(i, 3)", "int64", {"i": 5}, 0),
    ("mean(xs)", "float64", {"xs": []}, 0),
    ("i / j if j != 0 else i", "float64", {"i": 1, "j": 0}, 1),
]  # fmt: skip


def plan_of(features: dict[str, dict[str, Any]]) -> Plan:
    declared = {"algorithm": "faults", "request": {"fields": FIELDS}, "features": features}
    return compile_plan(Declaration.model_validate(declared), {})


def frame_of(plan: Plan, rows: list[dict[str, Any]]) -> pl.DataFrame:
    types = plan.request_fields
    columns = [series("request.time", [0] * len(rows), TIMESTAMP)]
    columns += [
        series(name, [row.get(name.removeprefix("request.")) for row in rows], dtype) for name, dtype in types.items()
    ]
    return pl.DataFrame(columns)


@pytest.mark.parametrize(("text", "dtype", "row", "faults"), CASES)
def test_faults_of_one_row_and_of_many(text: str, dtype: str, row: dict[str, Any], faults: int) -> None:
    plan = plan_of({"made": {"value": text, "dtype": dtype, "default": None}})
    counter = Faults(plan)
    for size in (1, 3):
        found = counter.count(frame_of(plan, [row] * size))
        assert found == ({"made": faults * size} if faults else {})
    if faults:
        assert counter.features == ["made"]


def test_a_fault_belongs_to_the_feature_that_makes_it_not_to_its_readers() -> None:
    plan = plan_of(
        {
            "ratio": {"value": "i / j", "dtype": "float64", "default": -1.0},
            "root": {"value": "sqrt(ratio)", "dtype": "float64"},
            "plain": {"value": "i", "dtype": "int64"},
        }
    )
    counter = Faults(plan)
    frame = frame_of(plan, [{"i": 1, "j": 0}, {"i": 1, "j": 2}, {"i": 4, "j": -2}])
    assert counter.count(frame) == {"ratio": 1, "root": 2}
    assert counter.features == ["ratio", "root"]
    assert counter.count(frame.clear()) == {}
