"""The join of traces whose candidates came in several requests, beside a plain program that sees everything at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saima.streams.join import Join, Sample
from saima.streams.pending import Pending
from saima.streams.schemes import JoinSpec, Label, rows

LATENESS, ATTRIBUTION = 20, 50
SPEC = JoinSpec("esdfm", attribution=ATTRIBUTION, wait=10, lateness=LATENESS)
SCHEMES = st.sampled_from(["once", "waited", "fnw", "esdfm", "defer"])
COUNTED = ("samples", "unlabelled", "excluded", "predictions", "pending", "unexposed")
PARTS = 3


@dataclass(frozen=True)
class Event:
    """Of kind p, x (a prediction that makes no sample), l or e. `items`: of a prediction, else the one it is about."""

    kind: str
    trace: str
    time: int
    delay: int
    part: int
    items: str
    number: int = 0


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("pppxlle"),
        st.sampled_from("AB"),
        st.integers(0, 120),
        st.integers(0, LATENESS),
        st.integers(0, PARTS - 1),
        st.text("abcdef", min_size=1, max_size=3),
    ),
    max_size=25,
)


def numbered(drawn: list[Event], disjoint: bool, retries: bool) -> list[Event]:
    """The events by time. disjoint: each part has items of its own; retries: a part may be asked for again."""
    events, seen = [], set()
    for number, event in enumerate(sorted(drawn, key=lambda event: event.time), 1):
        items = "".join(dict.fromkeys(event.items))
        if event.kind in "px":
            if not retries and (event.trace, event.part) in seen:
                continue
            seen.add((event.trace, event.part))
            own = "abcdef"[2 * event.part : 2 * event.part + 2]
            items = "".join(item for item in items if item in own) or own[0] if disjoint else items
        else:
            items = items[0]
        events.append(replace(event, items=items, number=number))
    return events


def feed(join: Join, event: Event) -> list[Sample]:
    if event.kind in "px":
        excluded, record = event.kind == "x", b"%d" % event.number
        return join.predict(
            event.trace, event.time, record, tuple(event.items), event.number, excluded, event.part, PARTS
        )
    if event.kind == "e":
        return join.expose(event.trace, event.time, event.items)
    label = Label(event.time, event.number, event.number, float(event.number), 0)
    return join.label(event.trace, label, event.items)


Told = tuple[list[tuple[str, str, int, bytes, int, float, str]], dict[str, int]]
"""Rows as trace, item, index, record, moment, label, role; counters."""


def run(spec: JoinSpec, events: list[Event], every: int = 0) -> Told:
    """Through the join, in the given order; with `every` from its stored state after each so many events."""
    store: dict[str, bytes] = {}
    join = Join(spec, lambda keys: [store.get(key) for key in keys])
    made: list[Sample] = []
    newest = -1000
    for place, event in enumerate(events, 1):
        made += feed(join, event)
        newest = max(newest, event.time)
        made += join.advance(newest - LATENESS)
        if every and place % every == 0:
            for key, packed in join.changes():
                store.pop(key, None)
                if packed is not None:
                    store[key] = packed
            again = Join(spec, lambda keys: [store.get(key) for key in keys])
            again.restore(store.items(), join.counters.values, join.watermark)
            join = again
    made += join.advance(10_000)
    for key, packed in join.changes():
        assert packed is None, key
    told = sorted((s.trace, s.item, s.index, s.record, s.row.moment, s.row.label, s.row.role) for s in made)
    return told, {name: join.counters.values[name] for name in COUNTED}


def plain(spec: JoinSpec, events: list[Event]) -> Told:
    """What must come of them, by looking through all events for every candidate."""
    made = []
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    parts: dict[tuple[str, int], Event] = {}
    for event in events:
        key = event.trace, event.part
        if event.kind in "px" and (
            key not in parts or (event.time, event.number) < (parts[key].time, parts[key].number)
        ):
            parts[key] = event
    for one in parts.values():
        counts["predictions"] += 1
        counts["excluded"] += one.kind == "x"
        rivals = [other for other in parts.values() if other.trace == one.trace]
        for index, item in enumerate(one.items if one.kind == "p" else ""):
            holders = [other for other in rivals if item in other.items]
            if min(holders, key=lambda other: (other.time, other.number)) is not one:
                continue
            about = [event for event in events if (event.trace, event.items) == (one.trace, item)]
            labels = [Label(e.time, e.number, e.number, float(e.number), 0) for e in about if e.kind == "l"]
            shown = [e.time for e in about if e.kind == "e" and e.time >= one.time - ATTRIBUTION]
            found = rows(spec, one.time, labels, min(shown, default=None) if spec.exposed else None)
            counts["samples"] += len(found)
            if not found:
                seen = not spec.exposed or min(shown, default=10_000) <= one.time + ATTRIBUTION
                counts["unlabelled" if seen else "unexposed"] += 1
            made += [(one.trace, item, index, b"%d" % one.number, row.moment, row.label, row.role) for row in found]
    return sorted(made), dict(counts)


@given(EVENTS, SCHEMES, st.booleans(), st.booleans(), st.integers(0, 3))
@example([Event("p", "A", 10, 0, 1, "a"), Event("p", "A", 5, 20, 0, "ab"), Event("l", "A", 7, 0, 0, "a")],
         "esdfm", False, False, 1)  # fmt: skip
def test_any_order_within_the_lateness_makes_what_the_plain_program_does(
    drawn: list[Event], scheme: str, exposed: bool, disjoint: bool, every: int
) -> None:
    """Disjoint parts, and items in two of them: the earliest has those, or the lower of equally early ones."""
    spec = replace(SPEC, scheme=scheme, exposed=exposed)  # type: ignore[arg-type]
    events = numbered(drawn, disjoint, retries=False)
    shuffled = sorted(events, key=lambda event: (event.time + event.delay, event.number))
    wanted = plain(spec, events)
    assert run(spec, events) == wanted
    assert run(spec, shuffled, every) == wanted


@given(EVENTS, SCHEMES, st.booleans(), st.integers(0, 3))
def test_of_a_part_asked_for_again_the_earliest_counts(
    drawn: list[Event], scheme: str, exposed: bool, every: int
) -> None:
    spec = replace(SPEC, scheme=scheme, exposed=exposed)  # type: ignore[arg-type]
    events = numbered(drawn, disjoint=True, retries=True)
    assert run(spec, events, every) == plain(spec, events)


@given(EVENTS, SCHEMES, st.booleans())
def test_a_request_in_parts_makes_the_rows_of_the_whole_one(drawn: list[Event], scheme: str, exposed: bool) -> None:
    spec = replace(SPEC, scheme=scheme, exposed=exposed)  # type: ignore[arg-type]
    others = [event for event in numbered(drawn, True, retries=False) if event.kind in "le"]
    parts = [Event("p", "A", 30, 0, part, items, 90 + part) for part, items in enumerate(("ab", "cd", "ef"))]

    def made(asked: list[Event], of: int) -> tuple[list[tuple[object, ...]], dict[str, int]]:
        join = Join(spec)
        found = []
        for event in sorted([*others, *asked], key=lambda event: event.time):
            if event.kind == "p":
                found += join.predict("A", event.time, b"", tuple(event.items), part=event.part, parts=of)
            else:
                found += feed(join, event)
            found += join.advance(event.time - LATENESS)
        found += join.advance(10_000)
        counters = {name: n for name, n in join.counters.values.items() if name != "predictions"}
        return sorted((s.item, s.row.moment, s.row.label, s.row.role) for s in found), counters

    assert made(parts, 3) == made([Event("p", "A", 30, 0, 0, "abcdef", 90)], 1)


def test_a_label_waits_for_the_part_that_holds_its_item() -> None:
    join = Join(JoinSpec("once", attribution=100))
    assert join.label("T", Label(30, 0, 1, 1.0, 0), "z") == []
    assert join.predict("T", 10, b"low", ("a",), part=0, parts=2) == []
    (first,) = join.label("T", Label(20, 0, 2, 1.0, 0), "a")
    (second,) = join.predict("T", 11, b"high", ("y", "z"), part=1, parts=2)
    assert [(s.item, s.index, s.record) for s in (first, second)] == [("a", 0, b"low"), ("z", 1, b"high")]
    assert (join.counters.values["predictions"], join.counters.values["pending"]) == (2, 1)


def test_a_label_of_a_part_that_never_comes_is_counted() -> None:
    join = Join(JoinSpec("once", attribution=100))
    join.predict("T", 10, b"{}", ("a",), part=0, parts=2)
    join.label("T", Label(30, 0, 1, 1.0, 0), "z")
    join.label("T", Label(20, 0, 2, 1.0, 0), "a")
    join.advance(131)
    assert join.counters.values["orphan"] == 1
    join.advance(300)
    assert [packed for _, packed in join.changes()] == [None]


def test_an_excluded_part_takes_no_sample_from_the_others() -> None:
    join = Join(JoinSpec("fnw", attribution=100))
    join.predict("T", 10, b"good", ("a",), part=0, parts=2)
    join.predict("T", 10, b"fallback", ("b",), excluded=True, part=1, parts=2)
    for item in "ab":
        join.label("T", Label(20, 0, 1, 1.0, 0), item)
    assert {(s.item, s.record) for s in join.advance(1000)} == {("a", b"good")}
    counts = join.counters.values
    assert (counts["predictions"], counts["excluded"], counts["unlabelled"], counts["pending"]) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    "packed",
    [
        b'{"t":null,"a":0,"x":false,"i":[""],"l":{"":[[3,0,1,1.0,9]]},"e":{"":[4]},"m":{},"c":false}',
        b'{"t":10,"a":1,"x":false,"i":["b","a"],"l":{"a":[[30,0,7,1.0,99]]},"e":{},"m":{"a":1},"c":false}{"trace":"T"}',
        b'{"t":10,"a":1,"x":true,"i":[""],"l":{},"e":{},"m":{},"c":true}',
    ],
)
def test_a_trace_of_one_request_is_stored_as_it_was_before_there_were_parts(packed: bytes) -> None:
    header = packed.index(b"}{") + 1 if b"}{" in packed else len(packed)
    stored = header.to_bytes(4, "little") + packed
    assert Pending.unpack(stored).pack() == stored
