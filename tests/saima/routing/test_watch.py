"""Windows over a version's decisions: what counts in which, how much evidence is wanted, which record is a decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saima.errors import FieldError
from saima.routing.rails import Guardrails
from saima.routing.watch import Decision, Watch, at, begin, decided, decision, follows, found, matured

HOUR = 3_600_000
RAILS = Guardrails(missing=0.1, drift=0.1, score_range=(0, 1), calibration=0.05, window="2h", alpha=0.05)
BAD = Decision(0.9, 7.0)
GOOD = Decision(0.1, 0.5)


def record(**more: Any) -> dict[str, Any]:
    return {"features": {"a": [1, None], "b": [None, None]}, "scores": [0.2, 0.7, None], **more}


def test_a_decision_is_its_missing_values_and_its_best_score() -> None:
    assert decision(record()) == Decision(0.75, 0.7)
    assert decision(record(features={})) == Decision(None, 0.7)
    assert decision(record(scores=[])) == Decision(0.75, None)
    hopeless = decision(record(scores=[None]))
    assert hopeless is not None
    assert math.isnan(hopeless.score or 0)
    assert decision(record(shadow=True)) is None
    assert decision(record(degraded=["fallback:constant"])) is None
    assert decision(record(degraded=["weather"])) == Decision(0.75, 0.7)


def test_a_score_that_is_no_number_is_out_of_range_and_none_is_nowhere() -> None:
    seen = decided(begin(1, RAILS, [], 0), [GOOD, BAD, Decision(None, math.nan), Decision(0.5, None)], RAILS)
    assert (seen.missing, seen.drift) == ((1, 3), (2, 3))


def test_nothing_seen_and_nothing_to_compare_with_is_no_breach() -> None:
    without = Guardrails(missing=0.1, drift=0.1, calibration=0.05)
    fresh = begin(1, without, [0.5] * 5, 0)
    assert fresh.band is None
    seen = decided(fresh, [Decision(None, 99.0)] * 500, without)
    assert [row.rail for row in found(seen, without)] == ["missing", "calibration"]
    assert all(row.evidence < row.wanted for row in found(seen, without))
    assert matured(fresh, np.array([]), without) == fresh


@given(st.lists(st.sampled_from([GOOD, BAD]), max_size=30), st.integers(0, 30))
def test_slices_add_up(rows: list[Decision], cut: int) -> None:
    start = begin(1, RAILS, [], 0)
    assert decided(decided(start, rows[:cut], RAILS), rows[cut:], RAILS) == decided(start, rows, RAILS)
    assert Watch.model_validate(decided(start, rows, RAILS).model_dump(mode="json")) == decided(start, rows, RAILS)


def test_a_long_good_time_does_not_hide_a_bad_window() -> None:
    seen = decided(begin(1, RAILS, [], 0), [GOOD] * 100_000, RAILS)
    hidden = decided(seen, [BAD] * 60, RAILS)
    assert found(hidden, RAILS)[0].evidence < 0
    fresh = at(seen, RAILS, 5 * HOUR)
    assert (fresh.window, fresh.began, fresh.missing, fresh.band) == (2, 4 * HOUR, (0, 0), seen.band)
    assert at(fresh, RAILS, 6 * HOUR - 1) == fresh
    row = found(decided(fresh, [BAD] * 60, RAILS), RAILS)[0]
    assert (row.bad, row.of) == (60, 60)
    assert row.evidence > row.wanted


def test_all_windows_together_have_alpha() -> None:
    spent = sum(math.exp(-found(at(begin(1, RAILS, [], 0), RAILS, k * 2 * HOUR), RAILS)[0].wanted) for k in range(2000))
    assert 0.999 * RAILS.alpha < spent <= RAILS.alpha


@pytest.mark.parametrize("rounds", [100, pytest.param(600, marks=pytest.mark.full)])
def test_a_version_within_its_bounds_is_left_alone_over_many_windows_and_looks(rounds: int) -> None:
    random = np.random.default_rng(3)
    rails = Guardrails(missing=0.1, drift=0.1, calibration=0.05, window="2h", alpha=0.05)
    wrong = 0
    for _ in range(rounds):
        watch = begin(1, rails, random.normal(size=2000).tolist(), 0)
        for look in range(120):
            watch = at(watch, rails, look * HOUR // 6)
            lacking, scores = random.random(20) < 0.1, random.normal(size=20)
            rows = [Decision(float(bad), float(score)) for bad, score in zip(lacking, scores, strict=True)]
            watch = matured(decided(watch, rows, rails), (random.random(20) < 0.45) - 0.4, rails)
            if any(row.evidence >= row.wanted for row in found(watch, rails)):
                wrong += 1
                break
    assert wrong / rounds <= 3 * rails.alpha, "each of the three rails has its own alpha"


@pytest.mark.parametrize(
    ("rail", "rows", "errors"),
    [("missing", [Decision(0.9, 0.5)], 0.0), ("drift", [Decision(0.1, 3.0)], 0.0), ("calibration", [GOOD], 0.3)],
)
def test_each_rail_sees_its_fault_soon(rail: str, rows: list[Decision], errors: float) -> None:
    watch = matured(decided(begin(1, RAILS, [], 0), rows * 200, RAILS), np.full(200, errors), RAILS)
    assert [row.rail for row in found(watch, RAILS) if row.evidence >= row.wanted] == [rail]


def test_one_wild_outcome_counts_no_more_than_the_scale() -> None:
    rails = Guardrails(calibration=5, calibration_scale=60)
    watch = matured(begin(1, rails, [], 0), np.array([1e9, -1.0]), rails)
    assert (watch.error, watch.matured) == (59.0, 2)


def test_other_settings_or_another_version_begin_anew() -> None:
    watch = begin(1, RAILS, [], 0)
    assert follows(Watch.model_validate(watch.model_dump(mode="json")), 1, RAILS)
    assert not follows(watch, 2, RAILS)
    assert not follows(watch, 1, RAILS.model_copy(update={"missing_share": 0.2}))
    assert follows(watch, 1, RAILS.model_copy(update={"errors": 0.2, "cool_down": "5h"}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"missing": 0}, "missing"),
        ({"drift": 1.5}, "drift"),
        ({"drift": 0.1, "score_range": [1, 1]}, r"\[1, 1\] is no range"),
        ({"drift": 0.1, "score_range": [0, math.inf]}, "no range"),
        ({"score_range": [0, 1]}, "without `drift`"),
        ({"calibration": math.nan}, "calibration"),
        ({"calibration": 5}, "take a larger scale"),
        ({"window": "soon"}, "'soon' is not a duration"),
        ({"window": "10s"}, "shorter than two looks"),
        ({"missing_share": 1}, "missing_share"),
        ({"rejects": 0.1}, "rejects"),
        ({"srm": 7}, "srm"),
    ],
)
def test_nonsense_is_refused_in_words(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, FieldError), match=said):
        Guardrails.model_validate(settings)
