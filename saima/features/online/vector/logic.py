"""Kernels of comparisons, Kleene logic, conditionals, missing values and casts between numbers."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.values import Vector, cast_to, dtype_of, either, floats, missing_of, nan_where, some
from saima.features.types import FLOAT64, INT64

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from saima.features.nodes import Call, Node
    from saima.features.operators.base import Bound, Kernel

    Array = NDArray[Any]

_TWO_63 = 2.0**63


def comparison(compare: Callable[[Any, Any], Any]) -> Kernel:
    """Kernel of a comparison; numbers of two types compare as float64."""

    def bind(call: Call) -> Bound:
        kinds = [arg.type for arg in call.args]
        if not any(kind.is_float for kind in kinds) or all(kind == FLOAT64 for kind in kinds):
            return compare
        return lambda a, b: compare(floats(a), floats(b))

    return bind


def _where(missing: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.array(False) if missing is None else missing


def and_(_: Call) -> Bound:
    """Kleene and: false wins over missing."""
    return lambda *sides: reduce(_both, sides)


def _both(a: Vector, b: Vector) -> Vector:
    if a.missing is None and b.missing is None:
        return Vector(a.values & b.values)
    x, y = _where(a.missing), _where(b.missing)
    false = (~a.values & ~x) | (~b.values & ~y)
    return Vector(~false, (x | y) & ~false)


def or_(_: Call) -> Bound:
    """Kleene or: true wins over missing."""
    return lambda *sides: reduce(_any, sides)


def _any(a: Vector, b: Vector) -> Vector:
    if a.missing is None and b.missing is None:
        return Vector(a.values | b.values)
    x, y = _where(a.missing), _where(b.missing)
    true = (a.values & ~x) | (b.values & ~y)
    return Vector(true, (x | y) & ~true)


def not_(_: Call) -> Bound:
    """not x."""
    return np.logical_not


def choose(call: Call) -> Bound:
    """`then if test else otherwise`."""
    dtype = call.type
    if _is(call.args[1], "1") and _is(call.args[2], "0"):
        wanted = dtype_of(dtype)

        def flag(test: Vector, *_: Vector) -> Vector:
            values = test.values.astype(wanted)
            return Vector(nan_where(test.missing, values)) if dtype.is_float else Vector(values, test.missing)

        return flag
    return lambda test, then, otherwise: _pick(
        test.values, cast_to(then, dtype), cast_to(otherwise, dtype), test.missing
    )


def _is(node: Node, digit: str) -> bool:
    """Whether a node is a number of one digit; -0.0 is none."""
    return isinstance(node, Constant) and node.type.is_number and str(node.value) in (digit, f"{digit}.0")


def coalesce(call: Call) -> Bound:
    """x, or d where x is missing."""

    def kernel(x: Vector, d: Vector) -> Vector:
        missing = missing_of(x)
        first = cast_to(x, call.type)
        return first if missing is None else _pick(missing, cast_to(d, call.type), first, None)

    return kernel


def _pick(test: Array, a: Vector, b: Vector, missing: NDArray[np.bool_] | None) -> Vector:
    values = np.where(test, a.values, b.values)
    if values.dtype.kind == "f":
        return Vector(nan_where(missing, values))
    if a.missing is not None or b.missing is not None:
        missing = either(np.where(test, _where(a.missing), _where(b.missing)), missing)
    return Vector(values, missing)


def is_null(_: Call) -> Bound:
    """Whether x is missing."""

    def kernel(x: Vector) -> Vector:
        missing = missing_of(x)
        return Vector(np.zeros(x.values.shape, np.bool_) if missing is None else missing)

    return kernel


def cast(call: Call) -> Bound:
    """x as another number, bool or timestamp; what does not fit is missing."""
    source, target = call.args[0].type, call.type
    if source.name == "null":
        return lambda x: Vector(np.zeros(x.shape, dtype_of(target)), np.ones(x.shape, np.bool_))
    if target.name == "bool" and source.name != "bool":
        return lambda x: Vector(x == 1, (x != 0) & (x != 1))
    if target.is_float:
        if target.name == "float32" and source.name == "float64":
            return _narrowed
        return lambda x: x.astype(dtype_of(target))
    if source.is_float:
        return _truncated
    return (lambda x: x.astype(dtype_of(INT64))) if target.name != "bool" else (lambda x: x)


def _truncated(x: Array) -> Vector:
    whole = np.trunc(x)
    fits = (whole >= -_TWO_63) & (whole < _TWO_63)
    return Vector(np.where(fits, whole, 0.0).astype(np.int64), ~fits)


def _narrowed(x: Array) -> Array:
    narrow = x.astype(np.float32)
    beyond = some(np.isinf(narrow))
    return narrow if beyond is None else nan_where(beyond & ~np.isinf(x), narrow)
