"""The compiled layers decide as the plain program does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.routing.arms import Choice
from saima.routing.buckets import bucket
from saima.routing.experiments import Assignment, Eligible, Experiment, Reason
from saima.routing.layers import Layers


def resolve(
    experiments: list[Experiment],
    unit_of: Callable[[str], str | None],
    context: Mapping[str, Any] | None = None,
    eligible: Eligible | None = None,
) -> list[Assignment]:
    """The oracle: experiment by experiment, hash by hash."""
    layers: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        layers.setdefault(experiment.layer, []).append(experiment)
    return [_in_layer(layers[name], unit_of, context or {}, eligible) for name in sorted(layers)]


def _in_layer(
    experiments: list[Experiment],
    unit_of: Callable[[str], str | None],
    context: Mapping[str, Any],
    eligible: Eligible | None,
) -> Assignment:
    for experiment in experiments:
        unit = unit_of(experiment.unit)
        if not unit:
            continue
        choice = experiment.split.assign(unit)
        if choice.reason != "override":
            first, last = experiment.buckets
            if not first <= bucket(experiment.layer, unit) < last:
                continue
            if experiment.eligibility is not None and not (eligible and eligible(experiment, context)):
                return _outside(experiment, unit, "not_eligible")
            if choice.arm is None:
                return _outside(experiment, unit, "outside")
        return _inside(experiment, unit, choice)
    return _outside(experiments[0], unit_of(experiments[0].unit) or "", "outside")


def _inside(experiment: Experiment, unit: str, choice: Choice) -> Assignment:
    name = experiment.names[choice.arm or 0]
    arm = experiment.arms[name]
    share = arm.weight / 100 if choice.exposed else 1.0
    reason: Reason = "hashed" if choice.exposed else "override"
    head = (experiment.layer, experiment.experiment, name, arm.parameters, arm.lineage)
    return Assignment(*head, reason, share, experiment.version(), unit)


def _outside(experiment: Experiment, unit: str, reason: Reason) -> Assignment:
    head = (experiment.layer, experiment.experiment, "", {}, None)
    return Assignment(*head, reason, 1.0, experiment.version(), unit)


@st.composite
def experiments(draw: st.DrawFn) -> list[Experiment]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        share = draw(st.sampled_from([0, 10, 50, 100]))
        low = draw(st.integers(0, 9_999))
        made.append(
            Experiment.model_validate(
                {
                    "experiment": f"e{number}",
                    "layer": draw(st.sampled_from(["b", "a", "c"])),
                    "unit": draw(st.sampled_from(["trace", "user"])),
                    "salt": draw(st.sampled_from(["", "s"])),
                    "hash": draw(st.sampled_from(["xxh64", "xxh64", "growthbook_v1", "growthbook_v2", "planout"])),
                    "buckets": draw(st.sampled_from([(0, 10_000), (low, 10_000), (0, low + 1)])),
                    "coverage": draw(st.sampled_from([0, 30, 100])),
                    "eligibility": draw(st.sampled_from([None, "x > 1"])),
                    "overrides": draw(st.sampled_from([{}, {"u1": "b"}, {"u2": "a"}])),
                    "arms": {"a": {"lineage": "x", "weight": share, "parameters": {"w": 1}},
                             "b": {"lineage": "y", "weight": 100 - share}},
                }
            )
        )  # fmt: skip
    return made


@given(experiments(), st.sampled_from([None, "", "u1", "u2", "u3", "ü"]), st.text(max_size=3), st.booleans())
def test_compiled_layers_decide_as_the_plain_program(
    made: list[Experiment], user: str | None, trace: str, fits: bool
) -> None:
    units = {"user": user, "trace": trace}
    judged: list[list[str]] = [[], []]
    answers = []
    for run, seen in zip((resolve, lambda all_, *more: Layers(all_).resolve(*more)), judged, strict=True):

        def eligible(one: Experiment, _: Mapping[str, Any], seen: list[str] = seen) -> bool:
            seen.append(one.experiment)
            return fits

        answers.append(run(made, units.get, {"x": 2}, eligible))
    assert answers[0] == answers[1]
    assert judged[0] == judged[1]


def test_a_salt_that_holds_the_separator_is_refused() -> None:
    one = {"experiment": "e", "layer": "a\x1fb", "arms": {"a": {"lineage": "x", "weight": 100}}}
    with pytest.raises(ValueError, match="separates"):
        Layers([Experiment.model_validate(one)])
