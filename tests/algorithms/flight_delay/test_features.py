"""Point-in-time features of flights against the naive program: nothing is known before its moment."""

import math
from pathlib import Path

import polars as pl
import pytest

from saima.features import load
from saima.features.backfill import backfill
from saima.recordings import load_private, load_recording

FOLDER = Path("algorithms/flight_delay")
DATASETS = Path("datasets")
DAY = 86_400_000
NEW_YEAR = 1_356_998_400_000


@pytest.fixture(scope="module")
def served() -> pl.DataFrame:
    algorithm = load("flight_delay")
    events = load_recording(FOLDER, DATASETS).events
    first, last = NEW_YEAR + 7 * DAY, NEW_YEAR + 10 * DAY
    asked = events["flight_scheduled"].filter(pl.col("time").is_between(first, last)).collect()
    chosen = asked.sort("time", "seq").gather_every(max(1, asked.height // 24))
    fields = list(algorithm.declaration.request.fields)
    requests = chosen.select("time", *fields, trace="key").lazy()
    recent = {
        topic: frame.filter(pl.col("time").is_between(first - 5 * DAY, last + DAY)).with_columns(
            offset=pl.lit(0, pl.Int64)
        )
        for topic, frame in events.items()
    }
    return backfill(algorithm, requests, recent).collect()


def test_every_feature_is_that_of_the_naive_program(served: pl.DataFrame) -> None:
    oracle = load_private(FOLDER / "oracle.py", "oracle_of_test_features")
    expected = oracle.expected(DATASETS, served["trace"].to_list())
    assert len(expected) == served.height >= 20
    for row in served.iter_rows(named=True):
        for name, value in expected[row["trace"]].items():
            if value is None:
                assert row[name] is None, (row["trace"], name)
            else:
                assert row[name] is not None, (row["trace"], name)
                assert math.isclose(row[name], value, rel_tol=1e-6, abs_tol=1e-6), (row["trace"], name)


def test_at_least_thirty_features_and_no_month() -> None:
    features = load("flight_delay").declaration.features
    assert len(features) >= 30
    assert not [name for name in features if "month" in name]
