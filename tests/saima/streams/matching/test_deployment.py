"""Rules swapped while events come."""

from __future__ import annotations

from typing import Any

import pytest

from saima.events import Event
from saima.streams.matching import Match, Matcher, RuleError, RuleSet


def rule(version: int = 1, last: str = "b", name: str = "r", **more: Any) -> dict[str, Any]:
    pattern = [
        {"name": "first", "where": ["==", "type", "a"]},
        {"name": "last", "after": "followed_by", "where": ["==", "type", last]},
    ]
    return {"id": name, "version": version, "pattern": pattern, **more}


def feed(matcher: Matcher, names: str, time: int = 0) -> list[Match]:
    found: list[Match] = []
    for name in names:
        time += 1
        found += matcher.process(Event("k", name, time, time, f"{name}{time}", {}))
    return found


@pytest.mark.parametrize("skip", ["none", "next"])
def test_drain(skip: str) -> None:
    """What has begun goes on by the old version; what begins is of the new one."""
    matcher = Matcher(RuleSet.read([rule(skip={"to": skip})]))
    feed(matcher, "a")
    matcher.deploy(RuleSet.read([rule(2, "c", skip={"to": skip})]), "drain")
    feed(matcher, "a", 1)
    assert [(match.version, match.ids) for match in feed(matcher, "bc", 2)] == [(1, ("a1", "b3")), (2, ("a2", "c4"))]
    assert matcher.live == 0


@pytest.mark.parametrize("skip", ["none", "next"])
def test_drop(skip: str) -> None:
    matcher = Matcher(RuleSet.read([rule(skip={"to": skip})]))
    feed(matcher, "a")
    matcher.deploy(RuleSet.read([rule(2, "c", skip={"to": skip})]), "drop")
    assert matcher.live == 0
    assert matcher.counters["r", "abandoned"] == 1
    assert feed(matcher, "bc", 1) == []


@pytest.mark.parametrize("skip", ["none", "next"])
def test_migrate(skip: str) -> None:
    """What has begun goes on in the state of the same name; a state that is gone abandons it."""
    matcher = Matcher(RuleSet.read([rule(skip={"to": skip})]))
    feed(matcher, "a")
    matcher.deploy(RuleSet.read([rule(2, "c", skip={"to": skip})]), "migrate")
    assert matcher.counters["r", "migrated"] == 1
    assert [(match.version, match.ids) for match in feed(matcher, "bc", 1)] == [(2, ("a1", "c3"))]
    feed(matcher, "a", 3)
    other = rule(3, skip={"to": skip})
    other["pattern"][1]["name"] = "other"
    matcher.deploy(RuleSet.read([other]), "migrate")
    assert matcher.counters["r", "abandoned"] == 1


def test_a_rule_that_did_not_change_goes_on() -> None:
    for in_flight in ("drain", "drop", "migrate"):
        matcher = Matcher(RuleSet.read([rule()]))
        feed(matcher, "a")
        matcher.deploy(RuleSet.read([rule(), rule(name="other")]), in_flight)  # type: ignore[arg-type]
        assert [match.rule for match in feed(matcher, "b", 1)] == ["r"]
        assert matcher.partitions[()].draining == []


def test_a_rule_that_went_drains() -> None:
    matcher = Matcher(RuleSet.read([rule(), rule(name="stays")]))
    feed(matcher, "a")
    matcher.deploy(RuleSet.read([rule(name="stays")]), "drain")
    matcher = Matcher.restore(matcher.snapshot())
    feed(matcher, "a", 1)
    assert sorted((match.rule, match.ids) for match in feed(matcher, "b", 2)) == [
        ("r", ("a1", "b3")),
        ("stays", ("a1", "b3")),
        ("stays", ("a2", "b3")),
    ]


def test_a_change_needs_a_version() -> None:
    matcher = Matcher(RuleSet.read([rule()]))
    feed(matcher, "a")
    with pytest.raises(RuleError, match=r"rule 'r', \$\.version: version 1 is deployed and says something else"):
        matcher.deploy(RuleSet.read([rule(1, "c")]))
    assert len(feed(matcher, "b", 1)) == 1


def test_a_migrated_window_is_the_new_one() -> None:
    matcher = Matcher(RuleSet.read([rule(within_ms=100)]))
    feed(matcher, "a")
    matcher.deploy(RuleSet.read([rule(2, within_ms=5)]), "migrate")
    matcher.advance(6)
    assert matcher.live == 0


def test_no_event_is_lost_or_counted_twice_across_swaps() -> None:
    """Version after version, a swap between every two events: each pair is found once, by the version that began it."""
    matcher = Matcher(RuleSet.read([rule(1)]))
    found: list[Match] = []
    for i in range(50):
        found += matcher.process(Event("k", "ab"[i % 2], i, i, f"e{i}", {}))
        matcher.deploy(RuleSet.read([rule(2 + i, about="")]))
    assert [match.ids for match in found] == [(f"e{i}", f"e{i + 1}") for i in range(0, 50, 2)]
    assert [match.version for match in found] == [1 + i for i in range(0, 50, 2)]
