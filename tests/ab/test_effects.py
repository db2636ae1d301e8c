"""Effects: direction, correction, margins, and the always-valid method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from ab.cube import cube
from ab.effects import control_of, effects, outcome
from ab.estimates import Estimate
from ab.means import from_units
from ab.metrics import sums
from saima.routing.experiments import Analysis, Experiment, Metric

Make = Callable[..., Any]


def estimate(effect: float) -> Estimate:
    found = from_units((1000, 10.0, 4.0), (1000, 10.0 + effect, 4.0))
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize(
    ("effect", "direction", "role", "margin", "expected"),
    [
        (-1.0, "lower", "primary", None, "better"),
        (-1.0, "higher", "primary", None, "worse"),
        (0.01, "higher", "primary", None, "unclear"),
        (0.01, "lower", "guardrail", 0.5, "safe"),
        (0.01, "lower", "guardrail", 0.05, "unclear"),
        (-0.01, "higher", "guardrail", 0.5, "safe"),
        (0.9, "lower", "guardrail", 0.5, "worse"),
    ],
)
def test_outcomes(effect: float, direction: str, role: str, margin: float | None, expected: str) -> None:
    metric = Metric.model_validate({"value": "x", "direction": direction, "role": role, "margin": margin})
    found = estimate(effect)
    assert outcome(found, found.p_value, metric, 0.05) == expected


def test_always_valid_is_wider_and_keeps_the_estimate(experiment: Experiment, samples: Make) -> None:
    rows = cube(sums(samples(better=0.2).lazy().drop("item"), experiment.metrics), experiment.metrics)
    fixed = effects(rows, experiment)[0].estimate
    sequential = experiment.model_copy(update={"analysis": Analysis(method="sequential")})
    always = effects(rows, sequential)[0].estimate
    assert fixed is not None
    assert always is not None
    assert (always.effect, always.relative_effect) == pytest.approx((fixed.effect, fixed.relative_effect))
    for name in ("lower", "relative_lower"):
        assert getattr(always, name) < getattr(fixed, name)
    for name in ("upper", "relative_upper"):
        assert getattr(always, name) > getattr(fixed, name)
    assert always.p_value > fixed.p_value


def test_the_control_is_the_champion_or_the_first(experiment: Experiment) -> None:
    assert control_of(experiment) == "champion"
    arms = dict.fromkeys(("b", "a"), experiment.arms["champion"])
    assert control_of(experiment.model_copy(update={"arms": arms})) == "b"


def test_units_are_the_sample_not_rows(experiment: Experiment, samples: Make) -> None:
    frame = samples(better=0.1)
    repeated = pl.concat([frame] * 5)
    one = effects(cube(sums(frame.lazy(), experiment.metrics), experiment.metrics), experiment)[0].estimate
    many = effects(cube(sums(repeated.lazy(), experiment.metrics), experiment.metrics), experiment)[0].estimate
    assert one is not None
    assert many is not None
    assert many.se == pytest.approx(one.se)
    assert many.n_control == one.n_control
