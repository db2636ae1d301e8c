"""A click-through AA: users differ, so a test of impressions cries wolf, and one of units does not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ab import proportions
from ab.cube import cube
from ab.effects import compare
from ab.estimates import Estimate
from saima.routing.experiments import Analysis

USERS = 1000


def p_values(experiments: int, seed: int) -> tuple[list[float], list[float]]:
    """p of the ratio of unit sums, and of the impressions as if each were a unit of its own."""
    random = np.random.default_rng(seed)
    by_units, by_impressions = [], []
    for _ in range(experiments):
        arm = np.arange(USERS) % 2
        seen = 1 + random.geometric(0.05, USERS)
        clicks = random.binomial(seen, random.beta(0.6, 6, USERS))
        sums = {"unit": np.arange(USERS), "arm": np.where(arm == 0, "a", "b"), "day": [0] * USERS}
        frame = pl.LazyFrame({**sums, "ctr:value": clicks * 1.0, "ctr:denominator": seen * 1.0})
        found = cube(frame, ["ctr"])
        moments = found.total("ctr")
        ratio = compare(moments["a"], moments["b"], found.metrics["ctr"], Analysis(method="fixed"))
        naive = proportions.compare(
            *((int(clicks[arm == side].sum()), int(seen[arm == side].sum())) for side in (0, 1))
        )
        assert isinstance(ratio, Estimate)
        assert isinstance(naive, Estimate)
        by_units.append(ratio.p_value)
        by_impressions.append(naive.p_value)
    return by_units, by_impressions


def calibrated(experiments: int, seed: int) -> None:
    by_units, by_impressions = (np.array(p) for p in p_values(experiments, seed))
    assert stats.kstest(by_units, "uniform").pvalue > 0.01
    assert abs((by_units < 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / experiments)
    assert stats.kstest(by_impressions, "uniform").pvalue < 1e-6
    assert (by_impressions < 0.05).mean() > 0.2


def test_a_sample_of_experiments() -> None:
    calibrated(300, 3)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_three_thousand_experiments() -> None:
    calibrated(3000, 4)
