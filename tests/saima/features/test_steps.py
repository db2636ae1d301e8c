"""How a frame becomes features: what is checked or used twice is computed once; tame and wild frames agree."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.features import explain, load
from saima.features.plan import Plan
from saima.features.tame import Tamer
from saima.features.types import parse_type, series

FIELDS = {"x": "float64", "y": "float64", "f": "float32", "i": "int64", "xs": "list<float64>"}
FEATURES = {
    "ratio": ("x / y", "float32"),
    "share": ("smooth(x, y, 1.0, 20.0)", "float32"),
    "root": ("sqrt(x * y)", "float32"),
    "logs": ("log1p(x) / (log1p(y) + 1.0)", "float64"),
    "third": ("x / 3.3", "float64"),
    "held": ("clip(x / y, -5, 5.0)", "float64"),
    "chosen": ("x / y if x > y else root", "float32"),
    "least": ("min(x, y, 0.5) + f", "float32"),
    "first": ("coalesce(element(xs, 0), x) * 2", "float64"),
    "far": ("haversine(x, y, f, 0.0)", "float64"),
    "whole": ("cast(x, 'int64') // i", "int64"),
    "fixed": ("cast(x, 'decimal(2)') + i", "decimal(2)"),
}
NUMBERS = (None, 0.0, -0.0, 0.1, -7.7, 8.1, 9.3, 250.0, 1e25, -1e25, 5e-324)
HUGE = (1e300, -1e300, 3.5e38, math.inf, -math.inf, math.nan)


def plan_of(folder: Path, features: dict[str, tuple[str, str]]) -> Plan:
    declared = {name: {"value": value, "dtype": dtype} for name, (value, dtype) in features.items()}
    made = {"algorithm": folder.name, "request": {"fields": FIELDS}, "features": declared}
    (folder / "algorithm.yaml").write_text(json.dumps(made))
    return load(folder).plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path, FEATURES)


def frame_of(plan: Plan, numbers: tuple[float | None, ...]) -> pl.DataFrame:
    """Every pair of numbers as x and y."""
    rows = [(x, y) for x in numbers for y in numbers]
    made: dict[str, list[Any]] = {
        "request.time": [0] * len(rows),
        "request.x": [x for x, _ in rows],
        "request.y": [y for _, y in rows],
        "request.f": [None if y is None else struct.unpack("f", struct.pack("f", math.atan(y)))[0] for _, y in rows],
        "request.i": [place % 7 - 3 for place in range(len(rows))],
        "request.xs": [None if x is None else [x, y] for x, y in rows],
    }
    return pl.DataFrame([series(name, made[name], dtype) for name, dtype in plan.input_types().items()])


def bits(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(struct.pack("d", v) if isinstance(v, float) else v for v in row) for row in frame.rows()]


def test_a_wild_row_changes_no_other_row(plan: Plan) -> None:
    tame, wild = frame_of(plan, NUMBERS), frame_of(plan, (*NUMBERS, *HUGE))
    assert Tamer(plan.input_types()).tamed(tame) is not None
    assert Tamer(plan.input_types()).tamed(wild) is None
    found = bits(plan.evaluate(tame))
    assert bits(plan.evaluate(pl.concat([tame, wild])))[: tame.height] == found
    assert bits(plan.evaluate_lazy(tame.lazy()).collect()) == found
    assert bits(plan.evaluate_lazy(wild.lazy()).collect()) == bits(plan.evaluate(wild))
    alone = [bits(plan.evaluate(wild[at]))[0] for at in range(0, wild.height, 7)]
    assert bits(plan.evaluate(wild))[::7] == alone


def test_nan_is_missing_in_a_tame_frame(plan: Plan) -> None:
    frame = frame_of(plan, NUMBERS)
    marked = frame.with_columns(pl.col("request.x", "request.f").fill_null(float("nan")))
    tamed = Tamer(plan.input_types()).tamed(marked)
    assert tamed is not None
    assert tamed.equals(frame)
    assert bits(plan.evaluate(marked)) == bits(plan.evaluate(frame))


def test_floats_in_lists_and_maps_are_looked_at() -> None:
    inner = {"l": "list<float64>", "m": "map<string,float64>", "v": "vector<float32,2>"}
    tamer = Tamer({name: parse_type(text) for name, text in inner.items()})
    held: dict[str, Any] = {"l": [1.0, None, math.nan], "m": {"a": 1.0}, "v": [1.0, 2.0]}

    def frame(**more: Any) -> pl.DataFrame:
        return pl.DataFrame([series(n, [{**held, **more}[n], None], parse_type(t)) for n, t in inner.items()])

    assert tamer.tamed(frame()) is not None
    for wild in ({"l": [1e40]}, {"m": {"a": 1.0, "b": -math.inf}}, {"v": [0.0, 2e38]}):
        assert tamer.tamed(frame(**wild)) is None
    assert Tamer({"n": parse_type("map<string,list<float64>>")}).tamed(frame()) is None


def test_nested_checks_grow_with_their_depth_and_no_faster(tmp_path: Path) -> None:
    text = "x"
    for _ in range(20):
        text = f"log1p(abs({text}) / y)"
    plan = plan_of(tmp_path, {"deep": (text, "float64")})
    for steps in (plan.steps, plan.tame_steps):
        exprs = [*(expr for step in steps.columns for expr in step), *steps.final]
        assert sum(len(expr.meta.root_names()) for expr in exprs) < 400
    frame = frame_of(plan, NUMBERS)
    wanted = [plan.reference(row)["deep"] for row in frame.rows(named=True)]
    found = plan.evaluate(frame)["deep"].to_list()
    assert [one is None for one in found] == [one is None for one in wanted]
    assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(found, wanted, strict=True) if a is not None)


def test_a_divisor_that_is_one_value_throughout_divides_as_ieee_says(plan: Plan) -> None:
    xs = [number / 7 for number in range(1000)]
    frame = pl.DataFrame([series(n, [None] * 1000, t) for n, t in plan.input_types().items()])
    frame = frame.with_columns(pl.Series("request.x", xs), pl.lit(3.3).alias("request.y"))
    for found in (plan.evaluate(frame), plan.evaluate_lazy(frame.lazy()).collect()):
        assert found["third"].to_list() == [x / 3.3 for x in xs]
        assert found["share"].to_list() == pl.Series([(x + 1.0) / (3.3 + 20.0) for x in xs], dtype=pl.Float32).to_list()
        assert found["held"].to_list() == [min(x / 3.3, 5.0) for x in xs]


def test_constants_alone_fill_every_row(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"one": ("1", "int64"), "half": ("one / 2.0", "float64")})
    frame = pl.DataFrame({"request.time": pl.Series([0] * 40, dtype=plan.input_schema()["request.time"])})
    assert plan.evaluate(frame).rows() == [(1, 0.5)] * 40
    assert plan.evaluate(frame.clear()).height == 0


def test_a_constant_before_a_column_is_every_row_of_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"same": ("0.0 != coalesce(3.0, x)", "bool"), "both": ("coalesce(3.0, x) + x", "float64")})
    frame = frame_of(plan, NUMBERS)
    assert plan.evaluate(frame)["same"].to_list() == [True] * frame.height
    assert plan.evaluate(frame)["both"].to_list() == [plan.reference(row)["both"] for row in frame.rows(named=True)]


def test_explain_says_how_many_selects_there_are(tmp_path: Path) -> None:
    plan_of(tmp_path, {"root": ("sqrt(x)", "float32"), "plain": ("x", "float64")})
    text = explain(load(tmp_path))
    assert "any frame: steps of 1, 1 values that are checked or used twice, then one select of 2 features" in text
