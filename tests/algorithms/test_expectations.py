"""Recorded events keep their algorithm's suites, broken ones are stopped, and suites name what is declared."""

from __future__ import annotations

from functools import cache

import polars as pl
import pytest

from saima.features import load
from saima.quality import Suite, gate, load_suites
from saima.recordings import load_recording
from saima.settings import settings

TOPICS = {
    "flight_delay": ("flight_scheduled", "flight_departed", "flight_arrived", "weather_observed"),
    "fashion_ranking": ("ranking_asked", "impression", "click", "item_listed"),
}
BROKEN = [
    ("flight_delay", "flight_arrived", pl.lit(9999, dtype=pl.Int64).alias("arr_delay"), "between"),
    ("flight_delay", "flight_departed", pl.lit("SFO").alias("origin"), "in_set"),
    ("flight_delay", "flight_scheduled", pl.lit("same").alias("id"), "unique"),
    ("flight_delay", "flight_scheduled", pl.lit(None, dtype=pl.Float32).alias("distance"), "not_null"),
    ("flight_delay", "weather_observed", (pl.col("temp") * 10).alias("temp"), "between"),
    ("flight_delay", "flight_departed", pl.col("dep_delay").cast(pl.Int32), "type"),
    ("fashion_ranking", "impression", pl.lit(1.5).alias("propensity"), "between"),
    ("fashion_ranking", "impression", pl.lit("greedy").alias("policy"), "in_set"),
    ("fashion_ranking", "impression", pl.lit(None, dtype=pl.String).alias("item_id"), "not_null"),
    ("fashion_ranking", "click", pl.lit("same").alias("id"), "unique"),
    ("fashion_ranking", "ranking_asked", pl.lit(4, dtype=pl.Int64).alias("position"), "between"),
    ("fashion_ranking", "item_listed", pl.col("price_index").cast(pl.Float32), "type"),
]


@cache
def suites(algorithm: str) -> dict[str, Suite]:
    return load_suites(algorithm)


@cache
def sources(algorithm: str) -> dict[str, pl.LazyFrame]:
    return load_recording(settings().algorithms / algorithm, settings().datasets).events


@cache
def recorded(algorithm: str, topic: str) -> pl.DataFrame:
    """All recorded events of a topic, as their table holds them."""
    return (
        sources(algorithm)[topic]
        .with_columns(
            appended=pl.lit(0, dtype=pl.Int64),
            offset=pl.lit(0, dtype=pl.Int64),
            late=pl.lit(False),
            day=pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d"),
        )
        .collect()
    )


@pytest.mark.parametrize(("algorithm", "topic"), [(name, topic) for name, topics in TOPICS.items() for topic in topics])
def test_recorded_events_keep_their_suite(algorithm: str, topic: str) -> None:
    assert list(map(str, gate(suites(algorithm)[f"events_{topic}"], recorded(algorithm, topic)))) == []


@pytest.mark.parametrize(("algorithm", "topic", "broken", "kind"), BROKEN)
def test_broken_events_are_stopped(algorithm: str, topic: str, broken: pl.Expr, kind: str) -> None:
    breaches = gate(suites(algorithm)[f"events_{topic}"], recorded(algorithm, topic).head(1000).with_columns(broken))
    assert kind in {breach.kind for breach in breaches if breach.blocking}


@pytest.mark.parametrize("algorithm", TOPICS)
def test_feature_suites_name_declared_features(algorithm: str) -> None:
    declared = load(algorithm).declaration.features
    read = {column for check in suites(algorithm)["features"].checks for column in check.columns_read}
    assert read <= declared.keys()
