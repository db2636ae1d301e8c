"""Experiments: declared, resolved, ramped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saima.errors import DeclarationError
from saima.routing.experiments import Assignment, Experiment, load_experiments
from saima.routing.layers import Layers
from saima.settings import ROOT

UNITS = [f"unit-{i}" for i in range(2000)]


def experiment(**changes: Any) -> Experiment:
    body: dict[str, Any] = {
        "experiment": "race",
        "layer": "model",
        "arms": {"a": {"lineage": "x", "weight": 50}, "b": {"lineage": "y", "weight": 50, "parameters": {"w": 1}}},
    }
    return Experiment.model_validate({**body, **changes})


def one(experiments: list[Experiment], unit: str, **options: Any) -> Assignment:
    (found,) = Layers(experiments).resolve(lambda _: unit, **options)
    return found


def test_the_declared_experiment_of_the_flights_splits_in_halves() -> None:
    (declared,) = load_experiments(ROOT / "algorithms" / "flight_delay")
    counts = Counter(one([declared], unit).arm for unit in UNITS)
    assert abs(counts["champion"] - 1000) < 120
    assert set(counts) == {"champion", "challenger"}


@given(st.text(min_size=1), st.floats(0, 100), st.floats(0, 100))
def test_a_ramp_moves_nobody_between_arms(unit: str, first: float, second: float) -> None:
    low, high = sorted((first, second))
    before, after = (one([experiment(coverage=share)], unit).arm for share in (low, high))
    assert before in ("", after)


def test_an_override_is_no_exposure_and_wins_over_coverage() -> None:
    found = one([experiment(coverage=0, overrides={"me": "b"})], "me")
    assert (found.arm, found.lineage, found.reason, found.exposure) == ("b", "y", "override", False)
    assert one([experiment(coverage=0)], "you").reason == "outside"


def test_experiments_of_a_layer_own_disjoint_units() -> None:
    left, right = experiment(buckets=(0, 5000)), experiment(experiment="other", buckets=(5000, 10_000))
    found = Counter(one([left, right], unit).experiment for unit in UNITS)
    assert abs(found["race"] - 1000) < 120
    assert found["race"] + found["other"] == len(UNITS)


def test_layers_are_independent_and_both_apply() -> None:
    second = experiment(experiment="other", layer="rank")
    layers = Layers([experiment(), second])
    pairs = Counter(tuple(a.arm for a in layers.resolve(lambda _, unit=unit: unit)) for unit in UNITS)
    assert len(pairs) == 4
    assert min(pairs.values()) > 400


def test_eligibility_is_asked_only_where_it_is_declared() -> None:
    gated = experiment(eligibility="age > 3")
    assert one([gated], "u", context={"age": 1}, eligible=lambda _, c: c["age"] > 3).reason == "not_eligible"
    assert one([gated], "u", context={"age": 5}, eligible=lambda _, c: c["age"] > 3).reason == "hashed"
    assert one([gated], "u").reason == "not_eligible", "nobody can judge"


def test_without_a_unit_nobody_is_in() -> None:
    (found,) = Layers([experiment()]).resolve(lambda _: None)
    assert (found.arm, found.reason) == ("", "outside")


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": {"a": {"lineage": "x", "weight": 60}}},
        {"arms": {}},
        {"coverage": 101},
        {"overrides": {"me": "c"}},
        {"buckets": (5, 5)},
        {"salty": 1},
    ],
)
def test_a_wrong_experiment_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        experiment(**changes)


@pytest.mark.parametrize(("text", "words"), [("a: [", "not YAML"), ("experiment: x\nlayer: 1\n", "arms|layer")])
def test_a_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "x.yaml").write_text(text)
    with pytest.raises(DeclarationError, match=words) as caught:
        load_experiments(tmp_path)
    assert "x.yaml" in str(caught.value)
