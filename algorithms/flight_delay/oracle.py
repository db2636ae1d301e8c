"""The features of chosen flights by a naive program: plain loops over the raw files, sharing nothing with the engine.

`make demo` and the tests hold the values that were served against it: a fact used before it was known, or a window
that is off by one, shows here and nowhere else. The two hash buckets are left to the conformance cases of FarmHash.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import xxhash

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_NEW_YORK = ZoneInfo("America/New_York")
_FOLDER = Path(__file__).parent
_BUCKETS = [250, 500, 750, 1000, 1500, 2000, 2500]
_WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
_WINDOWS = {"1h": (_HOUR, 5 * _MINUTE), "6h": (6 * _HOUR, 5 * _MINUTE), "24h": (_DAY, _HOUR)}
_GROUPS = {
    "dep_origin": ("departed", ("origin",)),
    "dep_carrier": ("departed", ("carrier",)),
    "dep_route": ("departed", ("origin", "carrier")),
    "dep_dest": ("departed", ("dest",)),
    "arr_carrier": ("arrived", ("carrier",)),
    "arr_dest": ("arrived", ("dest",)),
}
Row = dict[str, Any]


def expected(datasets: Path, traces: Iterable[str]) -> dict[str, dict[str, float | int | None]]:
    """Feature values by trace, then by feature name; float32 features are rounded to float32."""
    wanted = set(traces)
    folder = Path(datasets) / "flights"
    flights = list(_flights(folder, wanted))
    weather = pl.read_parquet(folder / "weather.parquet").to_dicts()
    return {
        row["trace"]: _features(row, [other for other in flights if _near(other, row)], weather)
        for row in flights
        if row["trace"] in wanted
    }


def _near(other: Row, flight: Row) -> bool:
    """Whether a flight can matter to another: it was scheduled within five days before it, or a day after."""
    return bool(-5 * _DAY <= other["departure"] - flight["departure"] <= _DAY)


def _flights(folder: Path, wanted: set[str]) -> Iterator[Row]:
    """Flights from six days before the first wanted one to two days after the last, with their times in ms UTC."""
    rows = pl.read_parquet(folder / "flights.parquet").to_dicts()
    for row in rows:
        row["trace"] = xxhash.xxh3_128_hexdigest(
            "|".join(str(row[name]) for name in ("year", "month", "day", "carrier", "flight", "origin")).encode()
        )
    hours = [row["time_hour"] for row in rows if row["trace"] in wanted]
    if not hours:
        return
    first, last = min(hours) - timedelta(days=6), max(hours) + timedelta(days=2)
    airports = pl.concat([pl.read_parquet(folder / "airports.parquet"), _missing(folder)], how="diagonal_relaxed")
    zones = {row["faa"]: ZoneInfo(row["tzone"]) for row in airports.to_dicts() if row["tzone"]}
    for row in rows:
        if not first <= row["time_hour"] <= last:
            continue
        departure = int(row["time_hour"].timestamp()) * 1000 + row["minute"] * _MINUTE
        arrival = _arrival(row, departure, zones[row["dest"]])
        departed, arrived = row["dep_delay"], row["arr_delay"]
        yield row | {
            "departure": departure,
            "arrival": arrival,
            "departed": None if departed is None else departure + departed * _MINUTE,
            "arrived": None if arrived is None else arrival + arrived * _MINUTE,
        }


def _missing(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "airports_missing.csv")


def _arrival(row: Row, departure: int, zone: ZoneInfo) -> int:
    hours, minutes = divmod(row["sched_arr_time"], 100)
    naive = datetime(row["year"], row["month"], row["day"]) + timedelta(hours=hours, minutes=minutes)
    same_day = int(naive.replace(tzinfo=zone).timestamp()) * 1000
    if same_day > departure:
        return same_day
    return int((naive + timedelta(days=1)).replace(tzinfo=zone).timestamp()) * 1000


def _features(flight: Row, flights: list[Row], weather: list[Row]) -> dict[str, float | int | None]:
    q = flight["departure"] - 2 * _HOUR
    block = (flight["arrival"] - flight["departure"]) // _MINUTE
    local = datetime.fromtimestamp(flight["departure"] / 1000, _NEW_YORK)
    values: dict[str, float | int | None] = {
        "departure_hour": local.hour,
        "departure_weekday": local.weekday(),
        "departure_minute_of_day": local.hour * 60 + local.minute,
        "is_weekend": int(local.weekday() >= 5),
        "carrier_id": _term("carrier", flight["carrier"]),
        "origin_id": _term("origin", flight["origin"]),
        "dest_id": _term("dest", flight["dest"]),
        "distance_miles": _float32(flight["distance"]),
        "distance_bin": sum(bound <= flight["distance"] for bound in _BUCKETS),
        "block_minutes": block,
        "block_speed": _float32(flight["distance"] / block),
    }
    values |= _weather_values(flight, weather, q) | _aircraft_values(flight, flights, q)
    means: dict[str, float | None] = {}
    for group, (moment, fields) in _GROUPS.items():
        for window, (length, hop) in _WINDOWS.items():
            start = (q - length) // hop * hop
            delays = [
                other["dep_delay" if moment == "departed" else "arr_delay"]
                for other in flights
                if other[moment] is not None
                and start <= other[moment] < q
                and all(other[name] == flight[name] for name in fields)
            ]
            mean = sum(delays) / len(delays) if delays else None
            means[f"{group}_{window}"] = mean
            values[f"{group}_count_{window}"] = len(delays)
            values[f"{group}_mean_{window}"] = _float32(mean)
            values[f"{group}_max_{window}"] = _float32(max(delays)) if delays else None
    return values | _composed(values, means)


def _weather_values(flight: Row, weather: list[Row], q: int) -> dict[str, float | int | None]:
    newest: Row | None = None
    label = -1
    for row in weather:
        time = int(row["time_hour"].timestamp()) * 1000
        known = row["origin"] == flight["origin"] and time + _HOUR <= q and time >= q - 4 * _HOUR
        if known and time > label:
            newest, label = row, time
    if newest is None:
        return {f"weather_{name}": 0.0 if name == "wind_gust" else None for name in [*_WEATHER, "age"]} | {
            "wind_component": None
        }
    values: dict[str, float | int | None] = {f"weather_{name}": _float32(newest[name]) for name in _WEATHER}
    values["weather_wind_gust"] = _float32(newest["wind_gust"] or 0.0)
    values["weather_age"] = _float32((q - label) / 1000)
    wind = newest["wind_speed"] if newest["wind_gust"] is None else newest["wind_gust"]
    values["wind_component"] = None if wind is None else _float32(math.log1p(wind))
    return values


def _aircraft_values(flight: Row, flights: list[Row], q: int) -> dict[str, float | int | None]:
    def newest(moment: str) -> Row | None:
        found = None
        for other in flights:
            time = other[moment]
            if flight["tailnum"] is None or other["tailnum"] != flight["tailnum"] or time is None:
                continue
            if q - 2 * _DAY <= time <= q and (found is None or time >= found[moment]):
                found = other
        return found

    leg, departure = newest("arrived"), newest("departed")
    leg_age = None if leg is None else (q - leg["arrived"]) / 1000
    departure_age = None if departure is None else (q - departure["departed"]) / 1000
    return {
        "last_leg_delay": None if leg is None else _float32(leg["arr_delay"]),
        "last_leg_age": _float32(leg_age),
        "last_departure_delay": None if departure is None else _float32(departure["dep_delay"]),
        "last_departure_age": _float32(departure_age),
        "aircraft_airborne": int(departure_age is not None and (leg_age is None or departure_age < leg_age)),
    }


def _composed(values: dict[str, float | int | None], means: dict[str, float | None]) -> dict[str, float | int | None]:
    hour, six = means["dep_origin_1h"], means["dep_origin_6h"]
    route, count = means["dep_route_1h"], values["dep_route_count_1h"]
    return {
        "route_congestion": 0.0 if route is None or count is None else _float32(route * count / (count + 5.0)),
        "origin_trend": None if hour is None or six is None else _float32(hour - six),
    }


def _term(vocabulary: str, text: str) -> int:
    terms = (_FOLDER / "vocabularies" / f"{vocabulary}.txt").read_text().split()
    return terms.index(text) + 1 if text in terms else 0


def _float32(value: float | None) -> float | None:
    if value is None:
        return None
    result: float = struct.unpack("f", struct.pack("f", value))[0]
    return result
