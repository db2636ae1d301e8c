"""Point-in-time features of rankings against the naive program: nothing is known before its moment."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from saima.features import load
from saima.features.backfill import backfill
from saima.recordings import load_private, load_recording, with_candidates

FOLDER = Path("algorithms/fashion_ranking")
DATASETS = Path("datasets")
DAY = 86_400_000


@pytest.fixture(scope="module")
def served() -> pl.DataFrame:
    """Features of all candidates of 12 rankings, in both campaigns, in the last day of history."""
    algorithm = load("fashion_ranking")
    recording = load_recording(FOLDER, DATASETS)
    asked = recording.events["ranking_asked"].filter(
        pl.col("time").is_between(recording.history_end - DAY, recording.history_end)
    )
    chosen = asked.collect().gather_every(500).with_columns(trace="key")
    requests = with_candidates(algorithm.declaration, chosen.lazy(), recording.candidates, "trace")
    requests = requests.with_columns(item="item.item_id")
    return backfill(algorithm, requests, recording.events).collect()


def test_every_feature_is_that_of_the_naive_program(served: pl.DataFrame) -> None:
    oracle = load_private(FOLDER / "oracle.py", "oracle_of_test_features")
    traces = served["trace"].unique(maintain_order=True).to_list()
    expected = oracle.expected(DATASETS, traces)
    assert len(expected) == len(traces) >= 10
    assert {len(items) for items in expected.values()} == {80, 34}
    assert sum(map(len, expected.values())) == served.height
    hashed = {"item_hash", "segment_brand", "trait_category"}
    features = set(load("fashion_ranking").declaration.features)
    for row in served.iter_rows(named=True):
        values = expected[row["trace"]][row["item"]]
        assert set(values) | hashed == features
        for name, value in values.items():
            if value is None:
                assert row[name] is None, (row["trace"], row["item"], name)
            else:
                assert row[name] is not None, (row["trace"], row["item"], name)
                assert math.isclose(row[name], value, rel_tol=1e-6, abs_tol=1e-6), (row["trace"], row["item"], name)


def test_the_rows_say_something(served: pl.DataFrame) -> None:
    """No window is empty everywhere, and users have affinities."""
    for name in ("item_shown_1d", "item_clicked_3d", "segment_item_shown_1d", "position_shown_6h", "affinity_category"):
        assert served[name].n_unique() > 1, name


def test_at_least_forty_features_of_every_side() -> None:
    algorithm = load("fashion_ranking")
    assert len(algorithm.declaration.features) >= 40
    assert {"request", "item", "cross"} <= {stage.side for stage in algorithm.plan.stages}


def test_no_feature_knows_the_policy() -> None:
    """The policies' item hashes differ in the source; one item table serves both, and no feature reads the policy."""
    read = {column for columns in load("fashion_ranking").plan.lineage.values() for column in columns}
    assert not [column for column in read if "policy" in column or "propensity" in column]
