"""The laws of every engine: splits, restores, interleaved keys, changes."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saima.events import Event
from saima.streams.matching import Match, Matcher, RuleSet

from .rules import rules, run, run_batches, streams

SAMPLE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

skips = st.sampled_from([{"to": "none"}, {"to": "none"}, {"to": "next"}, {"to": "past_last"}])


@st.composite
def sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three rules with skip strategies, timeouts and a sum of what was accepted."""
    found = []
    for i in range(draw(st.integers(1, 3))):
        rule = draw(rules())
        rule |= {"id": f"rule {i}", "skip": draw(skips)}
        rule["emit"] = {"timeouts": draw(st.booleans()), "fields": {"total": ["sum", "s0.price"]}}
        found.append(rule)
    return found


def end_of(events: list[Event]) -> int:
    return events[-1].time + 20


@SAMPLE
@given(sets(), streams(12, "kl"), st.lists(st.integers(0, 12), max_size=4))
def test_any_split_gives_the_same(documents: list[dict[str, Any]], events: list[Event], cuts: list[int]) -> None:
    whole = run(documents, events, end_of(events))
    assert run_batches(documents, events, end_of(events), [min(cut, len(events)) for cut in cuts]) == whole


@SAMPLE
@given(sets(), streams(12, "kl"), st.integers(0, 12))
def test_a_restored_matcher_continues(documents: list[dict[str, Any]], events: list[Event], cut: int) -> None:
    matcher = Matcher(RuleSet.read(documents))
    found: list[Match] = []
    for i, event in enumerate(events):
        if i == cut:
            matcher = Matcher.restore(matcher.snapshot())
        found += matcher.process(event)
    matcher = Matcher.restore(matcher.snapshot())
    assert found + matcher.advance(end_of(events)) == run(documents, events, end_of(events))


@SAMPLE
@given(sets(), streams(12, "kl"))
def test_stored_changes_are_the_state(documents: list[dict[str, Any]], events: list[Event]) -> None:
    matcher = Matcher(RuleSet.read(documents))
    store: dict[str, bytes] = {}
    found: list[Match] = []
    for event in events:
        found += matcher.process(event)
        for key, packed in matcher.changes():
            if packed is None:
                store.pop(key, None)
            else:
                store[key] = packed
        matcher = Matcher.load(store.items())
    assert found + matcher.advance(end_of(events)) == run(documents, events, end_of(events))


@SAMPLE
@given(sets(), streams(12, "klm"))
def test_keys_do_not_touch_each_other(documents: list[dict[str, Any]], events: list[Event]) -> None:
    together = run(documents, events, end_of(events))
    for key in "klm":
        alone = [event for event in events if event.key == key]
        expected = run(documents, alone, end_of(events)) if alone else []
        assert [match for match in together if match.key == key] == expected


@SAMPLE
@given(sets(), streams(12))
def test_rules_do_not_touch_each_other(documents: list[dict[str, Any]], events: list[Event]) -> None:
    together = run(documents, events, end_of(events))
    for document in documents:
        alone = run([document], events, end_of(events))
        assert sorted(map(repr, alone)) == sorted(repr(match) for match in together if match.rule == document["id"])


@SAMPLE
@given(sets(), streams(12, "kl"), st.lists(st.integers(0, 60), max_size=3))
def test_time_may_go_on_at_any_pace(documents: list[dict[str, Any]], events: list[Event], pace: list[int]) -> None:
    matcher = Matcher(RuleSet.read(documents))
    found: list[Match] = []
    for i, event in enumerate(events):
        if i in pace:
            found += matcher.advance(event.time)
        found += matcher.process(event)
    found += matcher.advance(end_of(events))
    assert sorted(map(repr, found)) == sorted(map(repr, run(documents, events, end_of(events))))


@SAMPLE
@given(sets(), streams(12, "kl"))
def test_nothing_is_left_when_time_is_over(documents: list[dict[str, Any]], events: list[Event]) -> None:
    timed = [{**document, "within_ms": document.get("within_ms", 5)} for document in documents]
    matcher = Matcher(RuleSet.read(timed))
    for event in events:
        matcher.process(event)
    matcher.advance(end_of(events))
    assert matcher.live == 0
    assert all(not partition.keys for partition in matcher.partitions.values())
