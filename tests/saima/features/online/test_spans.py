"""Spans: within one, a read at any time gives the same; they are not needlessly short around versions."""

from __future__ import annotations

import random

import pytest

from saima.features.lookups import RowReader, RowSource, Versions, add, pack, values_text
from saima.features.online.spans import row_span, window_span
from saima.features.windows import BehindHead, Reader
from saima.features.windows.codec import Codec
from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.entity import Accumulator, Entity

SOURCE = RowSource("s", ("k",), "since", "time", (("since", "int64"),), lateness=50, head=100)


@pytest.mark.parametrize("ttl", [None, 7])
def test_a_row_stays_the_same_within_its_span(ttl: int | None) -> None:
    reader = RowReader(SOURCE, ttl)
    for seed in range(40):
        rng = random.Random(seed)
        held: Versions | None = None
        for offset in range(rng.randrange(1, 6)):
            known = rng.randrange(80)
            since = rng.randrange(80)
            held = add(SOURCE, held, known, [(since, known, 0, offset, values_text([known, 0, since]))])
        assert held is not None
        opened = reader.open(pack(held))

        def read(q: int, opened: object = opened) -> object:
            try:
                found = reader.read(opened, q)  # type: ignore[arg-type]
            except BehindHead:
                return "behind"
            return None if found is None else (found.version, found.values)

        for q in range(-30, 120, 3):
            wanted = read(q)
            low, high = row_span(reader, opened, q)
            if wanted == "behind":
                assert not low <= q < high
                continue
            assert low <= q < high
            assert {str(read(at)) for at in range(max(low, -40), min(high, 130))} == {str(wanted)}


@pytest.mark.parametrize("hops", [(10,), (0,), (10, 40, 0)])
def test_windows_stay_the_same_within_their_span(hops: tuple[int, ...]) -> None:
    windows = tuple(Window(f"w{hop}", 60 if hop != 40 else 200, hop) for hop in hops)
    measures = ("count", "sum", "min", "last_k")
    group = Group("s", ("k",), "v", "int64", None, windows, frozenset(measures), 3, lateness=20, head=40)
    reader = Reader(group, [Ask(f"{m}_{w.text}", m, w, 3) for w in windows for m in measures])
    for seed in range(12):
        rng = random.Random(seed)
        entity = Entity()
        Accumulator(group).add(entity, [(rng.randrange(1000, 1300), n, rng.randrange(9)) for n in range(30)])
        data = Codec(group).pack(entity)
        packed = reader.codec.open(data)

        def read(q: int, data: bytes = data) -> object:
            try:
                return reader.read(data, q)
            except BehindHead:
                return "behind"

        for q in range(1150, 1700, 11):
            wanted = read(q)
            low, high = window_span(packed, group.slide, windows, q)
            if wanted == "behind":
                assert not low <= q < high
                continue
            assert low <= q < high
            for at in {low, high - 1, (low + min(high, q + 40)) // 2}:
                if abs(at) < 10**6:
                    assert read(at) == wanted, (seed, q, at)
