"""Kept rows: found again, replaced, bounded; buffers are nobody else's while somebody holds them."""

from __future__ import annotations

import random

import numpy as np

from saima.features.online.buffers import Buffers
from saima.features.online.item_store import EPOCH, HIGH, LOW, Cells, ItemStore, Rows
from saima.features.online.vector.values import Vector
from saima.features.types import FLOAT64, INT64

CELLS = Cells({"x": FLOAT64, "n": INT64}, ["x"], ["n"])


def rows(values: list[float], epoch: int = 1, low: int = 0, high: int = 100) -> Rows:
    cells = np.zeros((len(values), CELLS.width), np.int64)
    cells[:, LOW], cells[:, HIGH], cells[:, EPOCH] = low, high, epoch
    CELLS.put(cells, "x", Vector(np.array(values)))
    CELLS.put(cells, "n", Vector(np.array(values).astype(np.int64), np.array([value < 0 for value in values])))
    objects = np.empty((len(values), 1), np.object_)
    objects[:, 0] = [f"o{value}" for value in values]
    return Rows(cells, objects, np.array(values, np.float32)[:, None])


def test_rows_are_found_under_their_epoch_and_within_their_span() -> None:
    store = ItemStore(CELLS, 1, 1, 100)
    found, good, tokens = store.find(["a"], 5, 1)
    assert good is not None
    assert not good.any()
    assert tokens == [None]
    store.put(["a", "b"], rows([1.0, -2.0]), ["ta", "tb"])
    found, good, _ = store.find(["b", "a", "b"], 5, 1)
    assert good is None
    assert CELLS.get(found.cells, "x").values.tolist() == [-2.0, 1.0, -2.0]
    missing = CELLS.get(found.cells, "n").missing
    assert missing is not None
    assert missing.tolist() == [True, False, True]
    assert found.objects[:, 0].tolist() == ["o-2.0", "o1.0", "o-2.0"]
    for q, epoch in ((100, 1), (-1, 1), (5, 2)):
        _, good, tokens = store.find(["a", "c", "b"], q, epoch)
        assert good is not None
        assert good.tolist() == [False, False, False]
        assert tokens == ["ta", None, "tb"]
    _, good, tokens = store.find(["a", "c"], 5, 1)
    assert good is not None
    assert good.tolist() == [True, False]


def test_beyond_the_size_the_rows_used_last_stay() -> None:
    store = ItemStore(CELLS, 1, 1, 50)
    rng = random.Random(0)
    held: dict[int, float] = {}
    for _ in range(200):
        keys = rng.sample(range(300), rng.randrange(1, 8))
        values = [rng.random() for _ in keys]
        store.put(keys, rows(values), [(str(key).encode(),) for key in keys])
        held.update(zip(keys, values, strict=True))
        found, good, _ = store.find([*keys, -1], 5, 1)
        assert good is not None
        assert good.tolist() == [True] * len(keys) + [False]
        assert CELLS.get(found.cells, "x").values[:-1].tolist() == values
        assert store.entries <= 50
    found, good, _ = store.find(list(range(300)), 5, 1)
    assert good is not None
    assert good.sum() == store.entries
    for key in np.flatnonzero(good).tolist():
        assert CELLS.get(found.cells, "x").values[key] == held[key]
    assert store.bytes > 0


def test_a_request_of_more_items_than_the_size_is_kept_whole() -> None:
    store = ItemStore(CELLS, 1, 1, 10)
    store.put(list(range(30)), rows([float(n) for n in range(30)]), list(range(30)))
    _, good, _ = store.find(list(range(30)), 5, 1)
    assert good is None


def test_a_buffer_comes_back_when_the_last_reference_is_gone() -> None:
    buffers = Buffers()
    first = buffers.take((20, 4), np.float32)
    second = buffers.take((20, 4), np.float32)
    assert not np.shares_memory(first, second)
    view = first[:, 1:]
    del first
    assert not np.shares_memory(view, buffers.take((5, 4), np.float32))
    base = view.base
    del view, base
    seen = [buffers.take((20, 4), np.float32) for _ in range(12)]
    assert not any(np.shares_memory(a, b) for place, a in enumerate(seen) for b in seen[:place])
    assert len(buffers.take((100, 4), np.float32)) == 100
