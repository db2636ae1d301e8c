"""Laws of the sorter: splits, paths, order of arrival and restarts change nothing."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import StoreError
from saima.events import Event
from saima.streams.ordering import ENVELOPE, Sorter

FIELDS: dict[str, pl.DataType] = {"n": pl.Int64(), "f": pl.Float32(), "tags": pl.List(pl.String)}

EVENTS = st.lists(
    st.builds(
        lambda key, time, seq, n, f, tags: Event(
            key, "t", time, seq, f"{key}{time}{seq}{n}", {"n": n, "f": f, "tags": tags}
        ),
        st.sampled_from("abc"),
        st.integers(0, 60),
        st.integers(0, 2),
        st.none() | st.integers(-5, 5),
        st.none() | st.floats(-1e30, 1e30),
        st.none() | st.lists(st.sampled_from("xy"), max_size=2),
    ),
    max_size=30,
    unique_by=lambda event: (event.time, event.seq, event.key, event.id),
)
STEPS = st.lists(st.integers(0, 70), min_size=1, max_size=5).map(sorted)


def frame(events: list[Event]) -> pl.DataFrame:
    rows = [(e.key, e.type, e.time, e.seq, e.id, *(e.payload.get(name) for name in FIELDS)) for e in events]
    return pl.DataFrame(rows, schema={**ENVELOPE, **FIELDS}, orient="row")


def shown(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(e.key, e.type, e.time, e.seq, e.id, sorted(e.payload.items())) for e in events]


def rows(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [
        (r["key"], r["type"], r["time"], r["seq"], r["id"], sorted((n, r[n]) for n in FIELDS if r[n] is not None))
        for r in found.to_dicts()
    ]


@given(EVENTS, STEPS, st.integers(1, 7), st.integers(1, 40), st.data())
def test_both_paths_give_the_order_of_time_and_seq(
    events: list[Event], steps: list[int], size: int, width: int, data: st.DataObject
) -> None:
    """One path takes events one by one in the drawn order, the other shuffled batches; both restart at every step."""
    shuffled = data.draw(st.permutations(events))
    one, many = Sorter(FIELDS, width), Sorter(FIELDS, width)
    store: dict[str, bytes] = {}
    for event in events:
        assert one.process(event) == []
    for start in range(0, len(shuffled), size):
        assert many.process_batch(frame(shuffled[start : start + size])).is_empty()
    left: list[tuple[Any, ...]] = []
    for watermark in steps:
        first = shown(one.advance(watermark))
        assert rows(many.release(watermark)) == first
        left += first
        one = Sorter.restore(one.snapshot())
        for key, packed in many.changes():
            if packed is None:
                del store[key]
            else:
                store[key] = packed
        many = Sorter(FIELDS, width)
        many.load(store.items())
        assert len(one) == len(many) == len(events) - len(left)
    expected = rows(frame(sorted(events, key=lambda e: (e.time, e.seq, e.key, e.id))))
    assert left == [row for row in expected if row[2] < steps[-1]]


@given(EVENTS, STEPS)
def test_mixed_paths_leave_together(events: list[Event], steps: list[int]) -> None:
    """Events that came one by one and events of batches are one stream."""
    mixed = Sorter(FIELDS, 7)
    for place, event in enumerate(events):
        if place % 2:
            mixed.process(event)
        else:
            mixed.process_batch(frame([event]))
    expected = rows(frame(sorted(events, key=lambda e: (e.time, e.seq, e.key, e.id))))
    low = 0
    for place, watermark in enumerate(steps):
        found = rows(mixed.release(watermark)) if place % 2 else shown(mixed.advance(watermark))
        assert found == [row for row in expected if low <= row[2] < watermark]
        low = max(low, watermark)


def test_an_event_behind_the_watermark_is_counted_and_goes_no_further() -> None:
    sorter = Sorter({})
    sorter.advance(100)
    sorter.process(Event("a", "t", 99, 0, "1"))
    sorter.process_batch(frame([Event("a", "t", 99, 1, "2"), Event("a", "t", 100, 0, "3")]))
    assert sorter.late == 2
    assert [event.id for event in sorter.advance(101)] == ["3"]


def test_snapshot_and_changes_go_on_together() -> None:
    """A sorter of a snapshot writes the same changes as the one that it was taken of."""
    sorter = Sorter(FIELDS)
    sorter.process_batch(frame([Event("a", "t", time, 0, str(time), {"n": time}) for time in range(0, 5000, 500)]))
    assert len(sorter.changes()) == 2
    sorter.process(Event("b", "t", 4200, 0, "x"))
    again = Sorter.restore(sorter.snapshot())
    for each in (sorter, again):
        each.release(4100)
    assert sorter.changes() == again.changes()
    for each in (sorter, again):
        each.release(10_000)
    assert [key for key, data in sorter.changes() if data is None] == [f"{0:020d}", f"{1:020d}"]


def test_a_store_of_other_fields_is_refused() -> None:
    sorter = Sorter(FIELDS)
    sorter.process(Event("a", "t", 1, 0, "1", {"n": 1}))
    stored = [(key, data) for key, data in sorter.changes() if data is not None]
    with pytest.raises(StoreError, match="declared"):
        Sorter({"n": pl.String()}).load(stored)
