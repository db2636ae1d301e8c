"""Generated rules and events, small and dense."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
from hypothesis import strategies as st

from saima.events import Event
from saima.streams.matching import Match, Matcher, RuleSet, from_frame

NAMES = "abcd"

conditions = st.one_of(
    st.sampled_from(NAMES).map(lambda name: ["==", "type", name]),
    st.sampled_from(NAMES).map(lambda name: ["==", "name", name]),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).map(
        lambda two: ["or", ["==", "type", two[0]], ["==", "type", two[1]]]
    ),
    st.tuples(st.sampled_from(NAMES), st.integers(0, 2)).map(
        lambda two: ["and", ["==", "type", two[0]], [">", "price", two[1]]]
    ),
)

times = st.one_of(
    st.just(None),
    st.just(None),
    st.integers(2, 3),
    st.sampled_from([[1, 2], [2, 3], [1, None], [2, None]]),
)


@st.composite
def accepting(draw: st.DrawFn, name: str, first: bool) -> dict[str, Any]:
    """A step that accepts events."""
    step: dict[str, Any] = {"name": name, "where": draw(conditions)}
    if not first:
        step["after"] = draw(st.sampled_from(["next", "followed_by", "followed_by_any"]))
    repeat = draw(times)
    if repeat is not None:
        step["times"] = repeat
        step["inner"] = draw(st.sampled_from(["strict", "relaxed", "any"]))
        if isinstance(repeat, list) and repeat[1] is None and draw(st.booleans()):
            step["until"] = [">", "price", 2]
    if draw(st.integers(0, 3)) == 0:
        step["optional"] = True
    return step


@st.composite
def groups(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A group of two plain steps."""
    inside = [
        {"name": f"{name}1", "where": draw(conditions)},
        {"name": f"{name}2", "where": draw(conditions), "after": draw(st.sampled_from(["next", "followed_by"]))},
    ]
    group: dict[str, Any] = {"group": inside, "after": draw(st.sampled_from(["next", "followed_by"]))}
    repeat = draw(st.sampled_from([None, 2, [1, 2], [1, None]]))
    if repeat is not None:
        group["times"] = repeat
        group["inner"] = draw(st.sampled_from(["strict", "relaxed", "any"]))
    return group


@st.composite
def rules(draw: st.DrawFn, *, bans: bool = True, grouped: bool = True) -> dict[str, Any]:
    """A rule without skip strategy and greed; a ban has names that no other step takes."""
    pattern = [draw(accepting("s0", True))]
    for i in range(1, draw(st.integers(1, 3)) + 1):
        if grouped and draw(st.integers(0, 4)) == 0:
            pattern.append(draw(groups(f"g{i}")))
        elif bans and draw(st.integers(0, 3)) == 0 and not pattern[-1].get("optional") and "where" in pattern[-1]:
            ban = {"name": f"n{i}", "after": draw(st.sampled_from(["not_next", "not_followed_by"]))}
            pattern.append({**ban, "where": ["==", "type", "x"]})
        else:
            pattern.append(draw(accepting(f"s{i}", False)))
    if any(step.get("after") in ("not_next", "not_followed_by") for step in pattern):
        pattern[-1].pop("optional", None)  # a rule that may end where a ban stands ends there at once
    ends = next(step for step in reversed(pattern) if step.get("after") != "not_followed_by")
    if ends is not pattern[-1] and isinstance(ends.get("times"), list):
        for name in ("times", "inner", "until"):  # a loop before bans at the end waits for one more event, as in Flink
            ends.pop(name, None)
    rule: dict[str, Any] = {"id": "rule", "pattern": pattern}
    if pattern[-1].get("after") == "not_followed_by" or draw(st.booleans()):
        rule["within_ms"] = draw(st.integers(2, 12))
    return rule


@st.composite
def streams(draw: st.DrawFn, most: int = 9, keys: str = "k") -> list[Event]:
    """Events in order of time, of types a to d and x."""
    found = []
    time = 0
    for i in range(draw(st.integers(1, most))):
        time += draw(st.integers(0, 3))
        name = draw(st.sampled_from([*NAMES, *NAMES, "x"]))
        price = draw(st.integers(0, 3))
        payload = {"name": name, "price": price, "t": time, "id": f"e{i}"}
        found.append(Event(draw(st.sampled_from(keys)), name, time, i, f"e{i}", payload))
    return found


def frame_of(events: list[Event]) -> pl.DataFrame:
    """Events as a batch."""
    return pl.DataFrame(
        {
            "key": [event.key for event in events],
            "type": [event.type for event in events],
            "time": [event.time for event in events],
            "seq": [event.seq for event in events],
            "id": [event.id for event in events],
            "name": [event.payload.get("name") for event in events],
            "price": [event.payload.get("price") for event in events],
        },
        schema={
            "key": pl.String, "type": pl.String, "time": pl.Int64, "seq": pl.Int64, "id": pl.String,
            "name": pl.String, "price": pl.Int64,
        },
    )  # fmt: skip


def run(documents: list[dict[str, Any]], events: list[Event], end: int) -> list[Match]:
    """Matches event by event, then those of time."""
    matcher = Matcher(RuleSet.read(documents))
    found = [match for event in events for match in matcher.process(event)]
    return found + matcher.advance(end)


def run_batches(documents: list[dict[str, Any]], events: list[Event], end: int, cuts: list[int]) -> list[Match]:
    """Matches batch by batch, cut at places."""
    matcher = Matcher(RuleSet.read(documents))
    found: list[Match] = []
    places = [0, *sorted(cuts), len(events)]
    for start, stop in itertools.pairwise(places):
        found += from_frame(matcher.process_batch(frame_of(events[start:stop])))
    return found + matcher.advance(end)
