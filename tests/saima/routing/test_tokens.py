"""Domains and holdouts before layers, launch layers, tokens: stickiness, and layers that devices resolve as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.host.decide import route
from saima.host.request import envelope
from saima.routing.deployment import AlgorithmState
from saima.routing.experiments import EXPOSED, Assignment, Experiment, Token
from saima.routing.layers import Layers
from saima.routing.layout import Layout, altered

UNITS = [f"unit-{i}" for i in range(2000)]
JOINT = Layout.model_validate({"unit": "user", "layers": {"phone": {"joint": True, "unit": "user", "salt": "p1"}}})
DOMAINS = Layout.model_validate(
    {
        "unit": "user",
        "domains": {
            "held": {"buckets": [0, 1000], "holdout": True},
            "left": {"buckets": [1000, 5000]},
            "right": {"buckets": [5000, 9000]},
        },
        "layers": {"one": {"domain": "left"}, "two": {"domain": "right"}},
    }
)


def made(name: str = "e", layer: str = "phone", **changes: Any) -> Experiment:
    body: dict[str, Any] = {
        "experiment": name,
        "layer": layer,
        "unit": "user",
        "arms": {"a": {"weight": 50}, "b": {"weight": 50, "parameters": {f"w_{name}": 1}}},
    }
    return Experiment.model_validate({**body, **changes})


def ask(layers: Layers, unit: str, tokens: Sequence[Token] = (), **options: Any) -> list[Assignment]:
    return layers.resolve(lambda field: unit if field == "user" else None, tokens=tokens, **options)


@given(st.text(min_size=1, max_size=8), st.sampled_from([0, 10, 60, 100]), st.sampled_from([0, 30, 100]))
def test_whoever_resolves_a_joint_layer_first_decides(unit: str, device_coverage: float, cloud_coverage: float) -> None:
    device = Layers([made(coverage=device_coverage)], JOINT)
    cloud = Layers([made(coverage=cloud_coverage)], JOINT)
    (first,) = ask(device, unit)
    tokens = device.tokens_of([first])
    assert [(token.arm, token.version) for token in tokens] == [(first.arm, first.version)]
    (second,) = ask(cloud, unit, tokens)
    assert second.arm == first.arm, "the token wins, whatever a newer ramp says"
    assert second.reason == "penetrated"
    assert second.exposure == bool(second.arm)
    assert cloud.tokens_of([second]) == tokens
    (alone,) = ask(cloud, unit)
    if cloud_coverage == device_coverage:
        assert alone.arm == first.arm, "without a token the other side computes the same hash"


def test_an_unknown_layout_gets_the_default_arm_as_stale() -> None:
    old, new = made(), made(salt="other", arms={"champion": {"weight": 50}, "b": {"weight": 50}})
    unit = next(unit for unit in UNITS if ask(Layers([old], JOINT), unit)[0].arm == "b")
    tokens = Layers([old], JOINT).tokens_of(ask(Layers([old], JOINT), unit))
    (found,) = ask(Layers([new], JOINT), unit, tokens)
    assert (found.arm, found.reason, found.exposure) == ("champion", "stale", False)
    (kept,) = ask(Layers([altered(new, honours=[tokens[0].version])], JOINT), unit, tokens)
    assert (kept.arm, kept.reason) == ("b", "penetrated")


def test_a_sticky_unit_keeps_its_arm_when_the_split_moves_on() -> None:
    old = made(sticky=True)
    new = altered(old, salt="other", coverage=10, honours=[old.version()])
    before, after = Layers([old]), Layers([new])
    kept = [ask(after, unit, before.tokens_of(ask(before, unit)))[0] for unit in UNITS]
    assert [one.arm for one in kept] == [ask(before, unit)[0].arm for unit in UNITS]
    assert {one.reason for one in kept} == {"sticky"}
    assert {one.propensity for one in kept} == {0.5}
    assert Counter(ask(after, unit)[0].reason for unit in UNITS)["outside"] > 1500


def test_stickiness_is_declared_and_eligibility_still_counts() -> None:
    token = Token("phone", "e", "b", made().version())
    assert ask(Layers([made()]), UNITS[0], [token])[0].reason == "hashed", "not sticky, so the token is not read"
    one = Layers([made(sticky=True, eligibility="age > 3")])
    token = Token("phone", "e", "b", made(sticky=True).version())
    assert ask(one, UNITS[0], [token], context={}, eligible=lambda *_: False)[0].reason == "not_eligible"
    assert ask(one, UNITS[0], [token], context={}, eligible=lambda *_: True)[0].reason == "sticky"


@pytest.mark.parametrize("token", [("phone", "other", "b", "x"), ("x", "e", "b", "x"), ("", "", "", "")])
def test_tokens_of_others_are_left_alone(token: tuple[str, str, str, str]) -> None:
    layers = Layers([made(sticky=True)])
    assert ask(layers, UNITS[0], [Token(*token)]) == ask(layers, UNITS[0])


def test_domains_divide_traffic_before_layers_and_the_holdout_is_in_nothing() -> None:
    layers = Layers([made("x", "one"), made("y", "two"), made("z", "whole")], DOMAINS)
    found = {unit: ask(layers, unit) for unit in UNITS}
    reasons = Counter(tuple(one.reason for one in each) for each in found.values())
    assert set(reasons) == {
        ("holdout",) * 3,
        ("hashed", "outside", "hashed"),
        ("outside", "hashed", "hashed"),
        ("outside", "outside", "hashed"),
    }
    assert reasons[("holdout",) * 3] == pytest.approx(200, abs=60)
    assert reasons["hashed", "outside", "hashed"] == pytest.approx(800, abs=100)
    held = [each for each in found.values() if each[0].reason == "holdout"]
    assert all(one.arm == "" and not one.exposure for each in held for one in each)


def test_an_override_wins_over_a_holdout_and_a_holdout_over_a_token() -> None:
    one = made("z", "whole", sticky=True)
    held = next(unit for unit in UNITS if ask(Layers([one], DOMAINS), unit)[0].reason == "holdout")
    token = Token("whole", "z", "b", one.version())
    assert ask(Layers([one], DOMAINS), held, [token])[0].reason == "holdout"
    (found,) = ask(Layers([altered(one, overrides={held: "b"})], DOMAINS), held, [token])
    assert (found.arm, found.reason) == ("b", "override")


def test_a_request_without_the_domains_unit_is_in_no_domain() -> None:
    layers = Layers([made("x", "one", unit="device"), made("z", "whole", unit="device")], DOMAINS)
    found = layers.resolve({"device": "d1"}.get)
    assert [one.reason for one in found] == ["outside", "hashed"]


def test_the_launch_layer_applies_first_and_any_other_wins() -> None:
    launched = made("l", "zz", arms={"a": {"weight": 100, "parameters": {"w": "launched", "v": 1}}})
    tried = made("t", "aa", arms={"a": {"weight": 100, "parameters": {"w": "tried"}, "lineage": "net"}})
    layout = Layout.model_validate({"layers": {"zz": {"launch": True}}})
    state = AlgorithmState(experiments=[launched, tried], layout=layout, default_lineage="xgb")
    routed = route(state, envelope({"algorithm": "x", "trace": "t", "request": {"user": "u"}}))
    assert routed.parameters == {"w": "tried", "v": 1}
    assert (routed.lineage, routed.main and routed.main.experiment) == ("net", "t")
    alone = AlgorithmState(experiments=[launched], layout=layout, default_lineage="xgb")
    routed = route(alone, envelope({"algorithm": "x", "trace": "t", "request": {"user": "u"}}))
    assert (routed.lineage, routed.parameters["w"]) == ("xgb", "launched")


def test_exposures_are_what_a_hash_decided_now_or_then() -> None:
    assert frozenset(["hashed", "sticky", "penetrated"]) == EXPOSED
