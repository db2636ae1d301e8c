"""Both backends of the worker's windows make the same bytes, whatever is cut, dropped, loaded again or forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from saima.errors import StoreError
from saima.features.declaration import Declaration
from saima.features.windows import Group, groups
from saima.features.windows.where import predicates
from saima.streams import few
from saima.streams.aggregation.columns import ColumnTiles
from saima.streams.tiles import Backend, TileEngine

NOW, MINUTE = 1_700_000_000_000, 60_000
FIELDS = {"k": "string", "n": "int64", "f": "float64", "d": "decimal(2)"}
DECLARATION = Declaration.model_validate(
    {
        "algorithm": "a",
        "sources": {"s": {"key": "k", "fields": FIELDS, "lateness": "1h"}},
        "request": {"fields": {"k": "string", "n": "int64"}},
        "aggregates": {
            name: {"from": "s", **aggregate}
            for name, aggregate in {
                "counts": {"key": "k", "measures": ["count"], "windows": ["1h"]},
                "sums": {"key": "k", "value": "n", "measures": ["sum", "mean", "min"], "windows": ["1h", "24h"]},
                "slides": {"key": "n", "value": "d", "measures": ["sum", "max"], "windows": ["30m"], "hop": "0"},
                "floats": {"key": ["k", "n"], "value": "f", "measures": ["min", "max"], "windows": ["1h", "13d"]},
                "lists": {"key": "k", "value": "f", "measures": ["last_k", "distinct"], "windows": ["1h"], "hop": "7m"},
                "some": {"key": "k", "measures": ["count"], "windows": ["6h"], "where": "n > 0"},
            }.items()
        },
        "features": {"x": {"value": "1", "dtype": "int64"}},
    }
)
GROUPS, WHERE = groups(DECLARATION), predicates(DECLARATION)
SCHEMA = pa.schema(
    [("time", pa.int64()), ("seq", pa.int64()), ("offset", pa.int64()), ("k", pa.string()), ("n", pa.int64()),
     ("f", pa.float64()), ("d", pa.int64())]
)  # fmt: skip
EVENT = st.tuples(
    st.sampled_from([0, 1, MINUTE, 7 * MINUTE, 90 * MINUTE, 26 * 60 * MINUTE]),
    st.sampled_from([0, 0, 1, MINUTE, 60 * MINUTE]),
    st.sampled_from(["a", "b", "ä", "", None, "a key of more than sixteen bytes"]),
    st.sampled_from([0, -1, 5, 2**53, None]),
    st.sampled_from([0.5, -0.0, -3.25, 1e300, float("nan"), None]),
)
Store = dict[tuple[str, str], bytes]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Events in order of arrival, none later than the lateness."""
    rows, clock = [], NOW
    for offset, (step, back, key, number, value) in enumerate(draw(st.lists(EVENT, min_size=1, max_size=150)), 1):
        clock += step
        digits = None if number is None else 7 * number % 1000
        rows.append(
            {"time": clock - back, "seq": offset % 3, "offset": offset, "k": key, "n": number, "f": value, "d": digits}
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def feed(engine: TileEngine, table: pa.Table, *, rows: bool) -> None:
    """Through the latency path if the table and the groups allow it and `rows`, else through the throughput path."""
    columns = few.columns(table, engine.groups.values()) if rows else None
    if columns is None:
        engine.process_batch(pl.DataFrame(table), "s")
    else:
        engine.process_few(columns, "s")


def made(backend: Backend, store: Store, capacity: int, found: Sequence[Group] = GROUPS) -> TileEngine:
    return TileEngine(
        found, lambda table, keys: [store.get((table, key)) for key in keys], WHERE, backend, capacity=capacity
    )


@pytest.mark.parametrize(
    "found", [GROUPS, [group for group in GROUPS if not group.where]], ids=["all", "without where"]
)
@given(data=st.data(), table=tables())
@settings(max_examples=30, deadline=None)
def test_every_commit_of_both_backends_is_the_same(found: list[Group], data: st.DataObject, table: pa.Table) -> None:
    stores: dict[Backend, Store] = {"rows": {}, "columns": {}}
    capacity = data.draw(st.sampled_from([0, 20_000, 2**40]))
    engines = {backend: made(backend, store, capacity, found) for backend, store in stores.items()}
    at = 0
    while at < table.num_rows:
        size = data.draw(st.sampled_from([1, 2, 7, 100]))
        part = table.slice(at, size)
        turn = data.draw(st.sampled_from(["go on", "go on", "restart", "commit fails"]))
        for engine in engines.values():
            feed(engine, part, rows=True)
            if turn == "commit fails":
                engine.changes()
                engine.forget()
                feed(engine, part, rows=False)
        changes = {backend: engine.changes() for backend, engine in engines.items()}
        assert changes["rows"] == changes["columns"]
        assert [place[:2] for place in changes["rows"]] == sorted(place[:2] for place in changes["rows"])
        for backend, store in stores.items():
            store.update({(name, key): packed or b"" for name, key, packed in changes[backend]})
            if turn == "restart":
                engines[backend] = made(backend, store, capacity, found)
        at += size
    built = TileEngine(found, predicates=WHERE).build_from_history({"s": pl.DataFrame(table)})
    assert {(name, key): packed for name, key, packed in built} == stores["columns"]


def test_what_is_held_stays_within_the_capacity() -> None:
    store: Store = {}
    engine = made("columns", store, capacity=2**22)
    for start in range(0, 40_000, 2_000):
        numbers = range(start, start + 2_000)
        frame = pl.DataFrame(
            {"time": [NOW + i for i in numbers], "seq": 0, "offset": 1, "k": [f"key {i}" for i in numbers], "n": 1,
             "f": 1.0, "d": 1}
        )  # fmt: skip
        engine.process_batch(frame, "s")
        store.update({(name, key): packed or b"" for name, key, packed in engine.changes()})
        assert sum(tiles.room() for tiles in engine.tiles.values()) <= 2**22
    assert len({key for _, key in store if key.startswith("key ")}) >= 40_000


@pytest.mark.parametrize("wrong", [b"", b"x" * 7, bytes(80), b"\x01" + bytes(79), b"\x01" + bytes(23) + b"\xff" * 56])
def test_a_damaged_entity_is_refused_by_its_key(wrong: bytes) -> None:
    found: dict[str, Any] = {"a": wrong}
    group = next(group for group in GROUPS if group.measures == {"sum", "mean", "min"})
    tiles = ColumnTiles(group, lambda keys: [found.get(key) for key in keys])
    tiles.add("a", (NOW, 0, 1))
    with pytest.raises(StoreError, match=r"the entity of 'a'.* is damaged"):
        tiles.settle()
