"""Slots are a dictionary from texts to numbers in order of appearance."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import polars as pl
from hypothesis import given, settings

from saima.streams.aggregation.slots import Slots

KEYS = st.text(max_size=3) | st.sampled_from(["", "\0", "\0\0", "a" * 15, "a" * 16, "a" * 17, "a" * 16 + "b", "é" * 9])


@given(batches=st.lists(st.lists(KEYS, max_size=20), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_slots_are_a_dictionary(batches: list[list[str]], data: st.DataObject) -> None:
    slots, known = Slots(), {}
    for keys in batches:
        wanted = [known.setdefault(key, len(known)) for key in keys]
        if data.draw(st.booleans()):
            assert slots.of(pl.Series(keys, dtype=pl.String), insert=True).tolist() == wanted
        else:
            assert [slots.named([key]).item() for key in keys] == wanted
    strangers = data.draw(st.lists(KEYS, max_size=9))
    wanted = [known.get(key, -1) for key in strangers]
    assert slots.of(pl.Series(strangers, dtype=pl.String), insert=False).tolist() == wanted
    assert [slots.seek(key) for key in strangers] == wanted
    assert slots.count == len(known)
    assert slots.keys(np.arange(slots.count)) == slots.texts().to_list() == list(known)


def test_the_table_grows_and_long_keys_are_told_apart() -> None:
    keys = [f"{i % 7}" * (i % 40) + str(i) for i in range(30_000)] + ["x" * 1_000_000 + end for end in "ab"]
    slots = Slots()
    assert slots.of(pl.Series(keys), insert=True).tolist() == list(range(len(keys)))
    assert slots.of(pl.Series(keys[::-1]), insert=True).tolist() == list(range(len(keys)))[::-1]
    assert slots.keys(np.array([len(keys) - 1])) == [keys[-1]]
