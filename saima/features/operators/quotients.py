"""Quotients and remainders: `/ // %` and `mod`; null for a divisor of 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.nodes import Constant
from saima.features.online.vector import arithmetic as kernels
from saima.features.operators.arithmetic import Number, as_float, fits, floats, int_or_none, is_whole, numeric
from saima.features.operators.base import operator
from saima.features.operators.division import ratio
from saima.features.types import FLOAT64, INT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call


def _quotient(call: Call) -> Type:
    return INT64 if is_whole(call) else FLOAT64


def _whole_divisor(call: Call) -> bool:
    return call.args[1].type == INT64 or _from_int(call.args[1])


def _from_int(node: Any) -> bool:
    return (
        getattr(node, "operator", None) is not None
        and node.operator.name in ("cast", "as")
        and node.args[0].type == INT64
    )


def _divide_bits(call: Call) -> float:
    divisor = call.args[1]
    if isinstance(divisor, Constant) and divisor.value:
        return call.args[0].bits - min(0.0, math.log2(abs(divisor.value)))
    return call.args[0].bits if _whole_divisor(call) else math.inf


def _nonzero(call: Call, divisor: pl.Expr) -> pl.Expr:
    known = call.args[1]
    if isinstance(known, Constant):
        return divisor if known.value else pl.lit(None, dtype=known.type.polars)
    return pl.when(divisor != 0).then(divisor)


@operator(
    name="/", a="number", b="number", decimals="float", counted="nulls",
    returns="float64", hidden=True, bits=_divide_bits,
    lower=lambda call, a, b: ratio(as_float(call, 0, a), as_float(call, 1, _nonzero(call, b))), exact=True,
    vector=kernels.divide,
)  # fmt: skip
def divide(a: Number, b: Number) -> float | None:
    """a / b in float64; null for b = 0.

    >>> divide(7, 2), divide(1, 0)
    (3.5, None)
    """
    return float(a) / float(b) if b else None


def _floor_lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    if not is_whole(call):
        x, y = floats(call, (a, _nonzero(call, b)))
        return ratio(x - _modulo(x, y), y).round(0, mode="half_to_even")
    if isinstance(call.args[1], Constant) and call.args[1].value not in (0, -1):
        return a // b
    divisor = _nonzero(call, b)
    return (a.cast(pl.Int128) // divisor.cast(pl.Int128)).cast(pl.Int64, strict=False)


def _modulo(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    return x - ratio(x, y).floor() * y


@operator(
    name="//", a="number", b="number", decimals="align", counted="nulls", returns=_quotient, hidden=True,
    bits=lambda call: fits(call, _divide_bits(call) if not is_whole(call) else call.args[0].bits),
    lower=_floor_lower, exact=True, vector=kernels.floor_divide,
)  # fmt: skip
def floor_divide(a: Number, b: Number) -> Number | None:
    """Python's floor division; null for b = 0. Of floats: (a - a % b) / b, rounded.

    >>> floor_divide(-7, 2), floor_divide(7.5, 2.0)
    (-4, 3.0)
    """
    if isinstance(a, int) and isinstance(b, int):
        return int_or_none(a // b)
    x, y = float(a), float(b)
    rest = mod(x, y)
    return float(round((x - rest) / y)) if rest is not None and math.isfinite((x - rest) / y) else None


def _mod_lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    divisor = _nonzero(call, b)
    if is_whole(call):
        if isinstance(call.args[1], Constant) and call.args[1].value not in (0, -1):
            return a % b
        return (a.cast(pl.Int128) % divisor.cast(pl.Int128)).cast(pl.Int64, strict=False)
    return _modulo(*floats(call, (a, divisor)))


@operator(name="%", a="number", b="number", decimals="align", counted="nulls",
          returns=numeric, hidden=True, lower=_mod_lower,
          bits=lambda call: fits(call, call.args[1].bits if is_whole(call) else math.inf), exact=True,
          vector=kernels.modulo)  # fmt: skip
def modulo(a: Number, b: Number) -> Number | None:
    """Python's remainder: sign of the divisor; null for b = 0. Of floats: a - floor(a / b) * b.

    >>> modulo(-7, 3), modulo(7.5, 2.0)
    (2, 1.5)
    """
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    x, y = float(a), float(b)
    quotient = x / y
    return x - float(math.floor(quotient)) * y if math.isfinite(quotient) else None


@operator(a="number", b="number", returns=numeric, decimals="align", counted="nulls", lower=_mod_lower,
          bits=lambda call: fits(call, call.args[1].bits if is_whole(call) else math.inf), exact=True,
          vector=kernels.modulo)  # fmt: skip
def mod(a: Number, b: Number) -> Number | None:
    """The operator `%`.

    >>> mod(7, -3)
    -2
    """
    result: Number | None = modulo(a, b)
    return result
