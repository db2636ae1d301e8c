"""Kernels of functions of numbers and times; what leaves the domain is missing."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.values import Vector, dtype_of
from saima.features.types import INT64, INT64_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.operators.base import Kernel

    Array = NDArray[Any]


def unary(function: Callable[[Any], Any]) -> Kernel:
    """Kernel of a function of one array."""

    def kernel(_: Call, x: Array) -> Array:
        result: Array = function(x)
        return result

    return kernel


def absolute(call: Call, x: Array) -> Array | Vector:
    """Magnitude."""
    checked = call.type == INT64 and call.args[0].bits >= 63
    return Vector(np.abs(x), x == INT64_MIN) if checked else np.abs(x)


def round_half_away(_: Call, x: Array) -> Array:
    """Nearest whole number, halves away from zero."""
    size = np.abs(x)
    whole = np.floor(size)
    return (whole + (size - whole >= 0.5)) * np.sign(x)


def clip(call: Call, x: Array, low: Array, high: Array) -> Array:
    """x, not below low and not above high."""
    wanted = dtype_of(call.type)
    x, low, high = (part.astype(wanted, copy=False) for part in (x, low, high))
    raised = np.where(x < low, low, x)
    found = np.where(raised > high, high, raised)
    if call.type == INT64:
        return found
    for bound, arg in ((low, call.args[1]), (high, call.args[2])):
        if not isinstance(arg, Constant):
            found = np.where(np.isnan(bound), np.nan, found)
    return found


def extreme(pick: Callable[[Any, Any], Any]) -> Kernel:
    """Kernel of `min` or `max` of several scalars."""

    def kernel(call: Call, *xs: Array) -> Array:
        wanted = dtype_of(call.type)
        return reduce(pick, (x.astype(wanted, copy=False) for x in xs))

    return kernel


def smooth(_: Call, n: Array, d: Array, a: Array, b: Array, scale: Array | None = None) -> Array:
    """scale * (n + a) / (d + b), missing where d + b <= 0."""
    below = d + b
    above = n + a if scale is None else scale * (n + a)
    return above / np.where(below > 0, below, np.nan)


def zscore(_: Call, x: Array, mean: Array, sd: Array) -> Array:
    """(x - mean) / sd, missing for sd <= 0."""
    return (x - mean) / np.where(sd > 0, sd, np.nan)


def minmax(_: Call, x: Array, low: Array, high: Array) -> Array:
    """(x - low) / (high - low), missing for high = low."""
    return (x - low) / np.where(high != low, high - low, np.nan)


def bucketize(call: Call, x: Array) -> Array:
    """Number of boundaries <= x."""
    bounds = np.asarray(call.constants["boundaries"], np.float64)
    return np.searchsorted(bounds, x, side="right").astype(np.int64, copy=False)


def num_bucket(call: Call, x: Array) -> Vector:
    """x when 0 <= x < n, else missing."""
    return Vector(x, (x < 0) | (x >= call.constants["n"]))


def age(_: Call, t: Array, now: Array) -> Array:
    """Seconds from t to now."""
    seconds: Array = (now - t).astype(np.float64) / 1000.0
    return seconds


def whole_units(a: Array, b: Array, unit: int) -> Any:
    """Whole units of so many ms from b to a, truncated toward zero."""
    span = a - b
    return np.sign(span) * (np.abs(span) // unit)
