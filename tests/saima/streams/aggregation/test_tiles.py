"""Both backends hold the entities of the algebra: equal bytes, equal reads, whatever the split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from saima.features.windows import Ask, BehindHead, Reader
from saima.features.windows.codec import Codec
from saima.features.windows.component import Row
from saima.features.windows.definition import Group, Window
from saima.features.windows.entity import Accumulator, Entity
from saima.streams.aggregation.columns import ColumnTiles, columnar
from saima.streams.aggregation.rows import RowTiles
from saima.streams.aggregation.tiles import Tiles, expiry

EXACT = ("count", "sum", "mean", "min", "max")
ALL = (*EXACT, "variance", "first", "last", "first_k", "last_k", "top_k", "distinct", "histogram", "quantile_50")
FLOAT = ("count", "min", "max")
WINDOWS = (Window("60", 60, 10), Window("200", 200, 40), Window("500", 500, 80))
Made = Callable[[Group], Tiles]


def group(
    measures: Sequence[str], windows: Sequence[Window], dtype: str | None = "int64", error: float = 0.02
) -> Group:
    value = None if dtype is None else "v"
    return Group("s", ("k",), value, dtype, None, tuple(windows), frozenset(measures), 3, 20, head=50, error=error)


def asks(group: Group) -> list[Ask]:
    return [Ask(f"{m}_{w.text}", m, w, 2) for w in group.windows for m in sorted(group.measures)]


CASES = {
    "levels": group(EXACT, WINDOWS),
    "one level": group(EXACT, WINDOWS[:1]),
    "sliding": group(EXACT, [Window("30", 30, 0)]),
    "sliding and levels": group(EXACT, [Window("30", 30, 0), *WINDOWS[:2]]),
    "counted": group(["count"], WINDOWS, None),
    "sums alone": group(["mean"], WINDOWS),
    "floats": group(FLOAT, WINDOWS, "float64"),
    "bools": group(("count", "sum", "min"), WINDOWS[:2], "bool"),
}
OTHERS = {
    "every measure": group(ALL, WINDOWS),
    "decimals": group([m for m in ALL if m != "first_k"], WINDOWS, "decimal(2)"),
    "texts": group(("count", "first", "last_k", "histogram", "distinct"), WINDOWS, "string"),
    "float sums": group(("sum", "mean", "variance", "last"), WINDOWS, "float64"),
}
PLACES = [(ColumnTiles, name) for name in CASES] + [(RowTiles, name) for name in {**CASES, **OTHERS}]


@st.composite
def events(draw: st.DrawFn, group: Group) -> list[tuple[str, Row]]:
    """Events of some keys in order of arrival, none behind the lateness."""
    values: dict[str | None, st.SearchStrategy[Any]] = {
        None: st.none(), "bool": st.integers(0, 1), "string": st.sampled_from(["", "a", "é"]),
        "float64": st.sampled_from([0.0, -1.5, 1e100, 3.25, 0.1]),
    }  # fmt: skip
    value = values.get(group.dtype, st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1))
    steps = draw(st.lists(st.sampled_from([0, 0, 1, 3, 9, 10, 41, 90, 700]), min_size=1, max_size=60))
    clock, found = 1000, []
    for seq, step in enumerate(steps):
        clock += step
        time = clock - draw(st.sampled_from([0, 0, 0, 1, 7, 20]))
        found.append(
            (draw(st.sampled_from(["a", "b", "a key of more than sixteen bytes"])), (time, seq % 5, draw(value)))
        )
    return found


def fill(tiles: Tiles, found: Sequence[tuple[str, Row]]) -> None:
    kind = pl.String if tiles.group.is_text else pl.Float64 if tiles.group.is_float else pl.Int64
    times, seqs = (np.array([row[i] for _, row in found], np.int64) for i in (0, 1))
    values = None if tiles.group.value is None else pl.Series([row[2] for _, row in found], dtype=kind)
    tiles.add_batch(pl.Series([key for key, _ in found], dtype=pl.String), times, seqs, values)


def entities(group: Group, found: Sequence[tuple[str, Row]]) -> dict[str, bytes]:
    """What the algebra makes of the events."""
    held: dict[str, Entity] = {}
    for key, row in found:
        Accumulator(group).add(held.setdefault(key, Entity()), [row])
    return {key: Codec(group).pack(entity) for key, entity in held.items()}


@pytest.mark.parametrize(("made", "name"), PLACES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_tiles_are_the_entities_of_the_algebra(made: Made, name: str, data: st.DataObject) -> None:
    shape = {**CASES, **OTHERS}[name]
    found = data.draw(events(shape))
    wanted = entities(shape, found)
    tiles = made(shape)
    at = 0
    while at < len(found):
        size = data.draw(st.integers(1, 20))
        if data.draw(st.booleans()):
            fill(tiles, found[at : at + size])
        else:
            for key, row in found[at : at + size]:
                tiles.add(key, row)
        at += size
        if data.draw(st.booleans()):
            check_reads(tiles, entities(shape, found[:at]), data)
        if data.draw(st.integers(0, 5)) == 0:
            packed = tiles.pack(changed=False)
            tiles = made(shape)
            tiles.load([key for key, _ in packed], [data for _, data in packed])
    assert dict(tiles.pack(changed=False)) == wanted
    check_reads(tiles, wanted, data)


def check_reads(tiles: Tiles, wanted: dict[str, bytes], data: st.DataObject) -> None:
    reader, view = Reader(tiles.group, asks(tiles.group)), tiles.view(asks(tiles.group))
    newest = max(Codec(tiles.group).open(packed).latest for packed in wanted.values())
    for key in (*wanted, "nobody"):
        q = newest + data.draw(st.sampled_from([-60, -30, -1, 0, 1, 15, 70, 400, 10_000]))
        try:
            expected = reader.read(wanted.get(key), q)
        except (BehindHead, OverflowError) as error:
            with pytest.raises(type(error)):
                view.read(key, q)
            with pytest.raises(type(error)):
                view.read_batch(pl.Series([key]), np.array([q], np.int64))
        else:
            assert view.read(key, q) == expected
            assert view.read_batch(pl.Series([key]), np.array([q], np.int64)) == [expected]


@pytest.mark.parametrize("made", [ColumnTiles, RowTiles])
def test_changed_entities_are_packed_once(made: Made) -> None:
    tiles = made(CASES["levels"])
    tiles.add("a", (1000, 0, 5))
    tiles.add("b", (1001, 0, 6))
    assert sorted(key for key, _ in tiles.pack(changed=True)) == ["a", "b"]
    assert tiles.pack(changed=True) == []
    tiles.add("b", (1002, 0, 7))
    assert [key for key, _ in tiles.pack(changed=True)] == ["b"]
    assert len(tiles.pack(changed=False)) == 2


@pytest.mark.parametrize("made", [ColumnTiles, RowTiles])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_keys_that_nothing_can_ask_for_are_dropped_and_come_back_the_same(made: Made, data: st.DataObject) -> None:
    shape = CASES["levels"]
    found = data.draw(events(shape))
    tiles = made(shape)
    newest = 0
    for key, row in found:
        tiles.add(key, row)
        newest = max(newest, row[0])
        if data.draw(st.integers(0, 3)) == 0:
            tiles.expire(expiry(shape, newest - shape.lateness))
    wanted = entities(shape, found)
    held = dict(tiles.pack(changed=False))
    assert held == {key: wanted[key] for key in held}
    reader, view = Reader(shape, asks(shape)), tiles.view(asks(shape))
    for key in wanted:
        for q in (newest - shape.lateness, newest + 1):
            try:
                expected = reader.read(wanted[key], q)
            except (BehindHead, OverflowError):
                continue
            assert view.read(key, q) == expected
    gone = set(wanted) - set(held)
    assert set(tiles.expire(newest + 1)) == set(held)
    assert not any(key in tiles for key in gone | set(held))


def test_many_keys_and_events_grow_every_array() -> None:
    shape = CASES["levels"]
    rng = np.random.default_rng(5)
    found = [
        (f"key {rng.integers(3000)}", (1000 + i // 10, int(rng.integers(3)), int(rng.integers(-9, 9))))
        for i in range(40_000)
    ]
    columns, rows = ColumnTiles(shape), RowTiles(shape)
    for at in range(0, len(found), 7000):
        fill(columns, found[at : at + 7000])
        fill(rows, found[at : at + 7000])
    assert dict(columns.pack(changed=False)) == dict(rows.pack(changed=False))
    keys = pl.Series([f"key {i}" for i in range(3001)])
    q = np.full(3001, 5000)
    assert columns.view(asks(shape)).read_batch(keys, q) == rows.view(asks(shape)).read_batch(keys, q)


def test_only_exact_measures_are_columnar() -> None:
    assert all(columnar(shape) for shape in CASES.values())
    assert not any(columnar(shape) for shape in OTHERS.values())
    with pytest.raises(ValueError, match="not held in columns"):
        ColumnTiles(OTHERS["texts"])
