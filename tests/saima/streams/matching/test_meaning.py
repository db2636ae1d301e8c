"""The matcher against the backtracking program, and the laws of skip strategies."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from saima.events import Event

from . import naive
from .rules import NAMES, accepting, rules, run, streams

SAMPLE = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FULL = settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(rule: dict[str, Any], events: list[Event]) -> None:
    end = events[-1].time + 20
    rows = [{**event.payload, "type": event.type} for event in events]
    expected = Counter(map(tuple, naive.matches(rule, rows, end)))
    found = Counter(match.ids for match in run([rule], events, end))
    assert found == expected


AFTER_A_GROUP: dict[str, Any] = {
    "id": "rule",
    "pattern": [
        {"name": "s0", "where": ["==", "type", "a"], "optional": True},
        {
            "group": [
                {"name": "g1", "where": ["==", "type", "a"]},
                {"name": "g2", "where": ["==", "type", "a"], "after": "next"},
            ],
            "after": "next",
            "times": [1, 2],
        },
        {
            "name": "s2",
            "where": ["==", "type", "a"],
            "after": "next",
            "times": [1, None],
            "inner": "strict",
            "until": [">", "price", 2],
            "optional": True,
        },
    ],
}
"""A match of it comes twice: the group repeats after an event between, or the loop takes what comes after it."""

WORD = [
    Event("k", name, i, i, f"e{i}", {"name": name, "price": 0, "t": i, "id": f"e{i}"}) for i, name in enumerate("aadaa")
]

TOO_LATE = {
    "id": "rule",
    "within_ms": 2,
    "pattern": [
        {"name": "s0", "where": ["==", "type", "a"]},
        {"name": "n1", "after": "not_next", "where": ["==", "type", "x"]},
        {"name": "n2", "after": "not_followed_by", "where": ["==", "type", "x"]},
    ],
}
"""What comes next comes when the time is over: whether it was the banned one is never decided."""

LATE = [Event("k", "a", t, n, f"e{n}", {"name": "a", "price": 0, "t": t, "id": f"e{n}"}) for n, t in enumerate((0, 2))]


@SAMPLE
@example(AFTER_A_GROUP, WORD)
@example(TOO_LATE, LATE)
@given(rules(), streams())
def test_as_the_naive_program(rule: dict[str, Any], events: list[Event]) -> None:
    check(rule, events)


@pytest.mark.full
@pytest.mark.timeout(1800)
@FULL
@given(rules(), streams(12))
def test_as_the_naive_program_in_full(rule: dict[str, Any], events: list[Event]) -> None:
    check(rule, events)


@st.composite
def pruning(draw: st.DrawFn) -> dict[str, Any]:
    pattern = [draw(accepting("s0", True)), draw(accepting("s1", False))]
    pattern[0].pop("optional", None)
    return {"id": "rule", "pattern": pattern}


@SAMPLE
@given(pruning(), streams(12))
def test_matches_that_skip_past_the_last_event_do_not_overlap(rule: dict[str, Any], events: list[Event]) -> None:
    places = {event.id: i for i, event in enumerate(events)}
    found = run([{**rule, "skip": {"to": "past_last"}}], events, 100)
    spans = [(places[match.ids[0]], places[match.ids[-1]]) for match in found]
    assert all(one[1] < two[0] for one, two in itertools.pairwise(spans))


@SAMPLE
@given(pruning(), streams(12))
def test_matches_that_skip_to_the_next_begin_at_different_events(rule: dict[str, Any], events: list[Event]) -> None:
    starts = [match.ids[0] for match in run([{**rule, "skip": {"to": "next"}}], events, 100)]
    assert len(set(starts)) == len(starts)


@SAMPLE
@given(pruning(), streams(12), st.sampled_from(["next", "past_last"]))
def test_a_skip_strategy_only_takes_away(rule: dict[str, Any], events: list[Event], to: str) -> None:
    everything = Counter(match.ids for match in run([rule], events, 100))
    left = Counter(match.ids for match in run([{**rule, "skip": {"to": to}}], events, 100))
    assert left <= everything


@SAMPLE
@given(streams(12), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_a_greedy_loop_gives_the_longest_of_each_start(events: list[Event], loop: str, last: str) -> None:
    pattern = [
        {"name": "loop", "where": ["==", "type", loop], "times": [1, None], "inner": "strict"},
        {"name": "last", "after": "next", "where": ["==", "type", last]},
    ]
    every = [match.ids for match in run([{"id": "rule", "pattern": pattern}], events, 100)]
    greedy = [{**pattern[0], "greedy": True}, pattern[1]]
    found = [match.ids for match in run([{"id": "rule", "pattern": greedy}], events, 100)]
    assert set(found) <= set(every)
    if loop != last:
        assert Counter(found) == Counter(every)
