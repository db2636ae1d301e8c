"""What skip strategies, greed, loops and groups mean, on streams written as words.

An event is a word; a step accepts words that contain one of its letters. Expectations are those of Flink CEP for the
same patterns.
"""

from __future__ import annotations

from typing import Any

import pytest

from saima.events import Event

from .rules import run

LOOP: dict[str, Any] = {"times": [1, None]}
STRICT = {**LOOP, "inner": "strict"}


def step(name: str, letters: str, after: str = "", **more: Any) -> dict[str, Any]:
    parts = [["contains", "type", letter] for letter in letters]
    where = parts[0] if len(parts) == 1 else ["or", *parts]
    return {"name": name, "where": where, **({"after": after} if after else {}), **more}


PAIR: dict[str, Any] = {"group": [step("a", "a"), step("b", "b", "next")], "after": "next"}

CASES: list[tuple[str, dict[str, Any], str, list[dict[str, Any]], str]] = [
    ("any, none", {"to": "none"}, "a1 b1 a2 b2", [step("a", "a"), step("b", "b", "followed_by_any")], "a1b1 a1b2 a2b2"),
    ("any, next", {"to": "next"}, "a1 b1 a2 b2", [step("a", "a"), step("b", "b", "followed_by_any")], "a1b1 a2b2"),
    (
        "tail, none",
        {"to": "none"},
        "a1 b1 b2 b3",
        [step("a", "a"), step("b", "b", "next", **LOOP)],
        "a1b1b2b3 a1b1b2 a1b1",
    ),
    ("tail, next", {"to": "next"}, "a1 b1 b2 b3", [step("a", "a"), step("b", "b", "next", **LOOP)], "a1b1"),
    (
        "past the last of many",
        {"to": "past_last"},
        "a1 a2 b1 b2 c1 c2 d1 d2",
        [
            step("a", "a"),
            step("b", "b", "followed_by_any"),
            step("c", "c", "followed_by_any"),
            step("d", "d", "followed_by"),
        ],
        "a1b1c1d1",
    ),
    ("past, after a failure", {"to": "past_last"}, "a1 c a2 b2", [step("a", "a"), step("b", "b", "next")], "a2b2"),
    (
        "first, of an optional start",
        {"to": "first", "step": "b"},
        "ab1 c1 ab2 c2",
        [step("x", "x", **LOOP, optional=True), step("b", "b", "next"), step("c", "c", "next")],
        "ab1c1 ab2c2",
    ),
    (
        "first, the start",
        {"to": "first", "step": "b"},
        "ab1 c1 ab2 c2",
        [step("b", "b"), step("c", "c", "next")],
        "ab1c1 ab2c2",
    ),
    (
        "last of a loop",
        {"to": "last", "step": "b"},
        "a1 b1 a2 b2 b3 a3 b4",
        [step("a", "a"), step("b", "b", "next", **STRICT)],
        "a1b1 a2b2 a3b4",
    ),
    (
        "first that is not there",
        {"to": "first", "step": "b"},
        "a c",
        [step("a", "a"), step("b", "b", "next", **STRICT, optional=True), step("c", "c", "next")],
        "ac",
    ),
    (
        "last of a greedy loop",
        {"to": "last", "step": "a"},
        "a1 a2 a3 b1",
        [step("a", "a", **STRICT, greedy=True), step("b", "b", "next")],
        "a1a2a3b1 a3b1",
    ),
    (
        "first of a greedy loop",
        {"to": "first", "step": "a"},
        "a1 a2 a3 b1",
        [step("a", "a", **STRICT, greedy=True), step("b", "b", "next")],
        "a1a2a3b1 a2a3b1 a3b1",
    ),
    (
        "none with a greedy loop",
        {"to": "none"},
        "a1 a2 a3 b1",
        [step("a", "a", **STRICT, greedy=True), step("b", "b", "next")],
        "a1a2a3b1 a2a3b1 a3b1",
    ),
    (
        "first, discarding",
        {"to": "first", "step": "c*"},
        "a b c1 c2 c3 d",
        [
            step("a or c", "ac"),
            step("b or c", "bc", "followed_by"),
            step("c*", "c", "followed_by", **LOOP, greedy=True),
            step("d", "d", "followed_by"),
        ],
        "abc1c2c3d c1c2c3d",
    ),
    (
        "greed before an optional step",
        {"to": "none"},
        "c a1 a2 d e",
        [
            step("c", "c"),
            step("a", "a", "followed_by", **LOOP, optional=True, greedy=True),
            step("d", "d", "followed_by", optional=True),
            step("e", "e", "followed_by"),
        ],
        "ca1a2e ca1a2de",
    ),
    (
        "greed before an optional step that does not come",
        {"to": "none"},
        "c a1 a2 x e",
        [
            step("c", "c"),
            step("a", "a", "followed_by", **LOOP, optional=True, greedy=True),
            step("d", "d", "followed_by", optional=True),
            step("e", "e", "followed_by"),
        ],
        "ca1a2e",
    ),
    (
        "greed with others between",
        {"to": "none"},
        "c x a1 x a2 x a3 d",
        [
            step("c", "c"),
            step("a", "a", "followed_by", **LOOP, optional=True, greedy=True),
            step("d", "d", "followed_by"),
        ],
        "ca1a2a3d",
    ),
    (
        "greed at an optional end",
        {"to": "none"},
        "c a1 a2 a3 d",
        [
            step("c", "c"),
            step("a", "a", "followed_by", **STRICT, optional=True, greedy=True),
            step("d", "d", "followed_by", optional=True),
        ],
        "c ca1a2a3d",
    ),
    (
        "an optional group",
        {"to": "none"},
        "c a1 a2 b d",
        [
            step("c", "c"),
            {"group": [step("a", "a"), step("b", "b", "followed_by")], "after": "followed_by", "optional": True},
            step("d", "d", "followed_by"),
        ],
        "cd ca1bd",
    ),
    (
        "an optional group that is not whole",
        {"to": "none"},
        "c a d",
        [
            step("c", "c"),
            {
                "group": [step("a", "a"), step("b", "b", "followed_by")],
                "after": "followed_by",
                "optional": True,
                "times": 2,
            },
            step("d", "d", "followed_by"),
        ],
        "cd",
    ),
    (
        "a group that loops",
        {"to": "none"},
        "c a1 b1 a2 b2 d",
        [
            step("c", "c"),
            {"group": [step("a", "a"), step("b", "b", "followed_by")], "after": "followed_by", "times": [1, None]},
            step("d", "d", "followed_by"),
        ],
        "ca1b1d ca1b1a2b2d",
    ),
    (
        "a group that loops or is not there",
        {"to": "none"},
        "c a1 b1 a2 b2 d",
        [
            step("c", "c"),
            {
                "group": [step("a", "a"), step("b", "b", "followed_by")],
                "after": "followed_by",
                "times": [1, None],
                "optional": True,
            },
            step("d", "d", "followed_by"),
        ],
        "cd ca1b1d ca1b1a2b2d",
    ),
    (
        "a rule that begins with a group",
        {"to": "none"},
        "a1 b1 d",
        [{"group": [step("a", "a"), step("b", "b", "followed_by")], "times": [1, None]}, step("d", "d", "followed_by")],
        "a1b1d",
    ),
    (
        "a group that may repeat: what follows at once is awaited as long as the repetition",
        {"to": "none"},
        "c a1 b1 x d",
        [step("c", "c"), {**PAIR, "times": [1, 2]}, step("d", "d", "next")],
        "ca1b1d",
    ),
    (
        "a group that may not repeat after an event between",
        {"to": "none"},
        "c a1 b1 x d",
        [step("c", "c"), {**PAIR, "times": [1, 2], "inner": "strict"}, step("d", "d", "next")],
        "",
    ),
    (
        "a group that has repeated as often as it may",
        {"to": "none"},
        "c a1 b1 a2 b2 x d",
        [step("c", "c"), {**PAIR, "times": [1, 2]}, step("d", "d", "next")],
        "",
    ),
    (
        "a group that may repeat: a match for each event at which its end may have been passed",
        {"to": "none"},
        "c a1 b1 x d",
        [step("c", "c"), {**PAIR, "times": [1, None]}, step("d", "d", "followed_by")],
        "ca1b1d ca1b1d",
    ),
    (
        "a group that repeats and a loop after it with the same events",
        {"to": "none"},
        "c ab1 ab2 x ab3 ab4",
        [step("c", "c"), {**PAIR, "times": [1, 2]}, step("d", "a", "next", **STRICT, optional=True)],
        "cab1ab2 cab1ab2ab3 cab1ab2ab3ab4 cab1ab2ab3ab4",
    ),
]


