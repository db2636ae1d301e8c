"""Codes and first rows by sorted hashes against Python's dictionaries, where hashes collide, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.learning.distinct import codes, first_of_each, repeated

TEXTS = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "aa"]), st.text(max_size=3)), max_size=30)


def same_partition(texts: list[str | None]) -> None:
    found = codes(pl.Series(texts, dtype=pl.String)).to_list()
    assert sorted(set(found)) == list(range(len(set(texts))))
    assert len(set(zip(texts, found, strict=True))) == len(set(texts))


@given(TEXTS)
def test_equal_texts_have_equal_codes_without_a_gap(texts: list[str | None]) -> None:
    same_partition(texts)


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl.Series, "hash", lambda self, *_: pl.Series(np.zeros(len(self), np.uint64)))
    same_partition(["b", "a", None, "b", "c", "a"])
    same_partition(["b", "a", "b"])
    rows = pl.DataFrame({"key": ["b", "a", "b", "c", "a"], "row": range(5)})
    assert first_of_each(rows, ["key"])["row"].to_list() == [0, 1, 3]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30))
def test_the_first_of_each_in_the_order_given(rows: list[tuple[str, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int64}, orient="row").with_row_index("row")
    first: dict[Any, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row, place)
    assert first_of_each(frame, ["a", "b"])["row"].to_list() == list(first.values())
    twice = repeated(frame, ["a", "b"])
    assert [rows.count(row) > 1 for row in rows] == ([False] * len(rows) if twice is None else twice.tolist())
