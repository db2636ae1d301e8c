"""The engine's laws: any split, shuffles within the lateness, restored anywhere; conditions, tiers and counters."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from saima.errors import DeclarationError, SaimaError, StoreError
from saima.events import Event
from saima.features.declaration import Declaration, Tier
from saima.streams.aggregation.definition import definitions
from saima.streams.aggregation.engine import META, Aggregation, Backend
from saima.streams.aggregation.plan import NotStreamed
from saima.streams.aggregation.rows import RowTiles
from saima.streams.tiles import TileEngine

LATENESS = 60_000
MINUTE = 60_000
BACKENDS: tuple[Backend, ...] = ("rows", "columns")
BUY = {"from": "buy", "key": "user", "windows": ["1h"]}
AGGREGATES: dict[str, Any] = {
    "spent": {**BUY, "value": "amount", "measures": ["sum", "mean", "max"], "windows": ["1h", "6h"]},
    "dear": {**BUY, "value": "amount", "measures": ["count"], "where": "amount > 5 and not gift"},
    "shops": {**BUY, "key": ["user", "gift"], "value": "shop", "measures": ["distinct", "last_k"]},
    "rated": {**BUY, "key": "shop", "value": "stars", "measures": ["mean", "min"], "exact": False},
    "paid": {**BUY, "value": "price", "measures": ["sum", "variance"], "hop": "0"},
    "views": {"from": "view", "key": "page", "measures": ["count"], "windows": ["30m", "2d"]},
}
DECLARATION = {
    "algorithm": "shop",
    "sources": {
        "buy": {
            "key": "user", "lateness": "60s",
            "fields": {
                "user": "string", "amount": "int64", "gift": "bool", "shop": "string", "stars": "float64",
                "price": "decimal(2)",
            },
        },
        "view": {"key": "page", "lateness": "60s", "fields": {"page": "int64"}},
    },
    "request": {"fields": {"user": "string"}},
    "aggregates": AGGREGATES,
    "features": {"f": {"value": "spent.sum_1h", "dtype": "int64"}},
}  # fmt: skip
TYPES = {
    "user": pl.String, "amount": pl.Int64, "gift": pl.Boolean, "shop": pl.String, "stars": pl.Float64,
    "price": pl.Int64, "page": pl.Int64,
}  # fmt: skip
KEYS = {"spent": "ann", "dear": "ann", "shops": "ann\x1ftrue", "rated": "s", "paid": "ann", "views": "7"}


def engine(backend: Backend = "rows", tiers: dict[str, Tier] | None = None) -> Aggregation:
    declaration = Declaration.model_validate(DECLARATION)
    return Aggregation(definitions("shop", declaration, tiers), declaration.sources, backend)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Events of both sources in order of arrival, some of them late."""
    clock, found = 1_000_000_000, []
    steps = st.sampled_from([0, 1, 1000, MINUTE, 7 * MINUTE, 200 * MINUTE])
    for seq, step in enumerate(draw(st.lists(steps, min_size=1, max_size=40))):
        clock += step
        time = clock - draw(st.sampled_from([0, 0, 0, 1, 30_000, 2 * LATENESS]))
        if draw(st.integers(0, 3)):
            payload: dict[str, Any] = {
                "user": draw(st.sampled_from(["ann", "bob", None])), "amount": draw(st.none() | st.integers(-3, 9)),
                "gift": draw(st.sampled_from([True, False, None])), "shop": draw(st.sampled_from(["s", "", None])),
                "stars": draw(st.sampled_from([None, 0.5, 1, -0.0, float("nan")])),
                "price": draw(st.integers(-200, 900)),
            }  # fmt: skip
            found.append(Event(payload["user"] or "", "buy", time, seq % 3, str(seq), payload))
        else:
            found.append(Event("7", "view", time, seq % 3, str(seq), {"page": draw(st.sampled_from([7, 8]))}))
    return found


