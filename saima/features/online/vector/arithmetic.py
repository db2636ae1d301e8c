"""Kernels of arithmetic: int64 exact, missing where it does not fit; float64 as IEEE 754 has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.values import Vector, floats
from saima.features.types import INT64, INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call

    Array = NDArray[Any]


def _whole(call: Call) -> bool:
    return call.type == INT64 and all(arg.type == INT64 for arg in call.args)


def add(call: Call, a: Array, b: Array) -> Any:
    """a + b."""
    if not _whole(call):
        return floats(a) + floats(b)
    total: Array = a + b
    if max(call.args[0].bits, call.args[1].bits) + 1 < 63:
        return total
    return Vector(total, ((a ^ total) & (b ^ total)) < 0)


def subtract(call: Call, a: Array, b: Array) -> Any:
    """a - b."""
    if not _whole(call):
        return floats(a) - floats(b)
    rest: Array = a - b
    if max(call.args[0].bits, call.args[1].bits) + 1 < 63:
        return rest
    return Vector(rest, ((a ^ b) & (a ^ rest)) < 0)


def multiply(call: Call, a: Array, b: Array) -> Any:
    """a * b."""
    if not _whole(call):
        return floats(a) * floats(b)
    product: Array = a * b
    if call.args[0].bits + call.args[1].bits < 63:
        return product
    size = np.abs(floats(a) * floats(b))
    return Vector(product, _beyond(a, b, size)) if (size >= 2.0**62).any() else product


def _beyond(a: Array, b: Array, size: Array) -> NDArray[np.bool_]:
    """Where a product does not fit int64; near the bound Python's integers decide."""
    beyond: NDArray[np.bool_] = size >= 2.0**64
    wide_a, wide_b = np.broadcast_arrays(a, b)
    for place in zip(*np.nonzero((size >= 2.0**62) & ~beyond), strict=True):
        beyond[place] = not INT64_MIN <= int(wide_a[place]) * int(wide_b[place]) <= INT64_MAX
    return beyond


def negate(call: Call, x: Array) -> Array | Vector:
    """-x."""
    return Vector(-x, x == INT64_MIN) if _whole(call) and call.args[0].bits >= 63 else -x


def plus(_: Call, x: Array) -> Array:
    """+x."""
    return x


def divide(call: Call, a: Array, b: Array) -> Array:
    """a / b in float64, missing for b = 0."""
    return floats(a) / _nonzero(call, b)


def _nonzero(call: Call, b: Array) -> Array:
    divisor = floats(b)
    known = call.args[1]
    if isinstance(known, Constant) and known.value:
        return divisor
    return np.where(divisor == 0, np.nan, divisor)


def floor_divide(call: Call, a: Array, b: Array) -> Array | Vector:
    """a // b: Python's of integers; of floats (a - a % b) / b, rounded."""
    if _whole(call):
        refused = (b == 0) | ((b == -1) & (a == INT64_MIN))
        return Vector(a // np.where(refused, 1, b), refused)
    x, y = floats(a), _nonzero(call, b)
    quotient: Array = np.rint((x - (x - np.floor(x / y) * y)) / y)
    return quotient


def modulo(call: Call, a: Array, b: Array) -> Array | Vector:
    """a % b: Python's of integers; of floats a - floor(a / b) * b."""
    if _whole(call):
        refused = b == 0
        return Vector(a % np.where(refused | (b == -1), 1, b), refused)
    x, y = floats(a), _nonzero(call, b)
    rest: Array = x - np.floor(x / y) * y
    return rest
