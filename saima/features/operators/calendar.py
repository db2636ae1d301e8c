"""Time: parts of a timestamp in a zone, ages, differences. Timestamps are of the years 1 to 9999."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from saima.features.online.vector import numbers as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.division import ratio
from saima.features.syntax import nearest
from saima.features.types import INT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call

_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _zoned(call: Call) -> Type:
    zone = call.constants["tz"]
    if not isinstance(zone, str) or zone not in available_timezones():
        near = nearest(str(zone), available_timezones())
        raise TypeFault(f"unknown time zone {zone!r}" + (f" (did you mean '{near}'?)" if near else ""))
    return INT64


def _local(call: Call, t: pl.Expr) -> pl.Expr:
    return t if call.constants["tz"] == "UTC" else t.dt.convert_time_zone(call.constants["tz"])


def _datetime(t: int, tz: str) -> datetime:
    return (_EPOCH + timedelta(milliseconds=t)).astimezone(ZoneInfo(tz))


@operator(t="timestamp", tz="constant", implicit=("t",), returns=_zoned, bits=5.0,
          lower=lambda call, t: _local(call, t).dt.hour().cast(pl.Int64))  # fmt: skip
def hour(t: int, tz: str = "UTC") -> int:
    """Hour 0 to 23 of t in a zone; without t, of request.time.

    >>> hour(0, "Asia/Shanghai")
    8
    """
    return _datetime(t, tz).hour


@operator(t="timestamp", tz="constant", implicit=("t",), returns=_zoned, bits=3.0,
          lower=lambda call, t: _local(call, t).dt.weekday().cast(pl.Int64) - 1)  # fmt: skip
def day_of_week(t: int, tz: str = "UTC") -> int:
    """Day of the week of t in a zone, Monday 0; without t, of request.time.

    >>> day_of_week(0)
    3
    """
    return _datetime(t, tz).weekday()


@operator(t="timestamp", now="timestamp", implicit=("now",), returns="float64", bits=64.0, exact=True,
          vector=kernels.age,
          lower=lambda _, t, now: ratio((now.cast(pl.Int64) - t.cast(pl.Int64)).cast(pl.Float64), 1000.0))  # fmt: skip
def age(t: int, *, now: int) -> float:
    """Seconds from t to request.time; negative if t is later.

    >>> age(1_000, now=3_500)
    2.5
    """
    return (now - t) / 1000.0


def _unit(call: Call) -> Type:
    unit = call.constants["unit"]
    if unit not in _UNITS:
        near = nearest(str(unit), _UNITS)
        hint = f" (did you mean '{near}'?)" if near else ""
        raise TypeFault(f"unknown unit {unit!r}{hint}; one of {', '.join(_UNITS)}")
    return INT64


def _whole_units(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    span = a.cast(pl.Int64) - b.cast(pl.Int64)
    unit = _UNITS[call.constants["unit"]]
    return span.sign() * (span.abs() // unit)


@operator(
    a="timestamp",
    b="timestamp",
    unit="constant",
    returns=_unit,
    bits=54.0,
    lower=_whole_units,
    exact=True,
    vector=kernels.whole_units(_UNITS),
)
def date_diff(a: int, b: int, unit: str) -> int:
    """Whole units from b to a, truncated toward zero; unit second, minute, hour or day (24 h).

    >>> date_diff(90_000, 0, "minute"), date_diff(0, 90_000, "minute")
    (1, -1)
    """
    size = _UNITS[unit]
    return (a - b) // size if a >= b else -((b - a) // size)
