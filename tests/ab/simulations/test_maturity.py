"""Immature labels never decide: an arm whose large outcomes come late is not better for it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ab.cube import cube
from ab.effects import compare
from ab.estimates import Estimate
from ab.metrics import sums
from ab.report import build
from saima.routing.experiments import Experiment

START, HOUR = 1_364_774_400_000, 3_600_000
NOW = START + 5 * 24 * HOUR
SLOW = Experiment.model_validate(
    {
        "experiment": "slow",
        "layer": "model",
        "arms": {name: {"lineage": "xgb", "weight": 50} for name in ("control", "slow")},
        "metrics": {"delay": {"value": "label", "direction": "lower", "role": "primary"}},
        "analysis": {"method": "sequential"},
    }
)


def known_by_now(seed: int, units: int = 4000) -> pl.DataFrame:
    """Both arms have the same labels; the larger one is, the later it comes, in one arm four times as late."""
    random = np.random.default_rng(seed)
    time = np.sort(random.integers(START, NOW, units))
    arm = np.where(random.random(units) < 0.5, "control", "slow")
    label = random.gamma(2, 1, units)
    came = time + HOUR + (label * np.where(arm == "slow", 8, 2) * HOUR).astype(np.int64)
    trace = [f"t{i}" for i in range(units)]
    rows = {"trace": trace, "item": [""] * units, "unit": trace, "time": time, "label": label, "label_time": came}
    frame = pl.DataFrame({**rows, "arm": arm, "experiment": ["slow"] * units, "version": ["1"] * units})
    return frame.filter(pl.col("label_time") <= NOW)


def never_decide(experiments: int) -> None:
    naive = 0
    for seed in range(experiments):
        samples = known_by_now(seed)
        report = build(SLOW, samples.lazy(), generated=NOW)
        assert report.verdict.code == "undecided", report.verdict
        assert report.position.immature > 0
        found = cube(sums(samples.lazy(), SLOW.metrics), SLOW.metrics)
        moments = found.total("delay")
        estimate = compare(moments["control"], moments["slow"], found.metrics["delay"], SLOW.analysis)
        naive += isinstance(estimate, Estimate) and estimate.p_value < 0.05 and estimate.effect < 0
    assert naive > experiments / 4, "without the cut the slow arm would win five times as often as promised"


def test_a_sample_of_experiments() -> None:
    never_decide(12)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_three_hundred_experiments() -> None:
    never_decide(300)
