"""The hand-over from batch to stream: on either side of it a read is right, or refused with what would help."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.features.lookups import RowReader, RowSource
from saima.features.windows import Ask, BehindHead, Reader
from saima.features.windows.definition import Group, Window
from saima.features.windows.naive import naive
from saima.streams.tiles import RowEngine, TileEngine

HOP = 10
MEASURES = ("count", "sum", "last_k")
SOURCE = RowSource("s", ("k",), "since", "known", (("v", "int64"),), lateness=20, head=50)


def group(hops: tuple[int, ...]) -> Group:
    windows = tuple(Window(f"w{hop}", 60 if hop < 40 else 200, hop) for hop in hops)
    return Group("s", ("k",), "v", "int64", None, windows, frozenset(MEASURES), 3, lateness=20, head=50)


def events(rng: random.Random, count: int) -> pl.DataFrame:
    """Events of one key in order of arrival, none later than the lateness."""
    times = sorted(rng.randrange(1000, 1400) for _ in range(count))
    arrivals = sorted(times, key=lambda time: time + rng.randrange(20))
    rows = [
        {"time": time, "seq": seq, "offset": seq, "k": "a", "v": rng.randrange(9), "since": time, "known": time}
        for seq, time in enumerate(arrivals)
    ]
    return pl.DataFrame(rows)


def handed_over(groups: list[Group], sources: list[RowSource], frame: pl.DataFrame, seam: int) -> dict[str, bytes]:
    """State by table: what lies before the seam by the batch path, the rest by the stream, two events at a time."""
    state: dict[str, bytes] = {}

    def load(table: str, keys: Sequence[str]) -> list[bytes | None]:
        return [state.get(table) for _ in keys]

    for engine in (TileEngine(groups, load), RowEngine(sources, load)):
        history, rest = frame.filter(pl.col("time") < seam), frame.filter(pl.col("time") >= seam)
        state |= {table: data or b"" for table, _, data in engine.build_from_history({"s": history})}
        for at in range(0, rest.height, 2):
            engine.process_batch(rest[at : at + 2], "s")
        state |= {table: data or b"" for table, _, data in engine.changes()}
    return state


@pytest.mark.parametrize("hops", [(10,), (0,), (10, 40, 0)])
@given(seed=st.integers(0, 10_000), seam=st.integers(99, 141))
@settings(max_examples=60, deadline=None)
def test_a_window_read_before_the_seam_is_right_or_refused(hops: tuple[int, ...], seed: int, seam: int) -> None:
    rng = random.Random(seed)
    frame, of = events(rng, rng.randrange(1, 40)), group(hops)
    reader = Reader(of, [Ask(f"{m}_{w.text}", m, w, 3) for w in of.windows for m in MEASURES])
    data = handed_over([of], [], frame, seam * HOP)[of.table]
    newest = frame["time"].to_numpy().max()
    rows = frame.select("time", "seq", "v").rows()
    earliest = reader.codec.open(data).head + of.slide
    assert earliest <= newest - max(of.lateness, of.head), "events this near the newest one are kept one by one"
    for q in [seam * HOP + offset for offset in (-70, -49, -20, -1, 0, 1, 30)]:
        if q < earliest:
            with pytest.raises(BehindHead, match=f"a read at {q} .* right from {earliest} on; raise the lateness of"):
                reader.read(data, q)
        else:
            assert reader.read(data, q) == [naive(rows, m, w, q, 3) for w in of.windows for m in MEASURES]


@given(seed=st.integers(0, 10_000), seam=st.integers(99, 141), ttl=st.sampled_from([None, 30]))
@settings(max_examples=60, deadline=None)
def test_a_row_read_before_the_seam_is_right_or_refused(seed: int, seam: int, ttl: int | None) -> None:
    rng = random.Random(seed)
    frame = events(rng, rng.randrange(1, 40))
    reader = RowReader(SOURCE, ttl)
    opened = reader.open(handed_over([], [SOURCE], frame, seam * HOP)[SOURCE.table])
    newest = frame["time"].to_numpy().max()
    for q in [seam * HOP + offset for offset in (-70, -49, -20, -1, 0, 1, 30)]:
        if q < newest - SOURCE.keep:
            with pytest.raises(BehindHead, match=f"a read at {q} .* raise the lateness of"):
                reader.read(opened, q)
            continue
        found = reader.read(opened, q)
        known = frame.filter(pl.col("time") <= q).sort("time", "seq")
        expected = None if known.is_empty() else known.row(-1, named=True)
        if expected is None or (ttl is not None and expected["time"] < q - ttl):
            assert found is None
        else:
            assert found is not None
            assert found.values[SOURCE.columns.index("v")] == expected["v"]
