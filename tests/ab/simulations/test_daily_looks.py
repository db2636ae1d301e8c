"""Fourteen daily looks at an AA: the confidence sequence keeps its promise, the naive test breaks it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ab.cube import cube
from ab.effects import compare
from ab.estimates import Estimate
from saima.routing.experiments import Analysis

DAYS, UNITS = 14, 1200
ALWAYS, NAIVE = Analysis(method="sequential"), Analysis(method="fixed")


def alarms(experiments: int, seed: int) -> tuple[float, float]:
    """Share of AA experiments in which some look finds a difference: by the confidence sequence, by Welch's test."""
    random, always, naive = np.random.default_rng(seed), 0, 0
    day = np.sort(np.arange(UNITS) % DAYS)
    for _ in range(experiments):
        frame = pl.LazyFrame(
            {
                "unit": np.arange(UNITS),
                "arm": np.where(random.random(UNITS) < 0.5, "a", "b"),
                "day": day,
                "x:value": random.gamma(2, 5, UNITS),
            }
        )
        found = cube(frame, ["x"])
        moments, columns = found.by_day("x"), found.metrics["x"]
        looks = [(moments[one, "a"], moments[one, "b"]) for one in found.days()]
        seen = [[compare(*look, columns, analysis) for look in looks] for analysis in (ALWAYS, NAIVE)]
        found_by = [any(isinstance(e, Estimate) and e.p_value < 0.05 for e in each) for each in seen]
        always, naive = always + found_by[0], naive + found_by[1]
    return always / experiments, naive / experiments


def held(experiments: int, seed: int) -> None:
    always, naive = alarms(experiments, seed)
    assert always <= 0.05
    assert naive > 0.15


def test_a_sample_of_experiments() -> None:
    held(120, 1)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_two_thousand_experiments() -> None:
    held(2000, 2)
