"""Laws of the linker: the naive program, both paths, every split, restarts, arrival within the lateness, invariants."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from saima.events import Event
from saima.streams.linking import LEVELS, Linker, Linking, Node, to_frame
from saima.streams.linking.nodes import from_frame
from saima.streams.ordering import Sorter

from .naive import Naive
from .streams import COLUMNS, GAP, frame, specs, splits, streams

END = 10**6


def counted(linker: Linker) -> dict[str, int]:
    return {name: count for name, count in linker.counters.items() if count}


@given(specs(), streams(), st.sets(st.integers(0, 30)))
def test_it_does_what_the_naive_program_does(spec: Linking, events: list[Event], advances: set[int]) -> None:
    linker, naive = Linker(spec), Naive(spec)
    for place, event in enumerate(events):
        assert linker.process(event) == naive.process(event), event
        if place in advances:
            assert linker.advance(event.time) == naive.advance(event.time)
    assert linker.open == len(naive.sessions)
    assert linker.advance(END) == naive.advance(END)
    assert counted(linker) == naive.counts
    assert linker.open == 0


@given(specs(), streams(12))
def test_batches_give_what_single_events_give_in_every_split(spec: Linking, events: list[Event]) -> None:
    one = Linker(spec)
    expected = to_frame([node for event in events for node in one.process(event)])
    for cut in splits(len(events)):
        linker = Linker(spec)
        found = linker.process_batch(frame(events[:cut])).vstack(linker.process_batch(frame(events[cut:])))
        assert found.equals(expected)
        assert linker.counters == one.counters
        assert linker.snapshot() == one.snapshot()
        assert linker.expire(END).equals(to_frame(Linker.restore(one.snapshot()).advance(END)))


@given(specs(), streams(), st.integers(1, 6))
def test_restarts_change_nothing(spec: Linking, events: list[Event], every: int) -> None:
    """One linker goes on from a snapshot after every event, another in batches from what `changes` left in a store."""
    plain, restored, stored = Linker(spec), Linker(spec), Linker(spec)
    store: dict[str, bytes] = {}
    expected: list[Node] = []
    from_store = to_frame([])
    for place, event in enumerate(events):
        watermark = event.time - GAP // 2
        nodes = [*plain.process(event), *plain.advance(watermark)]
        expected += nodes
        assert [*restored.process(event), *restored.advance(watermark)] == nodes
        restored = Linker.restore(restored.snapshot())
        from_store = from_store.vstack(stored.process_batch(frame([event]))).vstack(stored.expire(watermark))
        if place % every == 0:
            for key, data in stored.changes():
                if data is None:
                    store.pop(key, None)
                else:
                    store[key] = data
            stored = Linker(spec)
            stored.load(store.items())
    assert from_frame(from_store) == expected
    assert plain.advance(END) == restored.advance(END) == stored.advance(END)
    assert plain.counters == restored.counters == stored.counters


@given(specs(), streams(), st.sets(st.integers(0, 30)))
def test_when_time_advances_changes_no_row(spec: Linking, events: list[Event], advances: set[int]) -> None:
    """A session that is over ends in the same rows by its next event and by `advance`."""
    quiet, busy = Linker(spec), Linker(spec)
    rows = [node for event in events for node in quiet.process(event)] + quiet.advance(END)
    found: list[Node] = []
    for place, event in enumerate(events):
        if place in advances:
            found += busy.advance(event.time)
        found += busy.process(event)
    assert Counter(found + busy.advance(END)) == Counter(rows)


@given(specs(), streams(), st.data())
def test_order_of_arrival_within_the_lateness_changes_nothing(
    spec: Linking, events: list[Event], data: st.DataObject
) -> None:
    """Behind the sorter, batches of any arrival order within the lateness give the ordered events' rows."""
    lateness = 30
    delays = data.draw(st.lists(st.integers(0, lateness), min_size=len(events), max_size=len(events)))
    arrival = [e for _, e in sorted(zip(delays, events, strict=True), key=lambda pair: pair[0] + pair[1].time)]
    plain, linker = Linker(spec), Linker(spec)
    expected = [node for event in events for node in plain.process(event)] + plain.advance(END)
    sorter = Sorter({name: dtype() for name, dtype in list(COLUMNS.items())[5:]}, 8)
    found: list[Node] = []
    newest = -lateness
    size = data.draw(st.integers(1, 8))
    for start in range(0, len(arrival), size):
        part = arrival[start : start + size]
        sorter.process_batch(frame(part))
        newest = max(newest, *(event.time for event in part))
        found += from_frame(linker.process_batch(sorter.release(newest - lateness)))
        found += linker.advance(newest - lateness)
    found += from_frame(linker.process_batch(sorter.release(END)))
    found += linker.advance(END)
    assert sorter.late == 0
    assert Counter(found) == Counter(expected)


@given(specs(), streams(40))
def test_invariants_of_the_tree(spec: Linking, events: list[Event]) -> None:
    """One parent, one level up, within its time; only pages have sources and targets, and both ends agree."""
    linker = Linker(spec)
    nodes = [node for event in events for node in linker.process(event)] + linker.advance(END)
    by_id = {node.node_id: node for node in nodes}
    assert len(by_id) == len(nodes)
    for node in nodes:
        level = LEVELS.index(node.level)
        assert node.entered <= node.left
        if level == 0:
            assert (node.parent_id, node.node_id) == (None, f"{node.session_id}-0")
        else:
            parent = by_id[node.parent_id or ""]
            assert LEVELS.index(parent.level) == level - 1
            assert (parent.session_id, parent.key) == (node.session_id, node.key)
            assert parent.entered <= node.entered
            assert node.left <= parent.left
        if node.level != "page":
            assert (node.source_id, node.targets) == (None, ())
        if node.source_id:
            source = by_id[node.source_id]
            assert source.level == "behaviour"
            assert node.node_id in by_id[source.parent_id or ""].targets
        for target in node.targets:
            assert by_id[target].level == "page"
            assert by_id[target].entered >= node.left
        assert node.kind != "back" or node.level == "page"
        assert node.kind != "synthesised" or spec.lenient
    targets = [target for node in nodes for target in node.targets]
    assert len(targets) == len(set(targets))
