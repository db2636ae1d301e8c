from __future__ import annotations

from functools import cache

import polars as pl
import pytest

from saima.features.declaration import Declaration
from saima.quality import Suite, gate, load_suites
from saima.recordings import load_recording
from saima.settings import settings

TOPICS = ("flight_scheduled", "flight_departed", "flight_arrived", "weather_observed")


@cache
def suites() -> dict[str, Suite]:
    return load_suites("flight_delay")


@cache
def recorded(topic: str) -> pl.DataFrame:
    """All events of a topic of 2013, as their table holds them."""
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


@cache
def sources() -> dict[str, pl.LazyFrame]:
    return dict(load_recording(settings().algorithms / "flight_delay", settings().datasets).events)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_year_of_events_keeps_its_suite(topic: str) -> None:
    assert list(map(str, gate(suites()[f"events_{topic}"], recorded(topic)))) == []


@pytest.mark.parametrize(
    ("topic", "broken", "kind"),
    [
        ("flight_arrived", pl.lit(9999, dtype=pl.Int64).alias("arr_delay"), "between"),
        ("flight_departed", pl.lit("SFO").alias("origin"), "in_set"),
        ("flight_scheduled", pl.lit("same").alias("id"), "unique"),
        ("flight_scheduled", pl.lit(None, dtype=pl.Float32).alias("distance"), "not_null"),
        ("weather_observed", (pl.col("temp") * 10).alias("temp"), "between"),
        ("flight_departed", pl.col("dep_delay").cast(pl.Int32), "type"),
    ],
)
def test_broken_events_are_stopped(topic: str, broken: pl.Expr, kind: str) -> None:
    breaches = gate(suites()[f"events_{topic}"], recorded(topic).head(1000).with_columns(broken))
    assert kind in {breach.kind for breach in breaches if breach.blocking}


def test_feature_suites_name_declared_features() -> None:
    import yaml

    text = (settings().algorithms / "flight_delay" / "algorithm.yaml").read_text("utf-8")
    declared = Declaration.model_validate(yaml.safe_load(text)).features
    read = {column for check in suites()["features"].checks for column in check.columns_read}
    assert read <= declared.keys()
