"""Backfill's own edges: what it passes through, leaves out and refuses (its values are held in test_extractor)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features import Algorithm, load
from saima.features.backfill import backfill
from saima.features.windows import WindowOverflow

TILL = """
algorithm: till
sources:
  paid: {key: shop, fields: {shop: string, cents: int64, since: timestamp}}
request:
  fields: {shop: string, opened: timestamp}
tables:
  last: {source: paid, key: shop, valid_from: since}
aggregates:
  income: {from: paid, key: shop, value: cents, measures: [sum], windows: [1h], hop: 0}
features:
  earned: {value: income.sum_1h, dtype: int64}
  last_age: {value: age(last.since), dtype: float64}
  open_for: {value: age(opened), dtype: float64}
"""
EVENTS = {"shop": ["a", "a", "b"], "cents": [5, 7, 9], "time": [1000, 2000, 3000], "since": [1000, 2000, 3000]}


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder: Path = tmp_path_factory.mktemp("algorithms") / "till"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(TILL)
    return load(folder)


def requests(**columns: list[object]) -> pl.LazyFrame:
    return pl.LazyFrame({"shop": ["a", "b"], "opened": [0, 0], "time": [2000, 9000], **columns})


def test_rows_keep_their_order_and_their_other_columns(till: Algorithm) -> None:
    found = backfill(till, requests(trace=["x", "y"]), {"paid": pl.LazyFrame(EVENTS)}).collect()
    assert found.columns == ["time", "trace", "earned", "last_age", "open_for"]
    assert found.rows() == [(2000, "x", 5, 0.0, 2.0), (9000, "y", 9, 6.0, 9.0)]


def test_late_rows_and_those_beyond_the_position_do_not_count(till: Algorithm) -> None:
    events = pl.LazyFrame({**EVENTS, "late": [True, False, False], "offset": [1, 2, 3]})
    found = backfill(till, requests(position=[5, 2]), {"paid": events}).collect()
    assert found["earned"].to_list() == [None, None]
    assert found["last_age"].to_list() == [0.0, None]


def test_no_events_and_no_requests_are_fine(till: Algorithm) -> None:
    none = pl.DataFrame(EVENTS).clear().lazy()
    assert backfill(till, requests(), {"paid": none}).collect()["earned"].to_list() == [None, None]
    assert backfill(till, requests().collect().clear().lazy(), {"paid": pl.LazyFrame(EVENTS)}).collect().height == 0


def test_requests_may_carry_times_as_datetimes(till: Algorithm) -> None:
    moment = pl.from_epoch("opened", "ms").dt.replace_time_zone("UTC").dt.cast_time_unit("us")
    found = backfill(till, requests().with_columns(moment), {"paid": pl.LazyFrame(EVENTS)}).collect()
    assert found["open_for"].to_list() == [2.0, 9.0]


@pytest.mark.parametrize(
    ("asked", "events", "message"),
    [
        (requests().drop("opened"), {"paid": pl.LazyFrame(EVENTS)}, "requests: the field 'opened' is missing"),
        (requests().drop("time"), {"paid": pl.LazyFrame(EVENTS)}, "requests: the column 'time'"),
        (requests(), {}, "events of 'paid' are not given"),
        (requests(), {"paid": pl.LazyFrame(EVENTS).drop("cents")}, "events of 'paid' have no column 'cents'"),
    ],
)
def test_what_is_missing_is_named(
    till: Algorithm, asked: pl.LazyFrame, events: dict[str, pl.LazyFrame], message: str
) -> None:
    with pytest.raises(SaimaError, match=message):
        backfill(till, asked, events)


def test_a_sum_that_does_not_fit_is_an_error(till: Algorithm) -> None:
    events = pl.LazyFrame({**EVENTS, "shop": ["b", "b", "b"], "cents": [2**63 - 1, 1, 0]})
    with pytest.raises(WindowOverflow):
        backfill(till, requests(), {"paid": events})
