"""Means against scipy's t test, ratios against a bootstrap-free oracle, and what has no result."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ab import means, moments
from ab.estimates import Estimate, NoResult

VALUES = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=2, max_size=40)


def frame(control: list[float], treatment: list[float]) -> pl.LazyFrame:
    arms = ["a"] * len(control) + ["b"] * len(treatment)
    return pl.LazyFrame({"arm": arms, "x": [*control, *treatment], "one": [1.0] * len(arms)})


def arms(data: pl.LazyFrame, *columns: str) -> tuple[moments.Aggregates, moments.Aggregates]:
    found = moments.from_frame(data, "arm", columns)
    return found["a",], found["b",]


@pytest.mark.filterwarnings("ignore:Precision loss occurred")  # of the oracle, on an arm of one value
@settings(deadline=None)
@given(VALUES, VALUES)
def test_a_difference_is_welchs_test(control: list[float], treatment: list[float]) -> None:
    result = means.compare(*arms(frame(control, treatment), "x"), "x")
    if len(set(control)) == 1 and len(set(treatment)) == 1:
        assert isinstance(result, NoResult)
        return
    assert isinstance(result, Estimate)
    oracle = stats.ttest_ind(treatment, control, equal_var=False)
    interval = oracle.confidence_interval(0.95)
    assert result.p_value == pytest.approx(oracle.pvalue, abs=1e-9)
    assert (result.lower, result.upper) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)
    assert all(value is None or math.isfinite(value) for value in (result.relative_lower, result.relative_upper))


@settings(deadline=None)
@given(VALUES, VALUES)
def test_a_ratio_to_one_is_a_mean(control: list[float], treatment: list[float]) -> None:
    pair = arms(frame(control, treatment), "x", "one")
    ratio, mean = means.compare(*pair, "x", "one"), means.compare(*pair, "x")
    if isinstance(mean, Estimate):
        assert isinstance(ratio, Estimate)
        assert ratio.effect == pytest.approx(mean.effect)
        assert ratio.se == pytest.approx(mean.se)
    else:
        assert ratio == mean


def test_rows_of_one_unit_are_not_independent() -> None:
    random = np.random.default_rng(7)
    users = random.normal(10, 3, 400)
    rows = np.repeat(users, 25)
    naive = stats.sem(rows)
    sums = pl.LazyFrame({"arm": ["a"] * 200 + ["b"] * 200, "s": users * 25, "n": [25.0] * 400})
    result = means.compare(*arms(sums, "s", "n"), "s", "n")
    assert isinstance(result, Estimate)
    assert result.se > 4 * naive


def test_a_covariate_narrows_the_interval_and_keeps_the_effect() -> None:
    random = np.random.default_rng(3)
    before = random.normal(5, 2, 4000)
    after = before + random.normal(0, 0.5, 4000) + np.repeat([0.0, 0.1], 2000)
    data = pl.LazyFrame({"arm": ["a"] * 2000 + ["b"] * 2000, "x": after, "before": before})
    pair = arms(data, "x", "before")
    plain, adjusted = means.compare(*pair, "x"), means.compare(*pair, "x", covariate="before")
    assert isinstance(plain, Estimate)
    assert isinstance(adjusted, Estimate)
    assert adjusted.se < plain.se / 3
    assert adjusted.effect == pytest.approx(0.1, abs=4 * adjusted.se)


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        (moments.from_sums(1, {"x": 1.0}, {"x": 1.0}), moments.from_sums(5, {"x": 5.0}, {"x": 9.0})),
        (moments.from_sums(5, {"x": 5.0}, {"x": 1.0}), moments.from_sums(5, {"x": 5.0}, {"x": 9.0})),
        (moments.from_moments(5, {"x": 1.0}, {"x": 0.0}), moments.from_moments(5, {"x": 2.0}, {"x": 0.0})),
        (moments.from_moments(5, {"x": math.nan}, {"x": 1.0}), moments.from_moments(5, {"x": 2.0}, {"x": 1.0})),
    ],
    ids=["one unit", "negative variance", "constant", "not a number"],
)
def test_no_result_is_said_in_words(
    control: moments.Aggregates | NoResult, treatment: moments.Aggregates | NoResult
) -> None:
    result = means.compare(control, treatment, "x")
    assert isinstance(result, NoResult)
    assert result.reason


def test_a_denominator_of_zero_is_no_result() -> None:
    data = pl.LazyFrame({"arm": ["a", "a", "b", "b"], "x": [1.0, 2.0, 3.0, 4.0], "n": [0.0, 0.0, 1.0, 2.0]})
    assert isinstance(means.compare(*arms(data, "x", "n"), "x", "n"), NoResult)


def test_a_mean_next_to_zero_has_an_unbounded_relative_interval() -> None:
    result = means.from_units((10, 1e-9, 1.0), (10, 1e-9, 1.0))
    assert isinstance(result, Estimate)
    assert result.relative_upper is None
    assert result.lower is not None
    assert result.upper is not None


def test_sums_and_frame_agree() -> None:
    x, y = [1.0, 4.0, 2.0], [3.0, 3.0, 9.0]
    data = pl.LazyFrame({"arm": ["a"] * 3, "x": x, "y": y})
    one = moments.from_frame(data, "arm", ["x", "y"])["a",]
    two = moments.from_sums(
        3, {"x": sum(x), "y": sum(y)}, {"x": 21.0, "y": 99.0}, {"x*y": sum(a * b for a, b in zip(x, y, strict=True))}
    )
    assert not isinstance(two, NoResult)
    assert (one.var("x"), one.cov("y", "x")) == pytest.approx((two.var("x"), two.cov("x", "y")))
