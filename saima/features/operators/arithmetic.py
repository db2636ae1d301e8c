"""Arithmetic: `+ - *` and signs; int64 stays exact, what does not fit is null."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from saima.features.online.vector import arithmetic as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.types import FLOAT64, INT64, INT64_MAX, INT64_MIN, Type

if TYPE_CHECKING:
    from collections.abc import Callable

    from saima.features.nodes import Call

Number = int | float


def is_whole(call: Call) -> bool:
    """Whether all arguments are int64, or decimals."""
    return all(arg.type.is_whole for arg in call.args)


def numeric(call: Call) -> Type:
    """Type of a sum, difference or remainder."""
    return call.args[0].type if is_whole(call) else FLOAT64


def _product(call: Call) -> Type:
    if not is_whole(call):
        return FLOAT64
    if all(arg.type == INT64 for arg in call.args):
        return INT64
    scale = sum(arg.type.size for arg in call.args)
    if scale > 18:
        texts = " * ".join(str(arg.type) for arg in call.args)
        raise TypeFault(f"{texts} has {scale} digits after the point; int64 holds 18: cast one to fewer, or to float64")
    return Type("decimal", size=scale)


def floats(call: Call, exprs: tuple[pl.Expr, ...]) -> list[pl.Expr]:
    """The arguments' expressions as float64."""
    return [expr if arg.type == FLOAT64 else expr.cast(pl.Float64) for arg, expr in zip(call.args, exprs, strict=True)]


def fits(call: Call, bits: float) -> float:
    """Bits of a result that is null where int64 does not hold it."""
    return min(bits, 63.0) if is_whole(call) else bits


def int_or_none(value: Number) -> Number | None:
    """The value, or None for an integer that int64 does not hold."""
    return None if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX else value


def exactly(call: Call, bits: float, run: Callable[[pl.Expr, pl.Expr], pl.Expr], a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Integer arithmetic in Int64 where the result surely fits, else in Int128 with null where it does not."""
    if not is_whole(call):
        return run(*floats(call, (a, b)))
    if bits < 63:
        return run(a, b)
    return run(a.cast(pl.Int128), b.cast(pl.Int128)).cast(pl.Int64, strict=False)


def _sum_bits(call: Call) -> float:
    return max(call.args[0].bits, call.args[1].bits) + 1


def _product_bits(call: Call) -> float:
    return call.args[0].bits + call.args[1].bits


@operator(
    name="+", a="number", b="number", decimals="align", counted="nulls", returns=numeric, propagates=True, hidden=True,
    bits=lambda call: fits(call, _sum_bits(call)),
    lower=lambda call, a, b: exactly(call, _sum_bits(call), lambda x, y: x + y, a, b), exact=True, vector=kernels.add,
)  # fmt: skip
def add(a: Number, b: Number) -> Number | None:
    """a + b. Text is not added: `concat`.

    >>> add(2**63 - 1, 1) is None
    True
    """
    return int_or_none(a + b)


@operator(
    name="-", a="number", b="number", decimals="align", counted="nulls", returns=numeric, propagates=True, hidden=True,
    bits=lambda call: fits(call, _sum_bits(call)),
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
    bits=lambda call: fits(call, _product_bits(call)),
    lower=lambda call, a, b: exactly(call, _product_bits(call), lambda x, y: x * y, a, b), exact=True,
    vector=kernels.multiply,
)  # fmt: skip
def multiply(a: Number, b: Number) -> Number | None:
    """a * b.

    >>> multiply(2**62, 2) is None
    True
    """
    return int_or_none(a * b)


def as_float(call: Call, at: int, expr: pl.Expr) -> pl.Expr:
    """An argument's expression as float64."""
    return expr if call.args[at].type == FLOAT64 else expr.cast(pl.Float64)


@operator(
    name="negate", x="number", decimals="align", counted="nulls",
    returns=lambda call: call.arg("x").type, propagates=True, hidden=True,
    bits=lambda call: call.arg("x").bits,
    lower=lambda call, x: -x if not is_whole(call) or call.arg("x").bits < 63
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