@pytest.mark.parametrize(
    ("skip", "words", "pattern", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_meaning(skip: dict[str, Any], words: str, pattern: list[dict[str, Any]], expected: str) -> None:
    events = [Event("k", word, i, i, word, {"name": word}) for i, word in enumerate(words.split())]
    found = run([{"id": "r", "pattern": pattern, "skip": skip}], events, 100)
    assert sorted("".join(match.ids) for match in found) == sorted(expected.split())


def test_a_match_that_is_complete_waits_for_an_earlier_partial_one() -> None:
    """The later match was complete first; the earlier one, pruning up to its first `c`, lets it stand."""
    where = "contains(type, 'b') and first(a.price) == price"
    pattern = [step("a", "a"), step("c", "c", "followed_by"), {"name": "b", "after": "followed_by", "where": where}]
    words = [("a1", 0.0), ("c1", 0.0), ("a2", 1.0), ("c2", 0.0), ("b1", 1.0), ("b2", 0.0)]
    events = [Event("k", word, i, i, word, {"price": price}) for i, (word, price) in enumerate(words)]
    found = run([{"id": "r", "pattern": pattern, "skip": {"to": "first", "step": "c"}}], events, 100)
    assert [match.ids for match in found] == [("a1", "c1", "b2"), ("a2", "c2", "b1")]
    assert [match.time for match in found] == [5, 4]


def test_time_frees_a_match_that_waits() -> None:
    """The earlier partial match runs out: what it held back comes from `advance`."""
    pattern = [step("a", "a"), step("b", "b", "followed_by"), {"name": "c", "after": "followed_by", "where": "n == 1"}]
    pattern[0]["where"] = ["or", ["==", "type", "a"], ["==", "type", "x"]]
    pattern[2]["where"] = "type == 'c' and n > first(a.n)"
    rows = [("a", 5), ("x", 1), ("b", 0), ("c", 2)]
    events = [Event("k", name, i, i, f"{name}{i}", {"n": n}) for i, (name, n) in enumerate(rows)]
    found = run([{"id": "r", "pattern": pattern, "within_ms": 50, "skip": {"to": "next"}}], events, 100)
    assert [(match.ids, match.time) for match in found] == [(("x1", "b2", "c3"), 3)]
