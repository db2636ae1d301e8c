"""Segments, novelty, phases and other experiments: found where they are, and rarely where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from ab.cube import cube
from ab.estimates import Estimate, NoResult
from ab.exposure import Units
from ab.plan import Plan
from ab.report import build
from ab.segments import Interaction, by_segment
from ab.trend import Novelty, by_day, novelty
from ab.trust import check_phases, check_ratio
from saima.routing.experiments import Analysis, Experiment

Make = Callable[..., Any]
FIXED = Analysis(method="fixed")


def rows(seed: int, units: int = 2000, differs: float = 0.0, wears_off: float = 0.0) -> pl.LazyFrame:
    """Units of one day each; the effect is `differs` more in one of four groups, and `wears_off` less each day."""
    random = np.random.default_rng(seed)
    arm, kind, day = random.integers(0, 2, units), random.integers(0, 4, units), np.sort(random.integers(0, 10, units))
    value = random.normal(10, 2, units) + arm * (0.5 + differs * (kind == 0) - wears_off * day)
    return pl.LazyFrame(
        {
            "unit": np.arange(units),
            "arm": np.where(arm == 0, "a", "b"),
            "day": [f"2013-04-{each + 1:02}" for each in day],
            "kind": [f"k{each}" for each in kind],
            "x:value": value,
            "x:denominator": np.ones(units),
        }
    )


def heterogeneity(frame: pl.LazyFrame) -> float:
    (segment,) = by_segment(cube(frame, ["x"], ["kind"]), "x", ("a", "b"), FIXED)
    assert len(segment.slices) == 4
    assert isinstance(segment.interaction, Interaction)
    return segment.interaction.p_value


def test_an_effect_that_differs_by_group_is_found_and_one_that_does_not_rarely() -> None:
    assert heterogeneity(rows(1, differs=1.5)) < 0.001
    assert sum(heterogeneity(rows(seed)) < 0.05 for seed in range(60)) <= 8


def test_an_effect_that_wears_off_is_seen() -> None:
    def slope(frame: pl.LazyFrame) -> Novelty:
        found = novelty(by_day(frame, cube(frame, ["x"]), "x", ("a", "b"), FIXED))
        assert isinstance(found, Novelty)
        return found

    worn = slope(rows(1, wears_off=0.2))
    assert worn.p_value < 0.001
    assert abs(worn.slope + 0.2) < 4 * worn.se
    assert sum(slope(rows(seed)).p_value < 0.05 for seed in range(40)) <= 6
    assert isinstance(novelty([]), NoResult)


def test_a_phase_does_not_hide_behind_the_others(experiment: Experiment) -> None:
    """120 too many in one arm early, and as many too few later: the whole looks fair, no phase is."""
    early = ["champion"] * 560 + ["challenger"] * 440
    arms = early + ["champion" if arm == "challenger" else "challenger" for arm in early]
    units = Units(pl.DataFrame({"unit": range(2000), "arm": arms, "time": range(2000)}), 0)
    assert check_ratio(experiment, units.counts(list(experiment.arms)), "units").status == "pass"
    assert check_phases(experiment, units, [1000]).status == "fail"
    assert check_phases(experiment, units, [500]).status == "fail"
    fair = Units(units.frame.with_columns(arm=pl.Series(["champion", "challenger"] * 1000)), 0)
    assert check_phases(experiment, fair, [500, 1000]).status == "pass"


def test_another_experiment_of_the_same_decisions_is_a_segment(
    experiment: Experiment, samples: Make, journal: Make
) -> None:
    """The challenger helps only beside arm `b` of another layer's experiment."""
    frame = samples(6000)
    other = pl.Series(["a", "b"] * 3000)
    helped = (pl.col("arm") == "challenger") & (other == "b")
    score = pl.when(helped).then(pl.col("label") + 0.4 * (pl.col("score") - pl.col("label"))).otherwise("score")
    frame = frame.with_columns(score=score)
    records = []
    for text, arm, look in zip(journal(frame).collect()["record"], frame["arm"], other, strict=True):
        layers = [["model", "fusion", arm, 0.5, "hashed"], ["look", "button", look, 0.5, "hashed"]]
        records.append(json.dumps({**json.loads(text), "layers": layers}))
    log = pl.LazyFrame({"trace": frame["trace"], "record": records})
    report = build(experiment, frame.lazy(), journal=log, generated=1_366_000_000_000, plan=Plan())
    (segment,) = report.segments
    assert segment.name == "experiment button"
    effects = {each.value: each.estimate for each in segment.slices}
    assert isinstance(effects["a"], Estimate)
    assert isinstance(effects["b"], Estimate)
    assert effects["b"].effect < -5 < effects["a"].effect
    assert segment.p_adjusted is not None
    assert segment.p_adjusted < 0.001
