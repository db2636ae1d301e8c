"""CUPED lowers the variance as its correlation says, and stays calibrated; a covariate from after does not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ab.cube import cube
from ab.effects import compare
from ab.estimates import Estimate
from saima.routing.experiments import Analysis

FIXED = Analysis(method="fixed")


def estimates(
    units: int, correlation: float, effect: float, seed: int, *, after: bool = False
) -> tuple[Estimate, Estimate]:
    """The plain estimate and the adjusted one; `after`: the covariate was measured when the treatment had worked."""
    random = np.random.default_rng(seed)
    treated = np.arange(units) % 2
    before = random.normal(0, 1, units)
    value = 10 + correlation * before + np.sqrt(1 - correlation**2) * random.normal(0, 1, units) + effect * treated
    given = before + (effect / correlation * treated if after else 0)
    base = {"unit": np.arange(units), "arm": np.where(treated, "b", "a"), "day": [0] * units, "x:value": value}
    found = []
    for columns in (base, {**base, "x:covariate": given}):
        each = cube(pl.LazyFrame(columns), ["x"])
        moments = each.total("x")
        estimate = compare(moments["a"], moments["b"], each.metrics["x"], FIXED)
        assert isinstance(estimate, Estimate)
        found.append(estimate)
    return found[0], found[1]


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_variance_falls_by_the_square_of_the_correlation(correlation: float) -> None:
    plain, adjusted = estimates(40_000, correlation, 0.1, seed=int(correlation * 10))
    assert (adjusted.se / plain.se) ** 2 == pytest.approx(1 - correlation**2, abs=0.015)
    assert adjusted.effect == pytest.approx(0.1, abs=4 * adjusted.se)


def covered(experiments: int) -> None:
    hits = {"before": 0, "after": 0}
    for seed in range(experiments):
        for name in hits:
            _, adjusted = estimates(600, 0.7, 0.3, seed, after=name == "after")
            assert adjusted.lower is not None
            assert adjusted.upper is not None
            hits[name] += adjusted.lower <= 0.3 <= adjusted.upper
    assert hits["before"] / experiments == pytest.approx(0.95, abs=3.5 * (0.95 * 0.05 / experiments) ** 0.5)
    assert hits["after"] / experiments < 0.5, "a covariate from after the exposure takes the effect away"


def test_intervals_hold_the_truth_in_a_sample() -> None:
    covered(100)


@pytest.mark.full
def test_intervals_hold_the_truth() -> None:
    covered(2000)
