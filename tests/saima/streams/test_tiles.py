"""Laws of the engines: any split, any order within the lateness, history or stream: equal bytes and right reads."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from saima.features.asof import RowHistory
from saima.features.declaration import Declaration
from saima.features.lookups import RowReader, RowSource, versions
from saima.features.windows import Reader, WindowRead, reads
from saima.features.windows.batch import Timeline, entries
from saima.features.windows.definition import percent
from saima.features.windows.naive import naive
from saima.features.windows.rows import counted
from saima.streams.tiles import RowEngine, TileEngine

MINUTE, HOUR = 60_000, 3_600_000
LATENESS = 20 * MINUTE
ORIGIN = 1_364_774_400_000
MEASURES = ["count", "sum", "mean", "min", "max", "variance", "first", "last", "first_k", "last_k", "top_k", "distinct"]
TEXT = ["count", "first", "last", "first_k", "last_k", "distinct", "histogram", "approx_distinct"]
DIGITS = ["sum", "mean", "min", "variance", "last", "top_k", "histogram", "quantile_50", "approx_distinct"]
ERROR = 0.02
Store = dict[tuple[str, str], bytes]


def reads_of(dtype: str, measures: list[str], windows: list[str], hop: str | None = None) -> list[WindowRead]:
    declaration = {
        "algorithm": "case",
        "sources": {"source": {"key": "key", "fields": {"key": "string", "value": dtype}, "lateness": "20m"}},
        "request": {"fields": {"key": "string"}},
        "aggregates": {
            "agg": {
                "from": "source", "key": "key", "value": "value", "measures": measures, "windows": windows,
                "hop": hop, "k": 3, "exact": not dtype.startswith("float"), "error": ERROR,
            },
            "seen": {"from": "source", "key": "key", "measures": ["count"], "windows": ["30m", "2d"]},
        },
        "features": {"f": {"value": "agg.x", "dtype": "float64"}},
    }  # fmt: skip
    return reads(Declaration.model_validate(declaration))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.one_of(st.none(), st.integers(-50, 50), st.integers(-(2**52), 2**52)),
    "float64": st.one_of(st.none(), st.floats(-1e3, 1e3, width=32), st.just(float("nan")), st.just(-0.0)),
    "string": st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "\x1f"])),
    "decimal(2)": st.one_of(st.none(), st.integers(-500, 500), st.integers(-(2**61), 2**61)),
}


@st.composite
def streams(draw: st.DrawFn, dtype: str) -> pl.DataFrame:
    """Events in order of arrival, none later than LATENESS, with gaps of up to a day."""
    steps = draw(
        st.lists(st.sampled_from([0, 1, 999, 40_000, 7 * MINUTE, HOUR, 5 * HOUR, 25 * HOUR]), min_size=1, max_size=40)
    )
    clock, greatest, rows = ORIGIN, ORIGIN, []
    for seq, step in enumerate(steps):
        clock += step
        back = draw(st.sampled_from([0, 0, 1, MINUTE, LATENESS]))
        time = max(clock - back, greatest - LATENESS)
        greatest = max(greatest, time)
        key = draw(st.sampled_from(["a", "b", None]))
        rows.append({"key": key, "time": time, "seq": seq % 3, "value": draw(VALUES[dtype]), "offset": seq + 1})
    types = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String, "decimal(2)": pl.Int64}
    return pl.DataFrame(
        rows, schema={"key": pl.String, "time": pl.Int64, "seq": pl.Int64, "value": types[dtype], "offset": pl.Int64}
    )


def run(groups: list[Any], frame: pl.DataFrame, sizes: list[int], store: Store, restart: bool) -> Store:
    """Process a frame in batches; with `restart` a new engine continues from the store each time."""
    engine = TileEngine(groups, lambda table, keys: [store.get((table, key)) for key in keys])
    at = turn = 0
    while at < frame.height:
        size = sizes[turn % len(sizes)]
        engine.process_batch(frame[at : at + size], "source")
        store.update({(table, key): data or b"" for table, key, data in engine.changes()})
        if restart:
            engine = TileEngine(groups, lambda table, keys: [store.get((table, key)) for key in keys])
        at, turn = at + size, turn + 1
    return store


def same(a: Any, b: Any, exact: bool) -> bool:
    return a == b or (not exact and isinstance(a, float) and a == pytest.approx(b, rel=1e-9, abs=1e-6))


def near(value: Any, wanted: Any, measure: str, exact: bool) -> bool:
    """Equal, or within the error that a sketch declares (three standard errors and a rounding for distinct values)."""
    if measure == "approx_distinct":
        return abs(value - wanted) <= 1 + 3 * ERROR * wanted
    if percent(measure) is not None and wanted is not None:
        return abs(value - wanted) <= ERROR * abs(wanted)
    return same(value, wanted, exact)


@pytest.mark.parametrize(
    ("dtype", "measures", "windows", "hop"),
    [
        ("int64", MEASURES, ["1h", "6h", "24h"], None),
        ("int64", ["sum", "last", "histogram"], ["30m", "26h"], "0"),
        ("int64", ["mean", "variance", "first_k"], ["1h", "3h"], "7m"),
        ("string", TEXT, ["1h", "24h"], None),
        ("decimal(2)", DIGITS, ["1h", "24h"], None),
        ("int64", ["quantile_5", "quantile_95", "approx_distinct"], ["1h", "24h"], "0"),
        ("float64", [*MEASURES, "quantile_50"], ["1h", "24h", "13d"], None),
    ],
)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_batch_stream_and_history_agree(
    data: st.DataObject, dtype: str, measures: list[str], windows: list[str], hop: str | None
) -> None:
    found = reads_of(dtype, measures, windows, hop)
    groups = list({read.group.table: read.group for read in found}.values())
    frame = data.draw(streams(dtype))
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    whole = run(groups, frame, [10_000], {}, restart=False)
    assert run(groups, frame, sizes, {}, restart=data.draw(st.booleans())) == whole
    ordered = frame.sort("time")
    assert run(groups, ordered, sizes, {}, restart=False) == whole
    built = TileEngine(groups).build_from_history({"source": frame})
    assert {(table, key): packed for table, key, packed in built} == whole
    seam = frame.sort("time")["time"][frame.height // 2]
    store = {
        (t, k): p or b""
        for t, k, p in TileEngine(groups).build_from_history({"source": frame.filter(pl.col("time") < seam)})
    }
    assert run(groups, frame.filter(pl.col("time") >= seam), sizes, store, restart=True) == whole

    newest = int(frame["time"].to_numpy().max())
    queries = [
        newest + data.draw(st.sampled_from([-HOUR, -MINUTE, 0, 1, HOUR, 23 * HOUR, 40 * HOUR])) for _ in range(4)
    ]
    keys = pl.Series(["a", "b", "nobody", "a"])
    for read in found:
        rows = counted(frame, read.group, None)
        batch = Timeline(rows, read.group).read(read.asks, keys, np.array(queries, np.int64))
        reader = Reader(read.group, read.asks)
        for i, (key, q) in enumerate(zip(keys, queries, strict=True)):
            online = reader.read(whole.get((read.group.table, key)), q)
            for ask, value in zip(read.asks, online, strict=True):
                events = rows.filter(pl.col("key") == key).select("time", "seq", "value").rows()
                exact = dtype != "float64"
                assert near(
                    value, naive(events, ask.measure, ask.window, q, ask.k, read.group.digits), ask.measure, exact
                ), ask
                offline = batch[ask.column][i]
                offline = offline.to_list() if isinstance(offline, pl.Series) else offline
                expected = entries(value) if ask.measure == "histogram" else value
                assert same(offline, expected, exact), ask


@given(frame=streams("int64"), data=st.data())
@settings(max_examples=40, deadline=None)
def test_batch_as_of_a_position_is_the_stream_as_of_it(frame: pl.DataFrame, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, frame.height))
    q = int(frame["time"].to_numpy()[:position].max(initial=ORIGIN)) + data.draw(st.sampled_from([-MINUTE, 0, 1, HOUR]))
    for read in reads_of("int64", MEASURES, ["1h", "6h", "24h"]):
        store = run([read.group], frame.filter(pl.col("offset") <= position), [7], {}, restart=False)
        online = Reader(read.group, read.asks).read(store.get((read.group.table, "a")), q)
        batch = Timeline(counted(frame, read.group, None), read.group).read(
            read.asks, pl.Series(["a"]), np.array([q], np.int64), np.array([position], np.int64)
        )
        for ask, value in zip(read.asks, online, strict=True):
            offline = batch[ask.column][0]
            assert (offline.to_list() if isinstance(offline, pl.Series) else offline) == value, ask


@st.composite
def row_frames(draw: st.DrawFn) -> pl.DataFrame:
    frame = draw(streams("float64"))
    back = draw(st.lists(st.sampled_from([0, 0, 1, MINUTE, HOUR, -HOUR]), min_size=frame.height, max_size=frame.height))
    unknown = draw(
        st.lists(st.sampled_from([0, 0, 0, MINUTE, HOUR, None]), min_size=frame.height, max_size=frame.height)
    )
    return frame.with_columns(
        valid=pl.col("time") - pl.Series(back),
        known=pl.col("time") + pl.Series(unknown, dtype=pl.Int64),
    )


@pytest.mark.parametrize("known", [None, "known"])
@given(frame=row_frames(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_agree_with_a_naive_scan_on_every_path(
    known: str | None, frame: pl.DataFrame, data: st.DataObject
) -> None:
    fields = (("key", "string"), ("value", "float64"), ("valid", "timestamp"), ("known", "timestamp"))
    source = RowSource("source", ("key",), "valid", known, fields, LATENESS)
    position = data.draw(st.one_of(st.just(frame.height), st.integers(0, frame.height)))
    ttl = data.draw(st.sampled_from([None, MINUTE, 5 * HOUR]))
    seen = frame.filter(pl.col("offset") <= position)
    store: dict[str, bytes] = {}
    engine = RowEngine([source], lambda _, keys: [store.get(key) for key in keys])
    for at in range(0, seen.height, 4):
        engine.process_batch(seen[at : at + 4], "source")
        store.update({key: packed or b"" for _, key, packed in engine.changes()})
        engine.forget()
    assert {key: packed for _, key, packed in RowEngine([source]).build_from_history({"source": seen})} == store

    q = int(seen["time"].to_numpy().max(initial=ORIGIN)) + data.draw(st.sampled_from([-HOUR, -1, 0, 1, 6 * HOUR]))
    history = RowHistory(versions(frame, source), source)
    at = history.read(pl.Series(["a", "x"]), np.array([q, q], np.int64), ttl, np.array([position, position], np.int64))
    reader = RowReader(source, ttl)
    online = reader.read(reader.open(store["a"]) if "a" in store else None, q)
    rows = [row for row in seen.iter_rows(named=True) if row["key"] == "a" and row["valid"] <= q]
    if known:
        rows = [row for row in rows if row["known"] is not None and row["known"] <= q]
    best = max(rows, key=lambda r: (r["valid"], r["known"] if known else 0, r["seq"], r["offset"]), default=None)
    if best is not None and ttl is not None and best["valid"] < q - ttl:
        best = None
    assert history.version(int(at[1])) is None
    expected = None if best is None else [best["valid"], best["known"] if known else None, best["offset"]]
    assert history.version(int(at[0])) == expected
    assert (online and online.version) == expected
    if best is not None and online is not None:
        value = None if best["value"] is None or np.isnan(best["value"]) else best["value"]
        assert online.values[source.columns.index("value")] == value
        assert history.columns(at[:1], ["value"])[0][0] == value
