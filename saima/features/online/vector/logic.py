"""Kernels of comparisons, Kleene logic, conditionals, missing values and casts between numbers."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.online.vector.values import Vector, cast_to, dtype_of, floats, missing_of
from saima.features.types import INT64

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.operators.base import Kernel

    Array = NDArray[Any]

_TWO_63 = 2.0**63


def comparison(compare: Callable[[Any, Any], Any]) -> Kernel:
    """Kernel of a comparison; numbers of two types compare as float64."""

    def kernel(call: Call, a: Array, b: Array) -> Array:
        if any(arg.type.is_float for arg in call.args):
            a, b = floats(a), floats(b)
        result: Array = compare(a, b)
        return result

    return kernel


def _where(missing: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.array(False) if missing is None else missing


def and_(_: Call, *sides: Vector) -> Vector:
    """Kleene and: false wins over missing."""
    return reduce(_both, sides)


def _both(a: Vector, b: Vector) -> Vector:
    if a.missing is None and b.missing is None:
        return Vector(a.values & b.values)
    x, y = _where(a.missing), _where(b.missing)
    false = (~a.values & ~x) | (~b.values & ~y)
    return Vector(~false, (x | y) & ~false)


def or_(_: Call, *sides: Vector) -> Vector:
    """Kleene or: true wins over missing."""
    return reduce(_any, sides)


def _any(a: Vector, b: Vector) -> Vector:
    if a.missing is None and b.missing is None:
        return Vector(a.values | b.values)
    x, y = _where(a.missing), _where(b.missing)
    true = (a.values & ~x) | (b.values & ~y)
    return Vector(true, (x | y) & ~true)


def not_(_: Call, x: Array) -> Array:
    """not x."""
    return ~x


def choose(call: Call, test: Vector, then: Vector, otherwise: Vector) -> Vector:
    """`then if test else otherwise`."""
    return _pick(test.values, cast_to(then, call.type), cast_to(otherwise, call.type), test.missing)


def coalesce(call: Call, x: Vector, d: Vector) -> Vector:
    """x, or d where x is missing."""
    missing = missing_of(x)
    first = cast_to(x, call.type)
    return first if missing is None else _pick(missing, cast_to(d, call.type), first, None)


def _pick(test: Array, a: Vector, b: Vector, missing: NDArray[np.bool_] | None) -> Vector:
    values = np.where(test, a.values, b.values)
    if values.dtype.kind == "f":
        return Vector(values if missing is None else np.where(missing, values.dtype.type(np.nan), values))
    if a.missing is not None or b.missing is not None:
        chosen = np.where(test, _where(a.missing), _where(b.missing))
        missing = chosen if missing is None else chosen | missing
    return Vector(values, missing)


def is_null(_: Call, x: Vector) -> Vector:
    """Whether x is missing."""
    missing = missing_of(x)
    return Vector(np.zeros(x.values.shape, np.bool_) if missing is None else missing)


def cast(call: Call, x: Array) -> Array | Vector:
    """x as another number, bool or timestamp; what does not fit is missing."""
    source, target = call.args[0].type, call.type
    if source.name == "null":
        return Vector(np.zeros(x.shape, dtype_of(target)), np.ones(x.shape, np.bool_))
    if target.name == "bool" and source.name != "bool":
        return Vector(x == 1, (x != 0) & (x != 1))
    if target.is_float:
        return _narrowed(x) if target.name == "float32" and source.name == "float64" else x.astype(dtype_of(target))
    if source.is_float:
        whole = np.trunc(x)
        fits = (whole >= -_TWO_63) & (whole < _TWO_63)
        return Vector(np.where(fits, whole, 0.0).astype(np.int64), ~fits)
    return x.astype(dtype_of(INT64)) if target.name != "bool" else x


def _narrowed(x: Array) -> Array:
    narrow = x.astype(np.float32)
    beyond = np.isinf(narrow)
    return np.where(beyond & ~np.isinf(x), np.float32(np.nan), narrow) if beyond.any() else narrow
