"""Tumbling windows: what closes is what a naive program says, by events or batches, restored anywhere."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from saima.events import Event
from saima.features.declaration import Source
from saima.features.windows.definition import Window
from saima.features.windows.naive import naive
from saima.streams.aggregation.intake import Late
from saima.streams.aggregation.tumbling import Closed, Tumbling, TumblingDefinition

WIDTH, LATENESS = 50, 30
TYPES = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String}
MEASURES = {
    "int64": ("count", "sum", "mean", "min", "max"),
    "float64": ("count", "min", "max"),
    "string": ("count", "first", "last_k", "histogram", "distinct"),
}


def engine(dtype: str) -> Tumbling:
    source = Source(key="k", fields={"k": "string", "v": dtype}, lateness=f"{LATENESS}ms")
    return Tumbling(TumblingDefinition("s", ("k",), "v", MEASURES[dtype], WIDTH, k=2), source)


@st.composite
def streams(draw: st.DrawFn, dtype: str) -> pl.DataFrame:
    values: dict[str, st.SearchStrategy[Any]] = {
        "int64": st.integers(-9, 9) | st.integers(-(2**63), 2**63 - 1),
        "float64": st.sampled_from([0.0, -1.5, 1e300]),
        "string": st.sampled_from(["", "a", "b"]),
    }
    rows, clock = [], 1000
    for seq, step in enumerate(draw(st.lists(st.sampled_from([0, 1, 7, 30, 60, 200]), min_size=1, max_size=40))):
        clock += step
        rows.append(
            {
                "key": "", "type": draw(st.sampled_from(["s", "s", "s", "other"])), "seq": seq % 4, "id": str(seq),
                "time": clock - draw(st.sampled_from([0, 0, 5, 30, 45])),
                "k": draw(st.sampled_from(["a", "b", None])), "v": draw(st.none() | values[dtype]),
            }
        )  # fmt: skip
    texts = dict.fromkeys(("key", "type", "id", "k"), pl.String)
    return pl.DataFrame(rows, schema_overrides={**texts, "v": TYPES[dtype]})


def event(row: dict[str, Any]) -> Event:
    payload = {"k": row["k"], "v": row["v"]}
    return Event(row["key"], row["type"], row["time"], row["seq"], row["id"], payload)


def by_hand(frame: pl.DataFrame, dtype: str) -> tuple[list[str], dict[tuple[int, str], dict[str, Any]]]:
    """Ids of late events, and every window's measures; None for a sum that does not fit."""
    newest, late, kept = -(2**62), [], {}
    for row in frame.filter(type="s").iter_rows(named=True):
        if row["time"] < newest - LATENESS:
            late.append(row["id"])
        elif row["k"] is not None and row["v"] is not None:
            place = (row["time"] // WIDTH * WIDTH, row["k"])
            kept.setdefault(place, []).append((row["time"], row["seq"], row["v"]))
        newest = max(newest, row["time"])
    found = {}
    for (start, key), events in kept.items():
        found[start, key] = {m: measure(events, m, start) for m in MEASURES[dtype]}
    return late, found


def measure(events: list[Any], name: str, start: int) -> Any:
    try:
        value = naive(events, name, Window("w", WIDTH, WIDTH), start + WIDTH, 2)
    except OverflowError:
        return None
    return [{"key": key, "value": count} for key, count in value.items()] if name == "histogram" else value


@pytest.mark.parametrize("dtype", MEASURES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_windows_close_as_a_naive_program_says(dtype: str, data: st.DataObject) -> None:
    frame = data.draw(streams(dtype))
    late, wanted = by_hand(frame, dtype)
    made, found, missed, at, newest = engine(dtype), {}, [], 0, 0
    while at < frame.height:
        size = data.draw(st.integers(1, 9))
        part = frame[at : at + size]
        if data.draw(st.booleans()):
            missed += made.process_batch(part)["id"].to_list()
        else:
            missed += [
                one.id
                for row in part.iter_rows(named=True)
                for one in made.process(event(row))
                if isinstance(one, Late)
            ]
        at += size
        newest = max([newest, *part.filter(type="s")["time"].to_list()])
        for closed in made.advance(newest - LATENESS) if data.draw(st.booleans()) else []:
            assert isinstance(closed, Closed)
            found[closed.start, closed.key] = closed.values
        if data.draw(st.booleans()):
            made = Tumbling.restore(made.snapshot())
    last = made.close(2**60)
    assert last.equals(last.sort("start", "key"))
    for row in last.iter_rows(named=True):
        found[row.pop("start"), row.pop("key")] = row
    assert missed == late
    assert found == wanted
    assert made.counters["late"] == len(late)


def test_time_alone_makes_events_late() -> None:
    made = engine("int64")
    made.process(Event("", "s", 1000, 0, "0", {"k": "a", "v": 1}))
    assert [one.values["sum"] for one in made.advance(1100) if isinstance(one, Closed)] == [1]
    (late,) = made.process(Event("", "s", 1099, 1, "1", {"k": "a", "v": 1}))
    assert isinstance(late, Late)
    assert made.process(Event("", "s", 1100, 2, "2", {"k": "a", "v": 1})) == []


def test_open_windows_that_changed_are_committed_and_closed_ones_dropped() -> None:
    made = engine("int64")
    made.process(Event("", "s", 1000, 0, "0", {"k": "a", "v": 1}))
    assert [key for key, data in made.changes() if data] == ["1000", "clock"]
    assert [key for key, _ in made.changes()] == ["clock"]
    made.advance(2000)
    assert ("1000", None) in made.changes()
