"""Generated declarations and streams for the linker's tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from hypothesis import strategies as st

from saima.events import Event
from saima.streams.linking import Linking, parse

TYPES: dict[str, dict[str, Any]] = {
    "start": {"level": "session"},
    "end": {"level": "session", "does": "leave"},
    "app": {"level": "app", "name": "a"},
    "app_left": {"level": "app", "does": "leave", "name": "a"},
    "scene": {"level": "scene", "name": "s", "within": {"app": "a"}},
    "page": {"level": "page", "name": "p", "back": "back"},
    "view": {"level": "page", "name": "p", "within": {"app": "a", "scene": "s"}},
    "page_left": {"level": "page", "does": "leave"},
    "click": {"level": "behaviour", "name": "n"},
    "scroll": {"level": "behaviour", "causes": False, "within": {"page": "p"}},
}
COLUMNS: dict[str, Any] = {
    "key": pl.String,
    "type": pl.String,
    "time": pl.Int64,
    "seq": pl.Int64,
    "id": pl.String,
    "a": pl.String,
    "s": pl.String,
    "p": pl.String,
    "n": pl.Int64,
    "back": pl.Boolean,
}
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(["A", "B"]),
        "s": st.sampled_from(["S", "T", "ü"]),
        "p": st.sampled_from(["P", "Q", "R"]),
        "n": st.integers(0, 2),
        "back": st.booleans(),
    },
)
GAP = 20


@st.composite
def specs(draw: st.DrawFn) -> Linking:
    """A declaration of some of the types."""
    left_out = draw(st.sets(st.sampled_from(sorted(TYPES)), max_size=4))
    entries = {name: entry for name, entry in TYPES.items() if name not in left_out}
    return parse({"gap": GAP, "lenient": draw(st.booleans()), "entries": entries}, "test")


@st.composite
def streams(draw: st.DrawFn, size: int = 30) -> list[Event]:
    """Events in order of (time, seq), of three keys."""
    time, events = 0, []
    kinds = st.sampled_from(["page", "page", "view", "click", "click", "scroll", "scene", "app", *TYPES, "other"])
    for place in range(draw(st.integers(0, size))):
        time += draw(st.sampled_from([0, 0, 1, 2, 3, GAP, GAP + 1, 3 * GAP]))
        events.append(Event(draw(st.sampled_from("uvw")), draw(kinds), time, place, f"e{place}", draw(PAYLOADS)))
    return events


def frame(events: Sequence[Event]) -> pl.DataFrame:
    """A batch as the worker gives it."""
    names = list(COLUMNS)[5:]
    rows = [(e.key, e.type, e.time, e.seq, e.id, *(e.payload.get(name) for name in names)) for e in events]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def splits(n: int) -> Iterable[int]:
    """Every place to cut n events in two."""
    return range(n + 1)
