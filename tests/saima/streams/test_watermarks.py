"""The merged watermark: that of a naive loop over the rows, the same for any split of them and after a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saima.streams.lateness import BEGINNING
from saima.streams.watermarks import Rows, Watermarks

LATENESS = {"a": 0, "b": 10, "c": 25}
IDLE = {"a": None, "b": 50, "c": 20}
SOURCES = ["a", "b", "c"]

EVENTS = st.tuples(st.sampled_from(SOURCES), st.integers(0, 200), st.integers(-20, 40), st.just(-1), st.just(0))
SILENCES = st.tuples(
    st.sampled_from(SOURCES), st.just(0), st.integers(-20, 40), st.integers(0, 100), st.integers(-3, 0)
)
STREAMS = st.lists(st.one_of(EVENTS, EVENTS, SILENCES), min_size=1, max_size=40)
"""Rows as (source, event time, ms of wall clock since the row before, ms of silence or -1, rows read short of here)."""

Row = tuple[str, int, int, int, int]


def rows_of(stream: Sequence[Row], heard: Sequence[str]) -> tuple[list[tuple[Any, ...]], Rows]:
    """The rows as tuples of (source, time, now, offset, silent, seen), and as columns."""
    found, now = [], 1_000
    for offset, (source, time, later, silent, short) in enumerate(stream, start=1):
        now += later
        found.append((source, time, now, offset, silent, offset - 1 + short))
    columns = np.array([(heard.index(row[0]), *row[1:]) for row in found]).T
    return found, Rows(*columns)


def part(rows: Rows, start: int, stop: int) -> Rows:
    return Rows(*(column[start:stop] for column in vars(rows).values()))


def naive(rows: Sequence[tuple[Any, ...]], lateness: Mapping[str, int], idle: Mapping[str, int | None]) -> list[int]:
    """The meaning, row by row."""
    newest: dict[str, int] = {}
    heard = dict.fromkeys(lateness, rows[0][2])
    last, quiet, until = dict.fromkeys(lateness, -1), dict.fromkeys(lateness, 0), dict.fromkeys(lateness, BEGINNING)
    clock, merged, found = BEGINNING, BEGINNING, []
    for source, time, now, offset, silent, seen in rows:
        clock = max(clock, now)
        if silent < 0:
            newest[source] = max(time, newest.get(source, time))
            heard[source], last[source], quiet[source] = clock, offset, 0
        else:
            if last[source] <= seen:
                quiet[source] += max(0, now - max(now - silent, until[source]))
            until[source] = max(until[source], now)
        own = {name: newest[name] - late if name in newest else BEGINNING for name, late in lateness.items()}
        awake = [
            own[name]
            for name, bound in idle.items()
            if bound is None or (clock - heard[name] < bound and quiet[name] < bound)
        ]
        moved = [own[name] + quiet[name] for name in newest]
        merged = max(merged, min(awake) if awake else max(moved, default=BEGINNING))
        found.append(merged)
    return found


@given(STREAMS, st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_it_is_the_naive_one_for_any_split_and_after_restarts(
    stream: list[Row], cuts: list[int], restarts: bool
) -> None:
    rows, columns = rows_of(stream, SOURCES)
    wanted = naive(rows, LATENESS, IDLE)
    assert Watermarks(LATENESS, IDLE).follow(SOURCES, columns).tolist() == wanted
    marks, found = Watermarks(LATENESS, IDLE), []
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(rows)}), len(rows)]
    for start, stop in pairwise(edges):
        if restarts:
            state = json.loads(json.dumps(marks.state()))
            marks = Watermarks(LATENESS, IDLE)
            marks.restore(state)
        found += marks.follow(SOURCES, part(columns, start, stop)).tolist()
    assert found == wanted
    assert marks.watermark == wanted[-1]


@given(STREAMS, st.dictionaries(st.sampled_from("bc"), st.integers(0, 100)))
def test_what_silence_would_do_is_what_it_does(stream: list[Row], silent: dict[str, int]) -> None:
    stream = [row for row in stream if row[0] != "a"] or [("b", 5, 0, -1, 0)]
    heard = ["b", "c"]
    _, columns = rows_of(stream, heard)
    lateness, idle = ({name: known[name] for name in heard} for known in (LATENESS, IDLE))
    marks = Watermarks(lateness, idle)
    marks.follow(heard, columns)
    told, before = marks.after(heard, silent), marks.watermark
    now, offset = int(columns.now.max()) + 1_000_000, len(stream)
    records = [(heard.index(name), 0, now, offset + i, ms, offset) for i, (name, ms) in enumerate(silent.items(), 1)]
    if told is not None and records:
        after = marks.follow(heard, Rows(*np.array(records).T))[-1]
        assert after == max(before, told)


def test_a_silent_source_holds_nobody_back() -> None:
    marks = Watermarks({"click": 0, "view": 0}, {"click": None, "view": 1_000})
    follow = lambda *rows: marks.follow(["click", "view"], Rows(*np.array(rows).T)).tolist()  # noqa: E731
    assert follow((0, 500, 0, 1, -1, 0), (0, 501, 999, 2, -1, 0)) == [BEGINNING, BEGINNING]
    assert follow((0, 502, 1_000, 3, -1, 0)) == [502], "never heard: silent from the first look on"
    assert follow((1, 100, 1_001, 4, -1, 0)) == [502], "it never goes back"
    assert follow((0, 900, 1_002, 5, -1, 0), (1, 700, 1_003, 6, -1, 0)) == [502, 700]


def test_where_all_are_silent_time_goes_on_by_what_was_listened_to() -> None:
    marks = Watermarks({"click": 10}, {"click": 1_000})
    follow = lambda *rows: marks.follow(["click"], Rows(*np.array(rows).T)).tolist()  # noqa: E731
    hour = 3_600_000
    assert follow((0, 500, 0, 1, -1, 0)) == [490]
    assert follow((0, 0, hour, 2, 999, 1)) == [1_489], "an hour went by on the clock, a second was listened to"
    assert follow((0, 0, hour + 500, 3, 900, 1)) == [1_989], "another worker says the same: only 500 ms are new"
    assert follow((0, 600, hour + 600, 4, -1, 0)) == [1_989]
    assert follow((0, 0, hour + 9_000, 5, 5_000, 3)) == [1_989], "it had not read the event at 4"