def frame_of(events: list[Event]) -> pl.DataFrame:
    rows = [
        {"key": e.key, "type": e.type, "time": e.time, "seq": e.seq, "id": e.id}
        | {name: e.payload.get(name) for name in TYPES}
        for e in events
    ]
    envelope = {"key": pl.String, "type": pl.String, "time": pl.Int64, "seq": pl.Int64, "id": pl.String}
    return pl.DataFrame(rows, schema={**envelope, **TYPES})


def state(made: Aggregation) -> dict[str, Any]:
    """All that is held, and what is read of it at and after the newest event."""
    tables = {table: dict(tiles.pack(changed=False)) for table, tiles in made.tiles.items()}
    newest = max([1_000_000_000, *(clock["newest"] for clock in made._state()["clocks"].values())])
    reads = {
        (name, q): made.read(f"shop.{name}", key, q)
        for name, key in KEYS.items()
        for q in (newest - LATENESS, newest, newest + 1, newest + 400 * MINUTE)
    }
    return {"tables": tables, "reads": reads, "counters": made.counters}


def play(made: Aggregation, events: list[Event], data: st.DataObject) -> tuple[Aggregation, list[str]]:
    """Events in random splits through both paths, restored at random."""
    late, at = [], 0
    while at < len(events):
        part = events[at : at + data.draw(st.integers(1, 12))]
        if data.draw(st.booleans()):
            late += made.process_batch(frame_of(part))["id"].to_list()
        else:
            late += [one.id for event in part for one in made.process(event)]
        at += len(part)
        if data.draw(st.integers(0, 2)) == 0:
            made = type(made).restore(made.snapshot(), data.draw(st.sampled_from([None, *BACKENDS])))
        if data.draw(st.integers(0, 2)) == 0:
            state(made)
    return made, late


