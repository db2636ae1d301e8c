"""Kernels of arithmetic: int64 exact, missing where it does not fit; float64 as IEEE 754 has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.values import Vector, floats, nan_where
from saima.features.types import FLOAT64, INT64, INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.operators.base import Bound

    Array = NDArray[Any]


def _whole(call: Call) -> bool:
    return call.type == INT64 and all(arg.type == INT64 for arg in call.args)


def _floating(call: Call, function: Callable[[Any, Any], Any]) -> Bound:
    """A function of two float64 arrays, on numbers of any type."""
    if all(arg.type == FLOAT64 for arg in call.args):
        return function
    return lambda a, b: function(floats(a), floats(b))


def add(call: Call) -> Bound:
    """a + b."""
    if not _whole(call):
        return _floating(call, np.add)
    if max(call.args[0].bits, call.args[1].bits) + 1 < 63:
        return np.add

    def kernel(a: Array, b: Array) -> Vector:
        total: Array = a + b
        return Vector(total, ((a ^ total) & (b ^ total)) < 0)

    return kernel


def subtract(call: Call) -> Bound:
    """a - b."""
    if not _whole(call):
        return _floating(call, np.subtract)
    if max(call.args[0].bits, call.args[1].bits) + 1 < 63:
        return np.subtract

    def kernel(a: Array, b: Array) -> Vector:
        rest: Array = a - b
        return Vector(rest, ((a ^ b) & (a ^ rest)) < 0)

    return kernel


def multiply(call: Call) -> Bound:
    """a * b."""
    if not _whole(call):
        return _floating(call, np.multiply)
    if call.args[0].bits + call.args[1].bits < 63:
        return np.multiply

    def kernel(a: Array, b: Array) -> Array | Vector:
        product: Array = a * b
        size = np.abs(floats(a) * floats(b))
        return Vector(product, _beyond(a, b, size)) if (size >= 2.0**62).any() else product

    return kernel


def _beyond(a: Array, b: Array, size: Array) -> NDArray[np.bool_]:
    """Where a product does not fit int64; near the bound Python's integers decide."""
    beyond: NDArray[np.bool_] = size >= 2.0**64
    wide_a, wide_b = np.broadcast_arrays(a, b)
    for place in zip(*np.nonzero((size >= 2.0**62) & ~beyond), strict=True):
        beyond[place] = not INT64_MIN <= int(wide_a[place]) * int(wide_b[place]) <= INT64_MAX
    return beyond


def negate(call: Call) -> Bound:
    """-x."""
    checked = _whole(call) and call.args[0].bits >= 63
    return (lambda x: Vector(-x, x == INT64_MIN)) if checked else np.negative


def plus(_: Call) -> Bound:
    """+x."""
    return lambda x: x


def divide(call: Call) -> Bound:
    """a / b in float64, missing for b = 0."""
    if _known(call):
        return _floating(call, np.divide)
    return _floating(call, lambda a, b: a / _nonzero(b))


def _known(call: Call) -> bool:
    """Whether the divisor is a number other than 0."""
    divisor = call.args[1]
    return isinstance(divisor, Constant) and bool(divisor.value)


def _nonzero(divisor: Array) -> Array:
    found: Array = nan_where(divisor == 0, divisor)
    return found


def floor_divide(call: Call) -> Bound:
    """a // b: Python's of integers; of floats (a - a % b) / b, rounded."""
    if _whole(call):
        return _floor_divide_whole

    def kernel(a: Array, b: Array) -> Array:
        y = _nonzero(b)
        quotient: Array = np.rint((a - (a - np.floor(a / y) * y)) / y)
        return quotient

    return _floating(call, kernel)


def _floor_divide_whole(a: Array, b: Array) -> Vector:
    refused = (b == 0) | ((b == -1) & (a == INT64_MIN))
    return Vector(a // np.where(refused, 1, b), refused)


def modulo(call: Call) -> Bound:
    """a % b: Python's of integers; of floats a - floor(a / b) * b."""
    if _whole(call):
        return _modulo_whole

    def kernel(a: Array, b: Array) -> Array:
        y = _nonzero(b)
        rest: Array = a - np.floor(a / y) * y
        return rest

    return _floating(call, kernel)


def _modulo_whole(a: Array, b: Array) -> Vector:
    refused = b == 0
    return Vector(a % np.where(refused | (b == -1), 1, b), refused)
