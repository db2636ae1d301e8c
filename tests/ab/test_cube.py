"""The cube against a program that computes every look, segment and cap from all rows anew."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tea_tasting.aggr import Aggregates

from ab.cube import OTHER, cube

COLUMNS = ["x:value", "x:denominator", "x:covariate"]


def frame(seed: int, units: int, days: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    rows = [(unit, day) for unit in range(units) for day in range(days) if random.random() < 0.5]
    arm, kind, before = random.integers(0, 2, units), random.integers(0, 3, units), random.normal(0, 1, units)
    return pl.DataFrame(
        {
            "unit": [str(unit) for unit, _ in rows],
            "arm": ["ab"[arm[unit]] for unit, _ in rows],
            "day": [f"2013-04-{day + 1:02}" for _, day in rows],
            "kind": [f"k{kind[unit]}" for unit, _ in rows],
            "x:value": [1e3 + random.normal(0, 3) for _ in rows],
            "x:denominator": [float(random.integers(0, 3)) for _ in rows],
            "x:covariate": [before[unit] for unit, _ in rows],
        },
        schema_overrides={"unit": pl.String, "arm": pl.String, "day": pl.String, "kind": pl.String},
    ).sample(fraction=1, shuffle=True, seed=seed)


def naive(rows: pl.DataFrame, cap: tuple[float, float] | None = None) -> tuple[int, dict[str, float]]:
    """Units with a denominator; means and (co)variances of their sums by NumPy."""
    sums = (
        rows.group_by("unit")
        .agg(pl.col("x:value", "x:denominator").sum(), pl.col("x:covariate").first())
        .filter(pl.col("x:denominator") != 0)
    )
    if cap is not None:
        sums = sums.with_columns(pl.col("x:value").clip(upper_bound=cap[0]))
        sums = sums.with_columns(pl.col("x:denominator").clip(upper_bound=cap[1]))
    values = {name: sums[name].to_numpy() for name in COLUMNS}
    found = {name: float(each.mean()) for name, each in values.items()} if sums.height else {}
    if sums.height > 1:
        for a, b in combinations_with_replacement(COLUMNS, 2):
            found[f"{a}*{b}"] = float(np.cov(values[a], values[b])[0, 1])
    return sums.height, found


def same(moments: Aggregates | None, rows: pl.DataFrame, cap: tuple[float, float] | None = None) -> None:
    n, expected = naive(rows, cap)
    assert (0 if moments is None else moments.count()) == n
    if moments is None:
        return
    for name, value in expected.items():
        a, _, b = name.partition("*")
        got = moments.mean(a) if not b else moments.var(a) if a == b else moments.cov(a, b)
        assert got == pytest.approx(value, rel=1e-7, abs=1e-6), name


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 6))
def test_every_look_and_segment_is_that_of_all_rows_anew(seed: int, units: int, days: int) -> None:
    rows = frame(seed, units, days)
    found = cube(rows.lazy(), ["x"], ["kind"])
    grown, totals, kinds = found.by_day("x"), found.total("x"), found.by_segment("x", "kind")
    for arm in rows["arm"].unique():
        mine = rows.filter(pl.col("arm") == arm)
        same(totals[arm], mine)
        for day in rows["day"].unique():
            same(grown[day, arm], mine.filter(pl.col("day") <= day))
        for kind in rows["kind"].unique():
            same(kinds.get((kind, arm)), mine.filter(pl.col("kind") == kind))


def test_a_cap_is_one_for_all_arms() -> None:
    rows = frame(1, 60, 4).with_columns(pl.col("x:value") * pl.when(pl.col("arm") == "a").then(3).otherwise(1))
    sums = rows.group_by("unit").agg(pl.col("x:value", "x:denominator").sum()).filter(pl.col("x:denominator") != 0)
    cap = sums["x:value"].quantile(0.9, "higher"), sums["x:denominator"].quantile(0.9, "higher")
    assert cap[0] is not None
    assert cap[1] is not None
    totals = cube(rows.lazy(), ["x"], winsorise={"x": 0.9}).total("x")
    for arm in "ab":
        same(totals[arm], rows.filter(pl.col("arm") == arm), (cap[0], cap[1]))


def test_rare_values_of_a_segment_are_together() -> None:
    units = 300
    kinds = [f"k{min(unit % 20, unit % 7)}" if unit % 3 else f"rare{unit}" for unit in range(units)]
    rows = pl.LazyFrame(
        {"unit": range(units), "arm": ["a", "b"] * (units // 2), "day": [0] * units, "kind": kinds,
         "x:value": [1.0] * units}
    )  # fmt: skip
    values = cube(rows, ["x"], ["kind"]).values("kind")
    assert len(values) == 8
    assert values[-1] == OTHER
