"""Powers: `**` and `pow`; int64 for a constant whole exponent, what does not fit is null."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from saima.features.nodes import Constant
from saima.features.operators.arithmetic import as_float, exactly, int_or_none
from saima.features.operators.base import operator
from saima.features.types import FLOAT64, INT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call

Number = int | float


def _power_type(call: Call) -> Type:
    exponent = call.args[1]
    whole = isinstance(exponent, Constant) and isinstance(exponent.value, int) and 0 <= exponent.value <= 64
    return INT64 if all(arg.type.is_whole for arg in call.args) and whole else FLOAT64


def _power_bits(call: Call) -> float:
    exponent = call.args[1]
    if isinstance(exponent, Constant) and isinstance(exponent.value, int | float) and exponent.value >= 0:
        bits = call.args[0].bits * exponent.value
        return min(bits, 63.0) if _power_type(call) == INT64 else bits
    return math.inf


def _power_lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    exponent = call.args[1]
    if isinstance(exponent, Constant) and exponent.value == 2:
        return (
            exactly(call, call.args[0].bits * 2, lambda x, y: x * y, a, a)
            if call.type == INT64
            else (as_float(call, 0, a) * as_float(call, 0, a))
        )
    if call.type == INT64 and isinstance(exponent, Constant):
        return _whole_power(a, int(exponent.value))
    return as_float(call, 0, a).pow(as_float(call, 1, b))


def _whole_power(a: pl.Expr, exponent: int) -> pl.Expr:
    """Repeated exact multiplication, null from the first product that does not fit."""
    if exponent == 0:
        return pl.when(a.is_not_null()).then(pl.lit(1, dtype=pl.Int64))
    result = a
    for _ in range(exponent - 1):
        result = (result.cast(pl.Int128) * a.cast(pl.Int128)).cast(pl.Int64, strict=False)
    return result


def _power(a: Number, b: Number) -> Number | None:
    if isinstance(a, int) and isinstance(b, int) and 0 <= b <= 64:
        return int_or_none(a**b)
    x, y = float(a), float(b)
    return x * x if y == 2 else math.pow(x, y)


@operator(
    name="**",
    a="number",
    b="number",
    decimals="float",
    counted="nulls",
    returns=_power_type,
    hidden=True,
    bits=_power_bits,
    lower=_power_lower,
)
def power(a: Number, b: Number) -> Number | None:
    """a to the power b; int64 for a constant whole exponent, else float64; a square is one multiplication.

    >>> power(2, 10), power(2.0, 0.5)
    (1024, 1.4142135623730951)
    """
    return _power(a, b)


@operator(
    a="number", b="number", returns=_power_type, decimals="float", counted="nulls", bits=_power_bits, lower=_power_lower
)
def pow_(a: Number, b: Number) -> Number | None:
    """The operator `**`.

    >>> pow_(3.0, 2.0)
    9.0
    """
    return _power(a, b)
