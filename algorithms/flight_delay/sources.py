"""The recorded flights of 2013 as standard events, at the moments when their facts became known.

Derivations and traps: `datasets/flights/SOURCE.md`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import xxhash

HISTORY_START = 1_356_998_400_000
"""2013-01-01 00:00 UTC, before the first event. ms UTC."""

HISTORY_END = 1_364_788_800_000
"""2013-04-01 00:00 in New York: batch owns the events before it, the stream those from it on. ms UTC."""

BASELINE = ("carrier_id", "departure_hour")
"""Features whose groups' means are the naive baseline of the delay."""

LEAD = 2 * 3_600_000
"""A flight is predicted this long before its scheduled departure. ms."""

_MINUTE = 60_000
_HOUR = 3_600_000


def recorded_events(datasets: Path) -> dict[str, pl.LazyFrame]:
    """Events by topic: key, type, time (int64 ms UTC), seq, id and the topic's fields, ordered by (time, seq).

    Raises FileNotFoundError naming the missing file and how to mend it.
    """
    folder = Path(datasets) / "flights"
    for name in ("flights.parquet", "weather.parquet", "airports.parquet", "airports_missing.csv"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing; restore it with `git checkout datasets/flights`")
    flights = _flights(folder)
    return {
        "flight_scheduled": _events(flights, "flight_scheduled", pl.col("scheduled_departure") - LEAD, _SCHEDULE),
        "flight_departed": _events(
            flights.filter(pl.col("dep_delay").is_not_null()),
            "flight_departed",
            pl.col("scheduled_departure") + pl.col("dep_delay") * _MINUTE,
            ["dep_delay"],
        ),
        "flight_arrived": _events(
            flights.filter(pl.col("arr_delay").is_not_null()),
            "flight_arrived",
            pl.col("scheduled_arrival") + pl.col("arr_delay") * _MINUTE,
            ["arr_delay"],
        ),
        "weather_observed": _weather(folder),
    }


_SCHEDULE = ["scheduled_departure", "scheduled_arrival", "distance"]
_FLIGHT = ["trace", "carrier", "flight", "tailnum", "origin", "dest"]
_WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def _events(flights: pl.DataFrame, topic: str, time: pl.Expr, fields: list[str]) -> pl.LazyFrame:
    return (
        flights.lazy()
        .select(
            key=pl.col("trace"),
            type=pl.lit(topic),
            time=time,
            seq=pl.col("seq"),
            id=pl.concat_str(pl.lit(f"{topic}:"), pl.col("trace")),
            **{name: pl.col(name) for name in [*_FLIGHT, *fields]},
        )
        .sort("time", "seq")
    )


def _flights(folder: Path) -> pl.DataFrame:
    airports = pl.concat(
        [
            pl.read_parquet(folder / "airports.parquet").select("faa", "tzone"),
            pl.read_csv(folder / "airports_missing.csv").select("faa", "tzone"),
        ]
    )
    flights = (
        pl.read_parquet(folder / "flights.parquet")
        .with_row_index("seq")
        .join(airports, left_on="dest", right_on="faa", how="left", maintain_order="left")
        .with_columns(
            seq=pl.col("seq").cast(pl.Int64),
            scheduled_departure=pl.col("time_hour").dt.epoch("ms") + pl.col("minute").cast(pl.Int64) * _MINUTE,
            dep_delay=pl.col("dep_delay").cast(pl.Int64),
            arr_delay=pl.col("arr_delay").cast(pl.Int64),
            flight=pl.col("flight").cast(pl.Int64),
            distance=pl.col("distance").cast(pl.Float32),
        )
    )
    zones = [_scheduled_arrival(group, str(zone)) for (zone,), group in flights.group_by("tzone", maintain_order=True)]
    identity = pl.concat_str("year", "month", "day", "carrier", "flight", "origin", separator="|")
    rows = pl.concat(zones).sort("seq")
    names = rows.select(identity).to_series()
    return rows.with_columns(trace=pl.Series([xxhash.xxh3_128_hexdigest(name.encode()) for name in names]))


def _scheduled_arrival(group: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Adds `scheduled_arrival` (ms UTC): the destination's clock on the local day of departure, or on the next."""
    clock = pl.col("sched_arr_time").cast(pl.Int64)

    def on(days: int) -> pl.Expr:
        naive = pl.date("year", "month", "day").cast(pl.Datetime("ms")) + pl.duration(
            days=days, hours=clock // 100, minutes=clock % 100
        )
        local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return local.dt.convert_time_zone("UTC").dt.epoch("ms")

    same_day = on(0)
    return group.with_columns(
        scheduled_arrival=pl.when(same_day > pl.col("scheduled_departure")).then(same_day).otherwise(on(1))
    )


def _weather(folder: Path) -> pl.LazyFrame:
    label = pl.col("time_hour").dt.epoch("ms")
    return (
        pl.scan_parquet(folder / "weather.parquet")
        .with_row_index("seq")
        .select(
            key=pl.col("origin"),
            type=pl.lit("weather_observed"),
            time=label + _HOUR,
            seq=pl.col("seq").cast(pl.Int64),
            id=pl.concat_str(pl.lit("weather_observed:"), pl.col("origin"), pl.lit(":"), label.cast(pl.String)),
            origin=pl.col("origin"),
            observed_at=label,
            **{name: pl.col(name).cast(pl.Float64) for name in _WEATHER},
        )
        .sort("time", "seq")
    )
