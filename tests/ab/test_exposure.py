"""Who counts as exposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from ab.exposure import from_journal, from_samples, units

Make = Callable[..., Any]


def test_the_journal_and_the_samples_tell_the_same(samples: Make, journal: Make) -> None:
    frame = samples(200)
    one = from_journal(journal(frame), "fusion").sort("trace").collect()
    two = from_samples(frame.lazy(), "fusion").sort("trace").collect()
    assert one.equals(two)


@pytest.mark.parametrize(
    "changed",
    [
        {"shadow": True},
        {"override": True},
        {"degraded": ["weather"]},
        {"reason": "override"},
        {"reason": "outside"},
        {"experiment": "fusion2"},
        {"experiment": None},
    ],
    ids=str,
)
def test_what_is_no_exposure(samples: Make, journal: Make, changed: dict[str, Any]) -> None:
    assert from_journal(journal(samples(5), **changed), "fusion").collect().height == 0


def test_an_answer_asked_twice_counts_once_and_the_first_one(samples: Make, journal: Make) -> None:
    frame = samples(5)
    later = journal(frame.with_columns(arm=pl.lit("challenger")), answered=9_999_999_999_999)
    found = from_journal(pl.concat([later, journal(frame)]), "fusion").sort("trace").collect()
    assert found["arm"].to_list() == frame.sort("trace")["arm"].to_list()


def test_a_unit_in_two_arms_is_counted_and_left_out() -> None:
    rows = pl.LazyFrame({"trace": ["1", "2", "3"], "unit": ["u", "u", "v"], "arm": ["a", "b", "a"], "time": [5, 6, 7]})
    found = units(rows)
    assert found.mixed == 1
    assert found.frame.rows() == [("v", "a", 7)]
    assert found.counts(["a", "b"]) == [1, 0]
