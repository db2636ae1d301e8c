"""Laws of the join: any order of arrival within the lateness, any restarts, the same rows and counts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from saima.streams.join import Join, Sample
from saima.streams.schemes import JoinSpec, Label

LATENESS, ATTRIBUTION = 20, 50
SPEC = JoinSpec("esdfm", attribution=ATTRIBUTION, wait=10, lateness=LATENESS)

EVENTS = st.lists(
    st.tuples(st.sampled_from("pxle"), st.sampled_from("ABC"), st.integers(0, 120), st.integers(0, LATENESS)),
    max_size=25,
)
SCHEMES = st.sampled_from(["once", "waited", "fnw", "esdfm", "defer"])


def feed(join: Join, kind: str, trace: str, time: int, offset: int) -> list[Sample]:
    if kind in "px":
        return join.predict(trace, time, b"{}", excluded=kind == "x", attempt=offset)
    if kind == "e":
        return join.expose(trace, time)
    return join.label(trace, Label(time, offset, offset, float(offset), 0))


def run(spec: JoinSpec, events: list[tuple[str, str, int, int]], restart: int = 0) -> tuple[list[str], dict[str, int]]:
    """`events` are (kind, trace, time, identity) in order of arrival; none is late by construction."""
    store: dict[str, bytes] = {}
    join = Join(spec, lambda keys: [store.get(key) for key in keys])
    rows: list[Sample] = []
    newest = -1000
    for place, (kind, trace, time, identity) in enumerate(events):
        rows += feed(join, kind, trace, time, identity)
        newest = max(newest, time)
        rows += join.advance(newest - LATENESS)
        if restart and place % restart == 0:
            for key, data in join.changes():
                if data is None:
                    store.pop(key, None)
                else:
                    store[key] = data
            again = Join(spec, lambda keys: [store.get(key) for key in keys])
            again.restore(store.items(), join.counters.values, join.watermark)
            join = again
    rows += join.advance(10_000)
    made = sorted(f"{row.trace} {row.row.moment} {row.row.label} {row.row.role}" for row in rows)
    return made, join.counters.values


@given(EVENTS, SCHEMES, st.booleans())
def test_order_of_arrival_within_the_lateness_changes_no_row(
    drawn: list[tuple[str, str, int, int]], scheme: str, exposed: bool
) -> None:
    """Sorted by time, and shuffled so that each comes at most the lateness after the greatest time before it."""
    spec = replace(SPEC, scheme=scheme, exposed=exposed)  # type: ignore[arg-type]
    # One prediction a trace: of several the earliest wins only while no row of another is out.
    seen: set[str] = set()
    events = []
    for identity, (kind, trace, time, delay) in enumerate(drawn, 1):
        if kind in "px":
            if trace in seen:
                continue
            seen.add(trace)
        events.append((kind, trace, time, identity, delay))
    ordered = sorted(events, key=lambda event: (event[2], event[3]))
    shuffled = sorted(events, key=lambda event: (event[2] + event[4], event[3]))
    plain = run(spec, [event[:4] for event in ordered])
    other = run(spec, [event[:4] for event in shuffled])
    assert plain[0] == other[0]
    for name in ("samples", "unlabelled", "excluded", "predictions", "pending", "unexposed"):
        assert plain[1][name] == other[1][name], name


@given(EVENTS, SCHEMES, st.integers(1, 4))
def test_restarts_change_nothing(drawn: list[tuple[str, str, int, int]], scheme: str, every: int) -> None:
    spec = replace(SPEC, scheme=scheme)  # type: ignore[arg-type]
    events = [
        (kind, trace, time, identity)
        for identity, (kind, trace, time, delay) in enumerate(sorted(drawn, key=lambda row: row[2] + row[3]), 1)
    ]
    assert run(spec, events) == run(spec, events, every)


@given(EVENTS, SCHEMES)
def test_every_prediction_is_accounted_for_and_nothing_is_kept(
    drawn: list[tuple[str, str, int, int]], scheme: str
) -> None:
    spec = replace(SPEC, scheme=scheme, valued=True)  # type: ignore[arg-type]
    store: dict[str, bytes] = {}
    join = Join(spec)
    newest, made = -1000, 0
    traces: set[str] = set()
    for identity, (kind, trace, time, _) in enumerate(sorted(drawn, key=lambda row: row[2] + row[3]), 1):
        out = feed(join, kind, trace, time, identity)
        newest = max(newest, time)
        out += join.advance(newest - LATENESS)
        made += len(out)
        traces |= {sample.trace for sample in out}
    out = join.advance(10_000)
    made += len(out)
    traces |= {sample.trace for sample in out}
    counts = join.counters.values
    assert counts["samples"] == made
    assert counts["pending"] == 0
    assert counts["predictions"] == counts["excluded"] + counts["unlabelled"] + len(traces)
    for key, data in join.changes():
        assert data is None, key
    assert not store


def test_once_emits_when_its_label_comes_and_counts_what_follows() -> None:
    join = Join(JoinSpec("once", attribution=100, valued=True))
    assert join.predict("T", 10, b"{}") == []
    (sample,) = join.label("T", Label(30, 0, 7, -4.5, 99))
    assert (sample.row.moment, sample.row.label, sample.row.role) == (30, -4.5, "observed")
    assert join.label("T", Label(31, 0, 8, 2.0, 99)) == []
    assert join.predict("T", 10, b"{}", attempt=2) == []
    assert join.label("T", Label(111, 0, 9, 2.0, 99)) == []
    assert join.label("T", Label(9, 0, 10, 2.0, 99)) == []
    counts = join.counters.values
    assert (counts["samples"], counts["duplicate"], counts["late"], counts["orphan"]) == (1, 1, 1, 1)


def test_once_takes_a_record_that_comes_after_its_label() -> None:
    join = Join(JoinSpec("once", attribution=100, valued=True))
    assert join.label("T", Label(30, 0, 7, 3.0, 99)) == []
    join.advance(105)
    (sample,) = join.predict("T", 10, b"{}")
    assert sample.row.label == 3.0
    join.advance(111)
    assert join.predict("U", 10, b"{}") == []
    assert join.counters.values["late"] == 1


def test_the_earliest_attempt_is_the_prediction() -> None:
    join = Join(JoinSpec("once", attribution=100))
    join.predict("T", 10, b"second", attempt=2)
    join.predict("T", 10, b"first", attempt=1)
    (sample,) = join.label("T", Label(30, 0, 7, 1.0, 99))
    assert sample.record == b"first"


def test_only_exposed_candidates_of_a_ranking_make_rows() -> None:
    join = Join(JoinSpec("fnw", attribution=100, exposed=True))
    join.predict("T", 0, b"{}", items=("a", "b", "c"))
    join.expose("T", 5, "a")
    join.label("T", Label(20, 0, 1, 1.0, 0), "b")
    rows = [(row.item, row.index, row.row.moment, row.row.label) for row in join.advance(101)]
    assert sorted(rows) == [("a", 0, 5, 0.0), ("b", 1, 20, 0.0), ("b", 1, 20, 1.0)]
    assert join.counters.values["unexposed"] == 1
