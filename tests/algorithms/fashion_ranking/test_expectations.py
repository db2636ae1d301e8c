from __future__ import annotations

from functools import cache

import polars as pl
import pytest

from saima.features import load
from saima.quality import Suite, gate, load_suites
from saima.recordings import load_recording
from saima.settings import settings

TOPICS = ("ranking_asked", "impression", "click", "item_listed")


@cache
def suites() -> dict[str, Suite]:
    return load_suites("fashion_ranking")


@cache
def sources() -> dict[str, pl.LazyFrame]:
    return load_recording(settings().algorithms / "fashion_ranking", settings().datasets).events


@cache
def recorded(topic: str) -> pl.DataFrame:
    """All events of a topic, as their table holds them."""
    return (
        sources()[topic]
        .with_columns(
            appended=pl.lit(0, dtype=pl.Int64),
            offset=pl.lit(0, dtype=pl.Int64),
            late=pl.lit(False),
            day=pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d"),
        )
        .collect()
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_a_week_of_events_keeps_its_suite(topic: str) -> None:
    assert list(map(str, gate(suites()[f"events_{topic}"], recorded(topic)))) == []


@pytest.mark.parametrize(
    ("topic", "broken", "kind"),
    [
        ("impression", pl.lit(1.5).alias("propensity"), "between"),
        ("impression", pl.lit("greedy").alias("policy"), "in_set"),
        ("impression", pl.lit(None, dtype=pl.String).alias("item_id"), "not_null"),
        ("click", pl.lit("same").alias("id"), "unique"),
        ("ranking_asked", pl.lit(4, dtype=pl.Int64).alias("position"), "between"),
        ("item_listed", pl.col("price_index").cast(pl.Float32), "type"),
    ],
)
def test_broken_events_are_stopped(topic: str, broken: pl.Expr, kind: str) -> None:
    breaches = gate(suites()[f"events_{topic}"], recorded(topic).head(1000).with_columns(broken))
    assert kind in {breach.kind for breach in breaches if breach.blocking}


def test_feature_suites_name_declared_features() -> None:
    declared = load("fashion_ranking").declaration.features
    read = {column for check in suites()["features"].checks for column in check.columns_read}
    assert read <= declared.keys()
