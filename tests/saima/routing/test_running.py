"""Start, ramp, stop: whom a change moves, counted from ranges and on units, and what is refused."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.errors import SaimaError
from saima.routing.buckets import Hash
from saima.routing.deployment import AlgorithmState, Deployment, LineageState, chain, read_document
from saima.routing.experiments import Experiment
from saima.routing.layers import Layers
from saima.routing.layout import Layout
from saima.routing.moves import moves
from saima.routing.running import Refused, due_coverage, ramp, start, stop

DAY = 86_400_000
UNITS = [f"unit-{i}" for i in range(6_000)]


def made(**changes: Any) -> Experiment:
    body: dict[str, Any] = {
        "experiment": "race",
        "layer": "model",
        "unit": "user",
        "buckets": [0, 4000],
        "arms": {"a": {"lineage": "x", "weight": 50}, "b": {"lineage": "y", "weight": 50, "parameters": {"w": 1}}},
    }
    return Experiment.model_validate({**body, **changes})


def deployed(*lineages: str) -> Deployment:
    state = AlgorithmState(lineages={name: LineageState(routed=1) for name in lineages}, default_lineage="x")
    return Deployment(algorithms={"algo": state})


BASE = deployed("x", "y")


def arms(experiment: Experiment | None, layout: Layout) -> dict[str, str]:
    if experiment is None:
        return dict.fromkeys(UNITS, "")
    layers = Layers([experiment], layout)
    return {unit: layers.resolve(lambda _, unit=unit: unit)[0].arm for unit in UNITS}


@st.composite
def changed(draw: st.DrawFn) -> Experiment:
    share = draw(st.sampled_from([50, 20, 100]))
    low = draw(st.sampled_from([0, 1000]))
    return made(
        buckets=[low, draw(st.sampled_from([4000, 9000]))],
        coverage=draw(st.sampled_from([20, 60, 100])),
        salt=draw(st.sampled_from(["", "other"])),
        layer=draw(st.sampled_from(["model", "model", "second"])),
        hash=draw(st.sampled_from(["xxh64", *get_args(Hash)])),
        arms={
            "a": {"lineage": "x", "weight": share},
            "b": {"lineage": "y", "weight": 100 - share, "parameters": {"w": draw(st.sampled_from([1, 1, 2]))}},
        },
    )


LAYOUTS = [
    Layout(),
    Layout.model_validate({"unit": "user", "domains": {"held": {"buckets": [0, 2000], "holdout": True}}}),
    Layout.model_validate(
        {"unit": "user", "domains": {"d": {"buckets": [1000, 9000]}}, "layers": {"model": {"domain": "d"}}}
    ),
]


@settings(deadline=None, max_examples=25)
@given(changed(), st.one_of(st.none(), changed()), st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_the_share_that_moves_is_that_of_units(
    before: Experiment, after: Experiment | None, old: Layout, new: Layout
) -> None:
    found = moves(before, after, old, new)
    first, second = arms(before, old), arms(after, new)
    means = {
        name: None if after is None else (after.arms[name].lineage, after.arms[name].parameters)
        == (before.arms[name].lineage, before.arms[name].parameters)
        for name in before.arms
    }  # fmt: skip
    had = [unit for unit in UNITS if first[unit]]
    out = sum(not second[unit] for unit in had) / len(UNITS)
    between = sum(bool(second[unit]) and (second[unit] != first[unit] or not means[first[unit]]) for unit in had) / len(
        UNITS
    )
    assert found.out == pytest.approx(out, abs=0.035)
    assert found.between == pytest.approx(between, abs=0.035)
    if found.total == 0:
        assert out == between == 0


def test_a_ramp_moves_coverage_only_and_nobody_changes_arm() -> None:
    document = start("algo", made(coverage=1), Layout(), now=0)(BASE)
    before = arms(document.algorithms["algo"].experiments[0], Layout())
    for coverage in (5.0, 20.0, 33.3, 100.0):
        document = ramp("algo", "race", coverage)(document)
        (one,) = document.algorithms["algo"].experiments
        after = arms(one, Layout())
        assert one.coverage == coverage
        assert all(after[unit] == arm for unit, arm in before.items() if arm)
        assert sum(map(bool, after.values())) > sum(map(bool, before.values()))
        before = after


def test_less_coverage_takes_units_out_and_is_refused_unless_forced() -> None:
    document = start("algo", made(), Layout(), now=0)(BASE)
    with pytest.raises(
        Refused, match=r"20.00% of all units \(2,000 of 10,000 buckets\) would leave their arm for none"
    ):
        ramp("algo", "race", 50)(document)
    assert ramp("algo", "race", 50, force=True)(document).algorithms["algo"].experiments[0].coverage == 50


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"salt": "other"}, "20.00% of all units .* would change arm"),
        ({"buckets": [2000, 6000]}, "20.00% of all units .* would leave"),
        ({"arms": {"a": {"lineage": "x", "weight": 75}, "b": {"lineage": "y", "weight": 25, "parameters": {"w": 1}}}},
         "10.00% of all units .* would change arm"),
        ({"arms": {"a": {"lineage": "x", "weight": 50}, "b": {"lineage": "y", "weight": 50, "parameters": {"w": 9}}}},
         "20.00% of all units .* would change arm"),
        ({"unit": "device"}, "would change arm"),
    ],
)  # fmt: skip
def test_a_change_that_moves_units_is_refused_unless_forced(changes: dict[str, Any], words: str) -> None:
    document = start("algo", made(), Layout(), now=0)(BASE)
    with pytest.raises(Refused, match=words):
        start("algo", made(**changes), Layout(), now=5)(document)
    forced = start("algo", made(**changes), Layout(), now=5, force=True)(document).algorithms["algo"]
    assert len(forced.experiments) == 1
    assert forced.started == {"race": 0}


def test_a_change_that_moves_nobody_is_made() -> None:
    document = start("algo", made(), Layout(), now=0)(BASE)
    again = start("algo", made(hypothesis="better said", overrides={"me": "b"}), Layout(), now=5)(document)
    assert again.algorithms["algo"].experiments[0].hypothesis == "better said"


def test_a_layout_that_moves_running_units_is_refused() -> None:
    document = start("algo", made(), Layout(), now=0)(BASE)
    other = made(experiment="other", buckets=[5000, 6000])
    with pytest.raises(Refused, match="new layout changes experiment 'race'"):
        start("algo", other, LAYOUTS[1], now=0)(document)


def test_overlapping_buckets_are_refused_even_if_forced() -> None:
    document = start("algo", made(), Layout(), now=0)(BASE)
    with pytest.raises(SaimaError, match="overlap those of experiment 'race'"):
        start("algo", made(experiment="other", buckets=[3999, 5000]), Layout(), now=0, force=True)(document)


def test_an_arm_of_a_lineage_that_routes_nothing_is_refused() -> None:
    with pytest.raises(SaimaError, match=r"arm 'b' .* names the lineage 'y', which routes no version; these do: x"):
        start("algo", made(), Layout(), now=0, force=True)(deployed("x"))
    with pytest.raises(SaimaError, match="nothing of 'other' is deployed; deployed: algo"):
        start("other", made(), Layout(), now=0)(BASE)


def test_freed_buckets_are_in_quarantine_for_the_declared_time() -> None:
    layout = Layout(quarantine="2d")
    ended = chain(start("algo", made(), layout, now=0), stop("algo", "race", now=DAY))(BASE)
    following = made(experiment="next", buckets=[3000, 8000])
    with pytest.raises(Refused, match=r"buckets \[0, 4000\] .* in quarantine for 24.0 h more, since experiment 'race'"):
        start("algo", following, layout, now=2 * DAY)(ended)
    assert start("algo", made(experiment="next", buckets=[4000, 8000]), layout, now=2 * DAY)(ended)
    assert start("algo", following, layout, now=2 * DAY, force=True)(ended)
    after = start("algo", following, layout, now=3 * DAY + 1)(ended).algorithms["algo"]
    assert after.freed == []


def test_a_promoted_arm_becomes_the_default_in_the_same_epoch() -> None:
    running = start("algo", made(arms={"new": {"lineage": "y", "weight": 100}}), Layout(), now=0)(BASE)
    assert stop("algo", "race", 1, promote="new")(running).algorithms["algo"].default_lineage == "y"
    with pytest.raises(SaimaError, match="no arm 'old'; its arms: new"):
        stop("algo", "race", 1, promote="old")(running)
    with pytest.raises(SaimaError, match="no experiment 'rice' runs; running: race"):
        stop("algo", "rice", 1)(running)


def test_a_forced_change_honours_tokens_of_the_split_before() -> None:
    one = made(sticky=True)
    document = chain(
        start("algo", one, Layout(), now=0),
        start("algo", made(sticky=True, salt="other"), Layout(), now=1, force=True),
        start("algo", made(sticky=True, salt="third"), Layout(), now=2, force=True),
    )(BASE)
    (changed,) = document.algorithms["algo"].experiments
    assert changed.honours == [one.version(), made(salt="other").version()]


def test_a_declared_ramp_comes_due_by_its_times() -> None:
    phases = [("after", "2d", 20), ("at", "1970-01-11", 50), ("after", "20d", 100)]
    one = made(coverage=5, ramp=[{kind: when, "coverage": coverage} for kind, when, coverage in phases])
    assert [due_coverage(one, 0, day * DAY) for day in (1, 2, 9, 10, 25)] == [None, 20, 20, 50, 100]
    document = chain(start("algo", one, Layout(), now=0), ramp("algo", "race", 20))(BASE)
    assert [phase.coverage for phase in document.algorithms["algo"].experiments[0].ramp] == [50, 100]


def test_the_document_with_all_of_it_reads_back() -> None:
    one = made(coverage=5, ramp=[{"coverage": 50, "at": "1970-01-11T10:00:00+02:00"}], honours=["00000000"])
    document = chain(start("algo", one, LAYOUTS[2], now=7), stop("algo", "race", 9), start("algo", made(
        experiment="n", buckets=[5000, 6000]), LAYOUTS[2], now=10))(BASE).sealed()  # fmt: skip
    assert read_document(document).sealed() == document


def test_what_is_stored_splits_as_what_was_declared() -> None:
    declared = made(arms={"old": {"lineage": "x", "weight": 30}, "new": {"lineage": "y", "weight": 70}})
    stored = Experiment.model_validate_json(json.dumps(declared.model_dump(mode="json"), sort_keys=True))
    assert list(stored.arms) != list(declared.arms)
    assert arms(stored, Layout()) == arms(declared, Layout())
    assert stored.control == declared.control == "old"
    assert stored.version() == declared.version()
