"""Kernels of functions of numbers and times; what leaves the domain is missing."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.values import Vector, dtype_of, nan_where, some
from saima.features.types import INT64, INT64_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.operators.base import Bound, Kernel

    Array = NDArray[Any]


def unary(function: Callable[[Any], Any]) -> Kernel:
    """Kernel of a function of one array."""
    return lambda _: function


def absolute(call: Call) -> Bound:
    """Magnitude."""
    checked = call.type == INT64 and call.args[0].bits >= 63
    return (lambda x: Vector(np.abs(x), x == INT64_MIN)) if checked else np.abs


def round_half_away(_: Call) -> Bound:
    """Nearest whole number, halves away from zero."""

    def kernel(x: Array) -> Array:
        size = np.abs(x)
        whole = np.floor(size)
        return (whole + (size - whole >= 0.5)) * np.sign(x)

    return kernel


def clip(call: Call) -> Bound:
    """x, not below low and not above high."""
    wanted = dtype_of(call.type)
    mixed = any(arg.type != call.type for arg in call.args)
    known = [isinstance(arg, Constant) or call.type == INT64 for arg in call.args[1:]]

    def kernel(x: Array, low: Array, high: Array) -> Array:
        if mixed:
            x, low, high = (part.astype(wanted, copy=False) for part in (x, low, high))
        below = some(x < low)
        raised = x if below is None else np.where(below, low, x)
        above = some(raised > high)
        found = raised if above is None else np.where(above, high, raised)
        for bound, given in zip((low, high), known, strict=True):
            if not given:
                found = nan_where(np.isnan(bound), found)
        return found

    return kernel


def extreme(pick: Callable[[Any, Any], Any]) -> Kernel:
    """Kernel of `min` or `max` of several scalars."""

    def bind(call: Call) -> Bound:
        wanted = dtype_of(call.type)
        return lambda *xs: reduce(pick, (x.astype(wanted, copy=False) for x in xs))

    return bind


def smooth(_: Call) -> Bound:
    """scale * (n + a) / (d + b), missing where d + b <= 0."""

    def kernel(n: Array, d: Array, a: Array, b: Array, scale: Array | None = None) -> Array:
        below = d + b
        above = n + a if scale is None else scale * (n + a)
        found: Array = above / nan_where(below <= 0, below)
        return found

    return kernel


def zscore(_: Call) -> Bound:
    """(x - mean) / sd, missing for sd <= 0."""
    return lambda x, mean, sd: (x - mean) / nan_where(sd <= 0, sd)


def minmax(_: Call) -> Bound:
    """(x - low) / (high - low), missing for high = low."""
    return lambda x, low, high: (x - low) / nan_where(high == low, high - low)


def bucketize(call: Call) -> Bound:
    """Number of boundaries <= x."""
    bounds = np.asarray(call.constants["boundaries"], np.float64)
    return lambda x: np.searchsorted(bounds, x, side="right").astype(np.int64, copy=False)


def num_bucket(call: Call) -> Bound:
    """x when 0 <= x < n, else missing."""
    size = call.constants["n"]
    return lambda x: Vector(x, (x < 0) | (x >= size))


def age(_: Call) -> Bound:
    """Seconds from t to now."""
    return lambda t, now: (now - t).astype(np.float64) / 1000.0


def whole_units(units: dict[str, int]) -> Kernel:
    """Kernel of whole units from b to a, truncated toward zero; units: ms of each."""

    def bind(call: Call) -> Bound:
        size = units[call.constants["unit"]]

        def kernel(a: Array, b: Array) -> Any:
            span = a - b
            return np.sign(span) * (np.abs(span) // size)

        return kernel

    return bind
