"""Arithmetic: `+ - * / // %` and `mod`; int64 stays exact, what does not fit is null."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.nodes import Constant
from saima.features.online.vector import arithmetic as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.division import ratio
from saima.features.types import FLOAT64, INT64, INT64_MAX, INT64_MIN, Type

if TYPE_CHECKING:
    from collections.abc import Callable

    from saima.features.nodes import Call

Number = int | float


def _is_whole(call: Call) -> bool:
    return all(arg.type.is_whole for arg in call.args)


def _numeric(call: Call) -> Type:
    return call.args[0].type if _is_whole(call) else FLOAT64


def _quotient(call: Call) -> Type:
    return INT64 if _is_whole(call) else FLOAT64


def _product(call: Call) -> Type:
    if not _is_whole(call):
        return FLOAT64
    if all(arg.type == INT64 for arg in call.args):
        return INT64
    scale = sum(arg.type.size for arg in call.args)
    if scale > 18:
        texts = " * ".join(str(arg.type) for arg in call.args)
        raise TypeFault(f"{texts} has {scale} digits after the point; int64 holds 18: cast one to fewer, or to float64")
    return Type("decimal", size=scale)


def _floats(call: Call, exprs: tuple[pl.Expr, ...]) -> list[pl.Expr]:
    return [expr if arg.type == FLOAT64 else expr.cast(pl.Float64) for arg, expr in zip(call.args, exprs, strict=True)]


def _fits(call: Call, bits: float) -> float:
    return min(bits, 63.0) if _is_whole(call) else bits


def int_or_none(value: Number) -> Number | None:
    """The value, or None for an integer that int64 does not hold."""
    return None if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX else value


def exactly(call: Call, bits: float, run: Callable[[pl.Expr, pl.Expr], pl.Expr], a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Integer arithmetic in Int64 where the result surely fits, else in Int128 with null where it does not."""
    if not _is_whole(call):
        return run(*_floats(call, (a, b)))
    if bits < 63:
        return run(a, b)
    return run(a.cast(pl.Int128), b.cast(pl.Int128)).cast(pl.Int64, strict=False)


def _sum_bits(call: Call) -> float:
    return max(call.args[0].bits, call.args[1].bits) + 1


def _product_bits(call: Call) -> float:
    return call.args[0].bits + call.args[1].bits


@operator(
    name="+", a="number", b="number", decimals="align", counted="nulls", returns=_numeric, propagates=True, hidden=True,
    bits=lambda call: _fits(call, _sum_bits(call)),
    lower=lambda call, a, b: exactly(call, _sum_bits(call), lambda x, y: x + y, a, b), exact=True, vector=kernels.add,
)  # fmt: skip
def add(a: Number, b: Number) -> Number | None:
    """a + b. Text is not added: `concat`.

    >>> add(2**63 - 1, 1) is None
    True
    """
    return int_or_none(a + b)


@operator(
    name="-", a="number", b="number", decimals="align", counted="nulls", returns=_numeric, propagates=True, hidden=True,
    bits=lambda call: _fits(call, _sum_bits(call)),
    lower=lambda call, a, b: exactly(call, _sum_bits(call), lambda x, y: x - y, a, b), exact=True,
    vector=kernels.subtract,
)  # fmt: skip
def subtract(a: Number, b: Number) -> Number | None:
    """a - b.

    >>> subtract(3, 0.5)
    2.5
    """
    return int_or_none(a - b)


@operator(
    name="*", a="number", b="number", decimals="multiply", counted="nulls",
    returns=_product, propagates=True, hidden=True,
    bits=lambda call: _fits(call, _product_bits(call)),
    lower=lambda call, a, b: exactly(call, _product_bits(call), lambda x, y: x * y, a, b), exact=True,
    vector=kernels.multiply,
)  # fmt: skip
def multiply(a: Number, b: Number) -> Number | None:
    """a * b.

    >>> multiply(2**62, 2) is None
    True
    """
    return int_or_none(a * b)


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


def as_float(call: Call, at: int, expr: pl.Expr) -> pl.Expr:
    """An argument's expression as float64."""
    return expr if call.args[at].type == FLOAT64 else expr.cast(pl.Float64)


def _floor_lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    if not _is_whole(call):
        x, y = _floats(call, (a, _nonzero(call, b)))
        return ratio(x - _modulo(x, y), y).round(0, mode="half_to_even")
    if isinstance(call.args[1], Constant) and call.args[1].value not in (0, -1):
        return a // b
    divisor = _nonzero(call, b)
    return (a.cast(pl.Int128) // divisor.cast(pl.Int128)).cast(pl.Int64, strict=False)


def _modulo(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    return x - ratio(x, y).floor() * y


@operator(
    name="//", a="number", b="number", decimals="align", counted="nulls", returns=_quotient, hidden=True,
    bits=lambda call: _fits(call, _divide_bits(call) if not _is_whole(call) else call.args[0].bits),
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
    if _is_whole(call):
        if isinstance(call.args[1], Constant) and call.args[1].value not in (0, -1):
            return a % b
        return (a.cast(pl.Int128) % divisor.cast(pl.Int128)).cast(pl.Int64, strict=False)
    return _modulo(*_floats(call, (a, divisor)))


@operator(name="%", a="number", b="number", decimals="align", counted="nulls",
          returns=_numeric, hidden=True, lower=_mod_lower,
          bits=lambda call: _fits(call, call.args[1].bits if _is_whole(call) else math.inf), exact=True,
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


@operator(a="number", b="number", returns=_numeric, decimals="align", counted="nulls", lower=_mod_lower,
          bits=lambda call: _fits(call, call.args[1].bits if _is_whole(call) else math.inf), exact=True,
          vector=kernels.modulo)  # fmt: skip
def mod(a: Number, b: Number) -> Number | None:
    """The operator `%`.

    >>> mod(7, -3)
    -2
    """
    result: Number | None = modulo(a, b)
    return result


@operator(
    name="negate", x="number", decimals="align", counted="nulls",
    returns=lambda call: call.arg("x").type, propagates=True, hidden=True,
    bits=lambda call: call.arg("x").bits,
    lower=lambda call, x: -x if not _is_whole(call) or call.arg("x").bits < 63
    else (pl.lit(0, dtype=pl.Int128) - x.cast(pl.Int128)).cast(pl.Int64, strict=False), exact=True,
    vector=kernels.negate,
)  # fmt: skip
def negate(x: Number) -> Number | None:
    """-x.

    >>> negate(3)
    -3
    """
    return int_or_none(-x)


@operator(name="plus", x="number", decimals="align",
          returns=lambda call: call.arg("x").type, propagates=True, hidden=True,
          bits=lambda call: call.arg("x").bits, lower=lambda _, x: x, exact=True, vector=kernels.plus)  # fmt: skip
def plus(x: Number) -> Number:
    """+x.

    >>> plus(3)
    3
    """
    return x
