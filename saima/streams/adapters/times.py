"""The time of a record in ms UTC."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from saima.features.operators.conversion import cast_value
from saima.features.record import Moment
from saima.features.types import FLOAT64, INT64
from saima.streams.adapters.refusals import Refusal, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_PER_MS = {"us": 1_000, "ns": 1_000_000}


def time_reader(moment: Moment, *, text: bool = False) -> Callable[[Any], int]:
    """Reads values of a declared time; raises Refusal for what is no time. Parts of a millisecond are cut.

    text: numbers come as texts.
    """
    if moment.unit == "iso":
        zone = ZoneInfo(moment.zone) if moment.zone else None
        return lambda value: _iso(value, zone, moment.path)
    if text:
        return lambda value: _number(_numeric(value), moment.unit, moment.path)
    return lambda value: _number(value, moment.unit, moment.path)


def _numeric(value: Any) -> Any:
    """The number of a text, whole where it can be; what is none stays as it is."""
    whole = cast_value(value, INT64)
    number = cast_value(value, FLOAT64) if whole is None else whole
    return value if number is None else number


def _number(value: Any, unit: str, path: str) -> int:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or (isinstance(value, float) and unit != "s" and not value.is_integer()):
        raise Refusal("wrong_time", f"'{path}' is {shown(value)}, not a number of {unit}")
    if unit == "s":
        return value * 1000 if isinstance(value, int) else math.floor(round(value * 1_000_000) / 1000)
    return int(value) // _PER_MS.get(unit, 1)


def _iso(value: Any, zone: tzinfo | None, path: str) -> int:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refusal("wrong_time", f"'{path}' is {shown(value)}, not an ISO 8601 time") from None
    if found.tzinfo is None:
        if zone is None:
            raise Refusal("wrong_time", f"'{path}' is {shown(value)}, without a zone, and none is declared")
        found = found.replace(tzinfo=zone)
    try:
        return (found - _EPOCH) // _MS
    except OverflowError:
        raise Refusal("wrong_time", f"'{path}' is {shown(value)}, beyond the calendar") from None
