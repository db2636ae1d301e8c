"""Kept rows: found again, replaced, bounded; buffers are nobody else's while somebody holds them."""

from __future__ import annotations

import random

import numpy as np

from saima.features.online.buffers import Buffers
from saima.features.online.item_cells import EPOCH, HIGH, LOW, Cells, Rows
from saima.features.online.item_store import Found, ItemStore
from saima.features.online.vector.values import Vector
from saima.features.types import FLOAT64, INT64

CELLS = Cells({"x": FLOAT64, "n": INT64}, ["x"], ["n"])


def rows(values: list[float], epoch: int = 1, low: int = 0, high: int = 100) -> Rows:
    made = CELLS.rows(len(values), 1, 1)
    made.first[:, LOW], made.first[:, HIGH], made.first[:, EPOCH] = low, high, epoch
    CELLS.put(made, "x", Vector(np.array(values)))
    CELLS.put(made, "n", Vector(np.array(values).astype(np.int64), np.array([value < 0 for value in values])))
    made.objects[:, 0] = [f"o{value}" for value in values]
    made.matrix[:, 0] = values
    return made


def column(found: Found, name: str) -> Vector:
    return CELLS.get(found.rows, found.places, name)


def test_rows_are_found_under_their_epoch_and_within_their_span() -> None:
    store = ItemStore(CELLS, 1, 1, 100)
    found, good, tokens = store.find(["a"], 5, 1)
    assert good is not None
    assert not good.any()
    assert tokens == [None]
    store.put(["a", "b"], rows([1.0, -2.0]), ["ta", "tb"])
    found, good, _ = store.find(["b", "a", "b"], 5, 1)
    assert good is None
    assert column(found, "x").values.tolist() == [-2.0, 1.0, -2.0]
    missing = column(found, "n").missing
    assert missing is not None
    assert missing.tolist() == [True, False, True]
    assert found.rows.objects[found.places, 0].tolist() == ["o-2.0", "o1.0", "o-2.0"]
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
        assert column(found, "x").values[:-1].tolist() == values
        assert store.entries <= 50
    found, good, _ = store.find(list(range(300)), 5, 1)
    assert good is not None
    assert good.sum() == store.entries
    for key in np.flatnonzero(good).tolist():
        assert column(found, "x").values[key] == held[key]
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


def test_rows_found_stay_what_they_were_while_others_are_put() -> None:
    store = ItemStore(CELLS, 1, 1, 40)
    store.put(["a", "b"], rows([1.0, 2.0]), ["ta", "tb"])
    found, _, _ = store.find(["a", "b"], 5, 1)
    for number in range(300):
        store.put(["a", f"c{number}"], rows([number + 10.0, 0.0]), [f"t{number}", "t"])
    assert column(found, "x").values.tolist() == [1.0, 2.0]
    assert found.rows.objects[found.places, 0].tolist() == ["o1.0", "o2.0"]
    assert column(store.find(["a"], 5, 1)[0], "x").values.tolist() == [309.0]


def test_the_same_keys_again_are_held_to_their_span_and_epoch() -> None:
    store = ItemStore(CELLS, 1, 1, 100)
    store.put(["a", "b"], rows([1.0, 2.0]), ["ta", "tb"])
    for _ in range(3):
        assert store.find(["a", "b"], 5, 1)[1] is None
    assert store.find(["a", "b"], 100, 1)[1] is not None
    assert store.find(["a", "b"], 5, 2)[1] is not None
    store.prove(["a", "b"], ["ta", "other"], 2)
    _, good, tokens = store.find(["a", "b"], 5, 2)
    assert good is not None
    assert good.tolist() == [True, False]
    assert tokens == [None, "tb"]
    store.put(["b"], rows([3.0], epoch=2), ["tc"])
    found, good, _ = store.find(["a", "b"], 5, 2)
    assert good is None
    assert column(found, "x").values.tolist() == [1.0, 3.0]
