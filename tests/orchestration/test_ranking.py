"""A ranking through Dagster: from recorded exposures to a routed version and its retrain, on a small algorithm."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from orchestration.bootstrap import bootstrap
from saima.host.bundle import Bundle
from saima.routing.deployment import read_document
from tests.orchestration.conftest import Shop, housed


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The algorithm `shelf` in a home of its own, materialized."""
    with housed("shelf", tmp_path_factory) as made:
        bootstrap("shelf", made.settings, made.instance, made.definitions)
        yield made


def test_history_has_the_rows_that_the_stream_would_have_made(shelf: Shop) -> None:
    """Of each request the one thing that was seen; one row more for each that was taken before the history's end."""
    features = shelf.tables.scan("shelf/history_features").collect()
    assert features.select("trace", "item").is_unique().all()
    assert features.height == 864
    samples = shelf.tables.scan("shelf/samples").collect()
    roles = {row[0]: row[1:] for row in samples.group_by("role").agg(pl.len(), pl.col("label").mean()).iter_rows()}
    assert roles == {"assumed_negative": (864, 0.0), "correction": (124, 1.0)}


def test_golden_requests_are_whole_rankings(shelf: Shop) -> None:
    bundle = Bundle.open(shelf.registry.bundle(1).path)
    bundle.check_golden()
    assert [golden.rows for golden in bundle.manifest.golden] == [1, 6], "two requests of three things each"
    assert [len(body["items"]) for body in bundle.manifest.warm_up] == [3, 3]
    assert bundle.manifest.warm_up[0]["user"]["taste"]


def test_a_click_rate_is_judged_by_its_logarithmic_loss(shelf: Shop) -> None:
    metrics = Bundle.open(shelf.registry.bundle(1).path).manifest.evaluation["metrics"]
    assert 0 < metrics["candidate"]["log_loss"] < metrics["training_mean"]["log_loss"] * 1.5


def test_a_retrain_weighs_its_rows_and_is_routed(shelf: Shop) -> None:
    table = shelf.tables.scan("shelf/samples").collect()
    first, newest = 1, int(table["label_time"].to_numpy().max())
    live = table.tail(60).with_row_index("i", offset=first)
    shelf.tables.append(
        "shelf/samples",
        live.with_columns(
            trace=pl.format("live-{}", "i"),
            offset=pl.col("i").cast(pl.Int64),
            label_offset=pl.col("i").cast(pl.Int64),
            label_time=newest + pl.col("i").cast(pl.Int64) * 1000,
        ).drop("i"),
    )
    assert shelf.run("shelf_plain_retrain").success
    assert read_document(shelf.registry.deployment().document).lineage("shelf", "plain").routed == 2
