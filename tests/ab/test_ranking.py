"""Ranking metrics against lists computed one by one."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab.ranking import click_through, ndcg

LISTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=5)


def items(lists: list[list[int]]) -> pl.LazyFrame:
    rows = [
        {"unit": f"u{n % 2}", "arm": "a", "day": "d", "list": n, "rank": rank, "gain": gain}
        for n, gains in enumerate(lists)
        for rank, gain in enumerate(gains, start=1)
    ]
    return pl.LazyFrame(rows)


def gained(gains: list[int], k: int) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:k], start=1))


@settings(deadline=None, max_examples=50)
@given(LISTS, st.integers(1, 7))
def test_unit_sums_are_those_of_the_lists(lists: list[list[int]], k: int) -> None:
    found = {row[0]: row[1:] for row in ndcg(items(lists), k).drop("arm", "day").collect().iter_rows()}
    clicks = {row[0]: row[1:] for row in click_through(items(lists), k).drop("arm", "day").collect().iter_rows()}
    for unit in ("u0", "u1"):
        mine = [gains for n, gains in enumerate(lists) if f"u{n % 2}" == unit]
        values = [gained(g, k) / gained(sorted(g, reverse=True), k) for g in mine if any(g)]
        assert found.get(unit, (0.0, 0.0)) == pytest.approx((sum(values), len(values)))
        shown = sum(len(g[:k]) for g in mine)
        assert clicks.get(unit, (0.0, 0.0)) == (sum(sum(g[:k]) for g in mine), shown)


def test_no_list_ends_before_its_first_item() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        ndcg(items([[1]]), 0)
