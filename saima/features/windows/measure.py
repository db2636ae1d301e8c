"""Measures: which components each needs, what it is over no events, and its value from merged components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.errors import SaimaError
from saima.features.types.decimals import decimal_text
from saima.features.windows.component import Component
from saima.features.windows.definition import Group, percent
from saima.features.windows.lists import Greatest, Newest, Oldest, Tally
from saima.features.windows.sketches import Buckets, Registers, distinct, precision_of, quantile, resolution_of
from saima.features.windows.totals import Count, Extreme, FloatSum, IntSum, Moments, Squares

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


class WindowOverflow(SaimaError, OverflowError):
    """A total of int64 values that does not fit int64."""


def components(group: Group) -> dict[str, Component]:
    """The components that a group's measures need, by name, in packed order."""
    measures = group.measures
    code = "d" if group.is_float else "q"
    result: dict[str, Component] = {"count": Count()}
    if measures & {"sum", "mean"} or ("variance" in measures and not group.is_float):
        result["sum"] = FloatSum() if group.is_float else IntSum()
    if "min" in measures:
        result["min"] = Extreme(code, min)
    if "max" in measures:
        result["max"] = Extreme(code, max)
    if "variance" in measures:
        result["squares"] = Moments() if group.is_float else Squares()
    if measures & {"first", "first_k"}:
        result["oldest"] = Oldest(group.k if "first_k" in measures else 1)
    if measures & {"last", "last_k"}:
        result["newest"] = Newest(group.k if "last_k" in measures else 1)
    if "top_k" in measures:
        result["greatest"] = Greatest(group.k)
    if measures & {"distinct", "histogram"}:
        result["tally"] = Tally()
    if group.error is not None:
        if "approx_distinct" in measures:
            result["registers"] = Registers(precision_of(group.error))
        if any(percent(measure) is not None for measure in measures):
            result["buckets"] = Buckets(resolution_of(group.error))
    return result


def empty(measure: str) -> Any:
    """What a measure is over no events.

    >>> empty("count"), empty("last_k"), empty("mean")
    (0, [], None)
    """
    if measure in ("count", "distinct", "approx_distinct"):
        return 0
    if measure in ("first_k", "last_k", "top_k"):
        return []
    return {} if measure == "histogram" else None


def fit(total: int) -> int:
    """The total itself, if int64 holds it; else WindowOverflow."""
    if not INT64_MIN <= total <= INT64_MAX:
        raise WindowOverflow(f"the sum {total} does not fit int64; declare a narrower window")
    return total


def result(measure: str, parts: Mapping[str, Any], k: int, group: Group) -> Any:
    """A measure from the merged components of a window that holds at least one event.

    Sums, extremes and lists of decimals are digits; mean, variance and quantiles are in units. Raises WindowOverflow
    where an int64 sum does not fit.
    """
    value = _result(measure, parts, k, group)
    if group.dtype != "bool":
        return value
    if measure in ("first", "last", "min", "max"):
        return bool(value)  # a state keeps them as 0 and 1
    return [bool(each) for each in value] if isinstance(value, list) else value


def _result(measure: str, parts: Mapping[str, Any], k: int, group: Group) -> Any:
    match measure:
        case "count":
            return parts["count"]
        case "sum":
            return fit(parts["sum"]) if isinstance(parts["sum"], int) else parts["sum"]
        case "mean":
            return float(parts["sum"]) / (parts["count"] * group.units)
        case "variance":
            return variance(parts, group.units)
        case "min" | "max":
            return parts[measure]
        case "first":
            return parts["oldest"][0][2]
        case "last":
            return parts["newest"][0][2]
        case "first_k":
            return [row[2] for row in parts["oldest"][:k]]
        case "last_k":
            return [row[2] for row in parts["newest"][:k]]
        case "top_k":
            return parts["greatest"][:k]
        case "distinct":
            return len(parts["tally"])
        case "histogram":
            return histogram(parts["tally"], group)
        case "approx_distinct":
            assert group.error is not None
            return distinct(parts["registers"], precision_of(group.error))
    asked = percent(measure)
    assert asked is not None
    assert group.error is not None
    return quantile(parts["buckets"], asked, resolution_of(group.error)) / group.units


def variance(parts: Mapping[str, Any], units: int) -> float:
    """Population variance: of floats from moments, of whole numbers from exact sums."""
    if isinstance(parts["squares"], list):
        n, _, spread = parts["squares"]
        return float(spread / n)
    n, total, squares = parts["count"], parts["sum"], parts["squares"]
    return float((n * squares - total * total) / (n * units) ** 2)


def histogram(tally: Mapping[Any, int], group: Group) -> dict[str, int]:
    """Counts by the text of the value, in the values' order; a decimal has its point, a bool is true or false."""
    if group.dtype == "bool":
        return {str(bool(value)).lower(): tally[value] for value in sorted(tally)}
    if group.digits:
        return {decimal_text(value, group.digits): tally[value] for value in sorted(tally)}
    return {str(value): tally[value] for value in sorted(tally)}
