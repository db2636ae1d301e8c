"""Guardrails: valid however often anybody looks, quick where a version is bad, one version's counts only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.host.meter import Meter
from saima.routing.deployment import AlgorithmState, Deployment, LineageState, read_document
from saima.routing.evidence import Counted
from saima.routing.evidence import of_share as evidence
from saima.routing.guardrails import Breach, back, breaches, counts, over
from saima.routing.layout import Layout
from saima.routing.rails import Guardrails

HOUR = 3_600_000
VERSION = ("a", "x", 2)
RAILS = Guardrails(errors=0.01, rejected=0.02, degraded=0.05, slow=0.01, slow_ms=100)


def status(answers: int = 1000, version: tuple[str, str, int] = VERSION, **bad: int) -> dict[str, Any]:
    meter = Meter()
    for number in range(answers):
        seconds = {"total": 0.15 if number < bad.get("slow", 0) else 0.01}
        meter.answered(*version, seconds, number < bad.get("degraded", 0))
    for _ in range(bad.get("errors", 0)):
        meter.erred(*version)
    for _ in range(bad.get("rejected", 0)):
        meter.turned_away(*version)
    return meter.snapshot()


def deployed(rails: Guardrails = RAILS, **lineage: Any) -> Deployment:
    state = {"routed": 2, "standby": [1], **lineage}
    one = AlgorithmState(lineages={"x": LineageState.model_validate(state)}, layout=Layout(guardrails=rails))
    return Deployment(algorithms={"a": one})


@pytest.mark.parametrize(("rounds", "looks"), [(200, 1500), pytest.param(2000, 5000, marks=pytest.mark.full)])
def test_looking_at_every_answer_keeps_the_level_while_the_naive_test_does_not(rounds: int, looks: int) -> None:
    random, alpha, bound = np.random.default_rng(11), 0.05, 0.02
    n = np.arange(1, looks + 1)
    always = naive = 0
    for _ in range(rounds):
        bad = np.cumsum(random.random(looks) < bound)
        z = (bad / n - bound) / np.sqrt(bound * (1 - bound) / n)
        naive += bool((z[50:] > 1.645).any())
        checked = range(10, looks, 25)
        always += any(evidence(Counted(int(bad[i]), i + 1), bound) >= math.log(1 / alpha) for i in checked)
    assert always / rounds <= alpha
    assert naive / rounds > 3 * alpha, "the wrong method must fail here"


@given(st.integers(0, 2000), st.integers(0, 2000), st.sampled_from([0.001, 0.01, 0.5, 0.99]))
def test_evidence_is_the_mixture_of_likelihood_ratios(bad: int, good: int, bound: float) -> None:
    found = evidence(Counted(bad, bad + good), bound)
    assert math.isfinite(found)
    assert evidence(Counted(bad + 1, bad + good + 1), bound) > found > evidence(Counted(bad, bad + good + 1), bound)
    assert evidence(Counted(0, 0), bound) == pytest.approx(0)


def test_a_bad_version_is_seen_soon_and_a_good_one_never() -> None:
    assert over(counts([status(60, errors=15)], VERSION, 100), RAILS)
    assert not over(counts([status(100_00, errors=90, rejected=190, degraded=450, slow=95)], VERSION, 100), RAILS)


@pytest.mark.parametrize("rail", ["errors", "rejected", "degraded", "slow"])
def test_each_rail_is_broken_by_its_own_share(rail: str) -> None:
    (found,) = breaches(deployed(), [status(**{rail: 150})], [], 0)
    assert (found.rail, found.bad, found.publication) == (rail, 150, 2)
    assert f"guardrail {rail}: 150 of" in found.reason
    assert breaches(deployed(Guardrails()), [status(**{rail: 900})], [], 0) == [], "a rail without a bound is off"


def test_hosts_count_together_and_other_versions_do_not() -> None:
    hosts = [status(500, errors=3, slow=7), status(700, errors=4), status(900, ("a", "x", 1), errors=900)]
    found = counts(hosts, VERSION, 100)
    assert (found["errors"], found["slow"]) == (Counted(7, 1207), Counted(7, 1200))
    assert counts(hosts, VERSION, 200)["slow"] == Counted(0, 1200)
    assert counts([{"traffic": [{"algorithm": "a", "lineage": "x", "publication": 2, "answers": 5}]}], VERSION, 100)[
        "errors"
    ] == Counted(0, 5), "a host of an earlier version tells less"


def test_a_held_lineage_and_one_that_cools_down_are_left_alone() -> None:
    bad = [status(errors=500)]
    assert breaches(deployed(hold="by hand"), bad, [], 0) == []
    mark = {"algorithm": "a", "lineage": "x", "rail": "errors", "at": 5 * HOUR}
    assert breaches(deployed(), bad, [mark], 5 * HOUR + HOUR // 2) == []
    assert len(breaches(deployed(), bad, [mark], 7 * HOUR)) == 1
    assert len(breaches(deployed(), bad, [{**mark, "lineage": "y"}], 5 * HOUR)) == 1


def test_of_the_versions_that_share_a_lane_one_is_blamed_for_what_it_rejects() -> None:
    lineages = {name: LineageState(routed=2, standby=[1]) for name in ("x", "y")}
    both = Deployment(algorithms={"a": AlgorithmState(lineages=lineages, layout=Layout(guardrails=RAILS))})
    bad = [status(100, rejected=60), status(900, ("a", "y", 2), rejected=90)]
    (found,) = breaches(both, bad, [], 0)
    assert (found.lineage, found.rail, found.bad, found.of) == ("x", "rejected", 60, 160)
    mark = {"algorithm": "a", "lineage": "x", "rail": "rejected", "at": 5 * HOUR}
    assert breaches(both, bad, [mark], 5 * HOUR + 1) == [], "what the lane rejected was that one's"
    failing = [*bad, status(10, ("a", "y", 2), errors=50)]
    assert [one.rail for one in breaches(both, failing, [mark], 5 * HOUR + 1)] == ["errors"]
    assert {one.lineage for one in breaches(both, failing, [], 0)} == {"x", "y"}


def test_the_way_back_is_one_epoch_and_never_another_version() -> None:
    breach = Breach(*VERSION, "errors", 9, 10, 0.01, 30.0)
    after = back(breach)(deployed()).lineage("a", "x")
    assert (after.routed, after.quarantined, after.hold) == (1, [2], breach.reason)
    assert back(breach)(deployed(routed=3, standby=[2])) == deployed(routed=3, standby=[2])
    assert back(breach)(deployed(standby=[])) == deployed(standby=[])
    assert read_document(deployed().sealed()).algorithms["a"].layout.guardrails == RAILS
