"""The recorded flights hold what their SOURCE.md says, at the moments when it became known."""

from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.recordings import load_recording

FOLDER = Path("algorithms/flight_delay")
HOUR = 3_600_000


@pytest.fixture(scope="module")
def events() -> dict[str, pl.DataFrame]:
    return {name: frame.collect() for name, frame in load_recording(FOLDER, Path("datasets")).events.items()}


def test_counts_are_those_of_the_source(events: dict[str, pl.DataFrame]) -> None:
    assert {name: frame.height for name, frame in events.items()} == {
        "flight_scheduled": 336_776,
        "flight_departed": 328_521,
        "flight_arrived": 327_346,
        "weather_observed": 26_115,
    }
    for frame in events.values():
        assert frame["id"].n_unique() == frame.height
        assert frame["time"].is_sorted()


def test_block_times_are_those_of_the_source(events: dict[str, pl.DataFrame]) -> None:
    flights = events["flight_scheduled"]
    block = (flights["scheduled_arrival"] - flights["scheduled_departure"]) // 60_000
    assert (block.min(), block.max(), block.median()) == (50, 700, 165)
    landed = events["flight_arrived"].join(events["flight_departed"], on="trace", suffix="_departed")
    actual = (landed["time"] - landed["time_departed"]) // 60_000
    assert (actual.min(), actual.max(), actual.median()) == (33, 738, 160)


def test_a_weather_row_is_known_an_hour_after_its_label(events: dict[str, pl.DataFrame]) -> None:
    weather = events["weather_observed"]
    assert ((weather["time"] - weather["observed_at"]) == HOUR).all()


def test_a_flight_is_asked_two_hours_before_its_departure(events: dict[str, pl.DataFrame]) -> None:
    flights = events["flight_scheduled"]
    assert ((flights["scheduled_departure"] - flights["time"]) == 2 * HOUR).all()


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"flights.parquet is missing; restore it"):
        load_recording(FOLDER, tmp_path).events  # noqa: B018  it is read when it is asked for