@given(events=streams(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_split_of_a_stream_is_the_same(events: list[Event], data: st.DataObject) -> None:
    whole = engine()
    late = [one.id for event in events for one in whole.process(event)]
    made, missed = play(engine(data.draw(st.sampled_from(BACKENDS))), events, data)
    assert missed == late
    assert state(made) == state(whole)


@given(events=streams(), data=st.data())
@settings(max_examples=15, deadline=None)
def test_order_within_the_lateness_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    whole = engine()
    kept = [event for event in events if not whole.process(event)]
    shuffled, rest = [], list(kept)
    while rest:  # whatever is not LATENESS behind anything that is still to come may come first
        oldest = {kind: min(e.time for e in rest if e.type == kind) for kind in {e.type for e in rest}}
        ready = [i for i, event in enumerate(rest) if event.time <= oldest[event.type] + LATENESS]
        shuffled.append(rest.pop(data.draw(st.sampled_from(ready))))
    made = engine(data.draw(st.sampled_from(BACKENDS)))
    assert [one for event in shuffled for one in made.process(event)] == []
    expected = engine()
    for event in kept:
        expected.process(event)
    wanted, found = state(expected), state(made)
    assert found["tables"] == wanted["tables"]
    assert found["reads"] == wanted["reads"]


@pytest.mark.parametrize("backend", BACKENDS)
@given(events=streams())
@settings(max_examples=15, deadline=None)
def test_what_changed_is_all_that_is_needed_to_continue(backend: Backend, events: list[Event]) -> None:
    made, store = engine(backend), {}
    for event in events:
        made.process(event)
        made.advance(event.time - LATENESS)
        store.update(made.changes())
    store = {key: data for key, data in store.items() if data is not None and key != META}
    assert store == {
        f"{table}/{key}": data for table, tiles in made.tiles.items() for key, data in tiles.pack(changed=False)
    }


def test_a_late_event_inside_a_batch_is_judged_by_the_rows_before_it() -> None:
    events = [
        Event("7", "view", time, 0, str(time), {"page": 7})
        for time in (1_000_000, 1_000_500, 900_000, 1_200_000, 1_100_000)
    ]
    made = engine("columns")
    late = made.process_batch(frame_of(events))
    assert late.select("id", "behind").rows() == [("900000", 100_500), ("1100000", 100_000)]
    assert made.counters["view"] == {"accepted": 3, "late": 2}
    assert made.read("shop.views", "7", 1_200_001) == {"count_30m": 3, "count_2d": 3}


def test_aggregates_of_the_batch_tier_are_not_computed() -> None:
    made = engine(tiers={"views": "batch", "spent": "on_read"})
    assert not any(group.source == "view" for group in made.plan.groups.values())
    made.process(Event("7", "view", 1, 0, "a", {"page": 7}))
    with pytest.raises(NotStreamed, match=r"shop\.views.*batch"):
        made.read("shop.views", "7", 2)
    with pytest.raises(SaimaError, match=r"no aggregate 'shop\.none'"):
        made.read("shop.none", "7", 2)
    assert "shop.spent" not in made.unread(0, 0)


def test_eager_aggregates_that_nobody_reads_are_named() -> None:
    made, day = engine(), 86_400_000
    assert made.unread(0, 7) == []
    made.read("shop.spent", "ann", 5 * day)
    unread = [f"shop.{name}" for name in sorted(AGGREGATES) if name != "spent"]
    assert made.unread(7 * day, 7) == unread
    assert Aggregation.restore(made.snapshot()).unread(7 * day, 7) == unread
    assert made.unread(12 * day, 7) == sorted([*unread, "shop.spent"])


def test_a_snapshot_that_is_damaged_or_of_another_meaning_is_refused() -> None:
    made = engine()
    made.process(Event("7", "view", 1, 0, "a", {"page": 7}))
    data = made.snapshot()
    for broken in (b"", data[:20], data[:-3], data + b"1"):
        with pytest.raises(StoreError, match="damaged"):
            Aggregation.restore(broken)
    other = data.replace(made.plan.digest.encode(), b"0" * 16)
    with pytest.raises(StoreError, match="rebuild the tiles from history"):
        Aggregation.restore(other)


def test_an_aggregate_that_cannot_be_computed_is_refused() -> None:
    declaration = Declaration.model_validate(
        {
            **DECLARATION,
            "aggregates": {"x": {**AGGREGATES["rated"], "exact": True}},
            "features": {"f": {"value": "1", "dtype": "int64"}},
        }
    )
    with pytest.raises(DeclarationError, match="exact: false"):
        Aggregation(definitions("shop", declaration), declaration.sources)


@pytest.mark.parametrize("backend", BACKENDS)
@given(events=streams(), share=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_history_before_a_seam_and_the_stream_after_it_are_the_whole_stream(
    backend: Backend, events: list[Event], share: float
) -> None:
    whole = engine()
    kept = [event for event in events if not whole.process(event)]
    times = sorted(event.time for event in kept)
    seam = times[int(share * (len(times) - 1))]
    before = frame_of([event for event in kept if event.time < seam])
    made = engine(backend)
    batch = TileEngine(made.plan.groups.values(), predicates=made.predicates)
    for table, key, data in batch.build_from_history({name: before.filter(type=name) for name in ("buy", "view")}):
        assert data is not None
        made.load(table, [key], [data])
    for event in kept:
        if event.time >= seam:
            made.process(event)
    assert state(made)["tables"] == state(whole)["tables"]


def test_what_is_computed_on_read_is_what_is_computed_ahead() -> None:
    ahead, later = engine("columns"), engine("columns", dict.fromkeys(AGGREGATES, "on_read"))
    for i in range(500):
        payload = {"user": "ann", "amount": i % 7, "gift": True, "shop": "s", "stars": 0.5 * i, "price": i}
        for made in (ahead, later):
            made.process(Event("ann", "buy", 1_000_000 + 1000 * i, i, str(i), payload))
    assert all(isinstance(tiles, RowTiles) for tiles in later.tiles.values())
    for name in ("spent", "dear", "shops", "rated", "paid"):
        assert later.read(f"shop.{name}", KEYS[name], 1_600_000) == ahead.read(f"shop.{name}", KEYS[name], 1_600_000)
