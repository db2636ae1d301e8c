"""The cases of patterns.json: the matcher event by event, in batches, split, and restored after every event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from saima.events import Event
from saima.streams.matching import Match, Matcher, RuleSet, from_frame

from .conftest import known, read_cases

PARTS = ("rule", "events", "expect", "expect_timeouts", "expect_idle", "advance_to", "ordered")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "patterns.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def rule_of(case: dict[str, Any], typed: bool) -> dict[str, Any]:
    """The case's rule; `typed`: the events' names are their types, so that the index by type is used."""
    known(case, *PARTS)
    rule = {"id": case["id"], **case["rule"], "emit": {"timeouts": "expect_timeouts" in case}}
    return renamed(rule) if typed else rule  # type: ignore[no-any-return]


def renamed(value: Any) -> Any:
    """Conditions that ask for the type where they ask for the name."""
    if isinstance(value, dict):
        return {key: renamed(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= 2 and value[1] == "name" and value[0] != "get":
        return [value[0], "type", *value[2:]]
    if value == ["get", "name"]:
        return ["get", "type"]
    return [renamed(inner) for inner in value]


def events_of(case: dict[str, Any], typed: bool) -> list[Event]:
    return [
        Event("k", event["name"] if typed else "event", event["t"], seq, event["id"], dict(event))
        for seq, event in enumerate(case["events"])
    ]


def frame_of(events: list[Event]) -> pl.DataFrame:
    names = sorted({name for event in events for name in event.payload} - {"id"})
    envelope = {"key": pl.String, "type": pl.String, "time": pl.Int64, "seq": pl.Int64, "id": pl.String}
    columns: dict[str, Any] = {
        name: pl.Series([getattr(event, name) for event in events], dtype=dtype) for name, dtype in envelope.items()
    }
    return pl.DataFrame(
        columns | {name: pl.Series([event.payload.get(name) for event in events], strict=False) for name in names}
    )


def end_of(case: dict[str, Any]) -> int:
    return max([case.get("advance_to", 0), *(event["t"] for event in case["events"])])


def finish(case: dict[str, Any], matcher: Matcher, found: list[Match]) -> list[Match]:
    found += matcher.advance(end_of(case))
    if case.get("expect_idle"):
        assert matcher.live == 0
    return found


def by_event(case: dict[str, Any], typed: bool) -> list[Match]:
    matcher = Matcher(RuleSet.read([rule_of(case, typed)]))
    return finish(case, matcher, [match for event in events_of(case, typed) for match in matcher.process(event)])


def in_time(case: dict[str, Any], typed: bool) -> list[Match]:
    """Time goes on with every event."""
    matcher = Matcher(RuleSet.read([rule_of(case, typed)]))
    found: list[Match] = []
    for event in events_of(case, typed):
        found += matcher.advance(event.time)
        found += matcher.process(event)
    return finish(case, matcher, found)


def in_batches(*cuts: int) -> Callable[[dict[str, Any], bool], list[Match]]:
    def run(case: dict[str, Any], typed: bool) -> list[Match]:
        matcher = Matcher(RuleSet.read([rule_of(case, typed)]))
        frame = frame_of(events_of(case, typed))
        found: list[Match] = []
        for start, stop in zip((0, *cuts), (*cuts, frame.height), strict=True):
            found += from_frame(matcher.process_batch(frame[start:stop]))
        return finish(case, matcher, found)

    return run


def restored(case: dict[str, Any], typed: bool) -> list[Match]:
    """A snapshot and a restore after every event."""
    matcher = Matcher(RuleSet.read([rule_of(case, typed)]))
    found: list[Match] = []
    for event in events_of(case, typed):
        found += matcher.process(event)
        matcher = Matcher.restore(matcher.snapshot())
    return finish(case, matcher, found)


def stored(case: dict[str, Any], typed: bool) -> list[Match]:
    """Only what changed is stored, and everything is loaded again after every event."""
    matcher, store = Matcher(RuleSet.read([rule_of(case, typed)])), {}
    found: list[Match] = []
    for event in events_of(case, typed):
        found += matcher.process(event)
        for key, packed in matcher.changes():
            store[key] = packed
        store = {key: packed for key, packed in store.items() if packed is not None}
        matcher = Matcher.load(store.items())
    return finish(case, matcher, found)


def judge(case: dict[str, Any], found: list[Match]) -> None:
    matches = [list(match.ids) for match in found if match.kind == "match"]
    expected = case["expect"]
    if case.get("ordered"):
        assert matches == expected, case["meaning"]
    assert Counter(map(tuple, matches)) == Counter(map(tuple, expected)), case["meaning"]
    if "expect_timeouts" in case:
        timeouts = [(tuple(match.ids), match.time) for match in found if match.kind == "timeout"]
        assert Counter(timeouts) == Counter((tuple(ids), end) for ids, end in case["expect_timeouts"]), case["meaning"]


PATHS = {"events": by_event, "in time": in_time, "restored": restored, "stored": stored, "one batch": in_batches()}


@pytest.mark.parametrize("typed", [False, True], ids=["by field", "by type"])
@pytest.mark.parametrize("path", PATHS)
def test_case(case: dict[str, Any], path: str, typed: bool) -> None:
    judge(case, PATHS[path](case, typed))


@pytest.mark.parametrize("typed", [False, True], ids=["by field", "by type"])
def test_every_two_way_split(case: dict[str, Any], typed: bool) -> None:
    whole = by_event(case, typed)
    for cut in range(len(case["events"]) + 1):
        found = in_batches(cut)(case, typed)
        judge(case, found)
        assert found == whole
