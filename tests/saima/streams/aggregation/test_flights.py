"""Real data: delays of the flights of 2013 by airport, in windows and in tumbling windows, beside naive programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.features.declaration import Source
from saima.features.windows.definition import Window
from saima.features.windows.naive import naive
from saima.streams.aggregation.definition import Definition
from saima.streams.aggregation.engine import Aggregation, Backend
from saima.streams.aggregation.tumbling import Tumbling, TumblingDefinition

HOUR = 3_600_000
FLIGHTS = Path(__file__).parents[4] / "datasets" / "flights" / "flights.parquet"
SOURCE = Source(key="origin", fields={"origin": "string", "dep_delay": "int64"}, lateness="1h")
MEASURES = ("count", "sum", "mean", "min", "max")
WINDOWS = {
    "1h": Window("1h", HOUR, 300_000),
    "6h": Window("6h", 6 * HOUR, 300_000),
    "1d": Window("1d", 24 * HOUR, HOUR),
}


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    """Departures of January as standard events, in the order of their scheduled times."""
    if not FLIGHTS.is_file():
        pytest.skip(f"{FLIGHTS.name} is not there")
    found = pl.read_parquet(FLIGHTS).filter(pl.col("month") == 1, pl.col("dep_delay").is_not_null())
    return found.select(
        pl.col("origin").alias("key"),
        pl.lit("departed").alias("type"),
        pl.col("time_hour").dt.epoch("ms").alias("time") + pl.col("minute").cast(pl.Int64) * 60_000,
        pl.int_range(pl.len()).alias("seq"),
        pl.int_range(pl.len()).cast(pl.String).alias("id"),
        "origin",
        pl.col("dep_delay").cast(pl.Int64),
    ).sort("time", "seq")


@pytest.mark.parametrize("backend", ["rows", "columns"])
def test_windows_of_delays_are_those_of_a_naive_program(flights: pl.DataFrame, backend: Backend) -> None:
    shapes = tuple((window.width, window.hop) for window in WINDOWS.values())
    definition = Definition("delay", "departed", ("origin",), "dep_delay", None, MEASURES, shapes, tuple(WINDOWS))
    engine = Aggregation([definition], {"departed": SOURCE}, backend)
    rng = np.random.default_rng(3)
    at = 0
    while at < flights.height:
        size = int(rng.integers(1, 4000))
        engine.process_batch(flights[at : at + size])
        at += size
        newest = flights[min(at, flights.height) - 1, "time"]
        for airport in ("EWR", "JFK", "LGA", "BOS"):
            since = newest - 26 * HOUR
            events = flights[:at].filter(pl.col("origin") == airport, pl.col("time") >= since)
            rows = events.select("time", "seq", "dep_delay").rows()
            for q in (newest - HOUR, newest, newest + 7 * HOUR):
                found = engine.read("delay", airport, q)
                assert found == {
                    f"{measure}_{text}": naive(rows, measure, window, q)
                    for text, window in WINDOWS.items()
                    for measure in MEASURES
                }


def test_tumbling_hours_are_those_of_one_query(flights: pl.DataFrame) -> None:
    definition = TumblingDefinition("departed", ("origin",), "dep_delay", MEASURES, HOUR)
    engine, closed = Tumbling(definition, SOURCE), []
    for at in range(0, flights.height, 1000):
        assert engine.process_batch(flights[at : at + 1000]).is_empty()
        closed.append(engine.close(flights[at, "time"] - HOUR))
    closed.append(engine.close(1 << 60))
    delay = pl.col("dep_delay")
    wanted = (
        flights.group_by((pl.col("time") // HOUR * HOUR).alias("start"), "key")
        .agg(
            count=pl.len().cast(pl.Int64),
            sum=delay.sum(),
            mean=delay.sum() / pl.len(),
            min=delay.min(),
            max=delay.max(),
        )
        .sort("start", "key")
    )
    assert pl.concat(closed).select(wanted.columns).equals(wanted)
