"""Pairs of request and item: kernels, kept rows and the select give what the plan gives for a frame, bit for bit."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from saima.features.compiler import FeatureError, compile_plan
from saima.features.declaration import Declaration
from saima.features.extractor import Extractor
from saima.features.plan import Plan

FIELDS = {"x": "float64", "y": "float64", "f": "float32", "i": "int64", "j": "int64", "p": "bool", "q": "bool",
          "a": "timestamp", "s": "string", "xs": "list<float64>"}  # fmt: skip
VECTORISED = [
    "i + j", "i - j", "i * j", "x + y", "x - y", "x * y", "x / y", "i / j", "x / 3", "i / 7", "i // j", "i % j",
    "i // 3", "i % -3", "i // -1", "x // y", "x % y", "mod(i, j)", "-i", "-x", "+x", "(x + y) * x - y / 2", "i + x",
    "f * f", "f + 1", "f * 3.0e38 * 10.0", "i < j", "x <= y", "x > 0.5", "i >= x", "i == j", "x != y", "f > 1",
    "p == q",
    "0 < x < y", "p and q", "p or q", "not p", "p and x > 0 or q", "i if p else j", "x if p else i", "f if p else f",
    "None if p else i", "is_null(x)", "is_null(i)", "coalesce(x, y)", "coalesce(x, 1)", "coalesce(i, j)",
    "coalesce(None, i)", "cast(x, 'int64')", "cast(i, 'float32')", "cast(x, 'float32')", "cast(p, 'int64')",
    "cast(i, 'bool')", "cast(a, 'int64')", "abs(x)", "abs(i)", "sign(x)", "sign(i)", "floor(x)", "ceil(x)", "round(x)",
    "sqrt(x)", "clip(x, 0, y)", "clip(i, -5, j)", "clip(x / y, 0.0, 5.0)", "abs(x * y)", "min(x, y)", "max(i, x)",
    "smooth(i, j, 1.0, 2.0)", "smooth(x, y, 0.5, 0.25, 100)", "zscore(x, y, f)", "minmax(x, y, f)",
    "bucketize(x, buckets.b)", "bucketize(i, buckets.b)", "num_bucket(i, 10)", "age(a)",
    "date_diff(a, cast(i, 'timestamp'), 'minute')", "x * 1e200 * 1e200", "i if x > y else j * 3",
]  # fmt: skip
SELECTED = ["log1p(x) + y", "hash_bucket(s, 100) + i", "sum(xs) * x", "x ** y", "len(xs) + i", "hour(a) + i"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float64": st.one_of(
        st.none(), st.floats(), st.floats(-100, 100), st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e300, -1e300, 2.0**100])
    ),
    "float32": st.one_of(st.none(), st.floats(width=32)),
    "int64": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-12, 12)),
    "bool": st.sampled_from([None, True, False]),
    "timestamp": st.one_of(st.none(), st.integers(0, 2**42)),
    "string": st.one_of(st.none(), st.text(max_size=3)),
    "list<float64>": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=3)),
}
TIME = 1_700_000_000_000


@dataclass(frozen=True)
class Compiled:
    declaration: Declaration
    plan: Plan


def compiled(expressions: list[str], sides: dict[str, str], default: bool) -> Compiled:
    """One feature an expression, its fields on the given sides; numbers as their own type and as float32."""
    fields: dict[str, dict[str, str]] = {"request": {}, "user": {}, "item": {}}
    for name, side in sides.items():
        fields[side][name] = FIELDS[name]
    features: dict[str, Any] = {}
    for place, text in enumerate(expressions):
        found = next(dtype for dtype in ("int64", "float64", "bool", "float32") if accepts(text, dtype, fields))
        features[f"r{place}"] = {
            "value": text,
            "dtype": found,
            **({"default": 1} if default and found != "bool" else {}),
        }
        if found in ("int64", "float64"):
            features[f"n{place}"] = {"value": text, "dtype": "float32"}
            features[f"m{place}"] = {"value": f"r{place} + x", "dtype": "float64"}
    return build(features, fields)


def build(features: dict[str, Any], fields: dict[str, dict[str, str]]) -> Compiled:
    declaration = Declaration.model_validate(
        {
            "algorithm": "pairs",
            "request": {"fields": fields["request"], "user": fields["user"], "items": {"fields": fields["item"]}},
            "resources": {"buckets": {"b": [-1.0, 0.0, 0.5, 250.0]}},
            "features": features,
        }
    )
    return Compiled(declaration, compile_plan(declaration, {}, {}))


def accepts(text: str, dtype: str, fields: dict[str, dict[str, str]]) -> bool:
    try:
        node = build({"r": {"value": text, "dtype": dtype}}, fields).plan.computed[0].node
    except FeatureError:
        return False
    return getattr(node, "operator", None) is None or node.operator.name != "as"


def bits(frame: pl.DataFrame) -> list[Any]:
    """Values with every float as its bits; zeros of both signs are one value."""
    return [
        [struct.pack("<d", value + 0.0) if isinstance(value, float) else value for value in column.to_list()]
        for column in frame.iter_columns()
    ]


def sides_of(seed: int) -> dict[str, str]:
    rng = random.Random(seed)
    return {**{name: rng.choice(["request", "user", "item", "item"]) for name in FIELDS}, "x": "item"}


def check(expressions: list[str], examples: int, seed: int) -> None:
    sides = sides_of(seed)
    algorithm = compiled(expressions, sides, seed % 2 == 0)
    extractor = Extractor(algorithm, None)

    def values(side: str) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({name: VALUES[FIELDS[name]] for name, at in sides.items() if at == side})

    @given(request=values("request"), user=values("user"), items=st.lists(values("item"), min_size=1, max_size=4))
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )  # fmt: skip
    def examine(request: dict[str, Any], user: dict[str, Any], items: list[dict[str, Any]]) -> None:
        frame = extractor.inputs(request, user, items, TIME)
        wanted = algorithm.plan.evaluate(pl.concat([frame] * 20))[: len(items)]
        found = extractor.extract(request, user, items, TIME)
        assert found.features.schema == wanted.schema
        assert bits(found.features) == bits(wanted)
        numbers = list(found.features.columns)
        matrix = found.matrix(numbers)
        for place, name in enumerate(numbers):
            assert np.array_equal(matrix[:, place], wanted[name].cast(pl.Float32).to_numpy(), equal_nan=True), name

    examine()


GROUPS = [VECTORISED[start : start + 8] for start in range(0, len(VECTORISED), 8)]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_pairs_are_what_the_plan_gives(group: list[str]) -> None:
    check(group, 5, len(group[0]))


def test_what_has_no_kernel_goes_through_one_select() -> None:
    check(SELECTED, 5, 1)


@pytest.mark.full
@pytest.mark.parametrize("text", [*VECTORISED, *SELECTED])
def test_pairs_are_what_the_plan_gives_in_full(text: str) -> None:
    for seed in range(5):
        check([text], 60, seed)
