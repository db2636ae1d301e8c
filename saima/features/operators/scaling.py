"""Numbers brought to a range or a rate: `clip`, `zscore`, `minmax`, `smooth`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from saima.features.nodes import Constant
from saima.features.online.vector import numbers as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.division import ratio
from saima.features.types import FLOAT64, INT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call

Number = int | float


def _clip_type(call: Call) -> Type:
    low, high = call.arg("low"), call.arg("high")
    if (
        isinstance(low, Constant)
        and isinstance(high, Constant)
        and None not in (low.value, high.value)
        and low.value > high.value
    ):
        raise TypeFault(f"clip(x, low, high): low {low.value} is above high {high.value}", "low")
    return call.args[0].type if all(arg.type.is_whole for arg in call.args) else FLOAT64


def _clip_lower(call: Call, x: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    x, low, high = (
        expr if arg.type == call.type else expr.cast(call.type.polars)
        for expr, arg in zip((x, low, high), call.args, strict=True)
    )
    if all(isinstance(bound, Constant) and bound.value is not None for bound in (call.arg("low"), call.arg("high"))):
        return x.clip(low, high)
    raised = pl.when(x < low).then(low).when(low.is_not_null()).then(x)
    return pl.when(raised > high).then(high).when(high.is_not_null()).then(raised)


@operator(x="number", low="number", high="number", decimals="align", returns=_clip_type,
          lower=_clip_lower, finite=False,
          bits=lambda call: max(arg.bits for arg in call.args), exact=True, vector=kernels.clip)  # fmt: skip
def clip(x: Number, low: Number, high: Number) -> Number:
    """x, not below low and not above high.

    >>> clip(7.0, -1.0, 1.0)
    1.0
    """
    raised = low if x < low else x
    result = high if raised > high else raised
    return result if all(isinstance(value, int) for value in (x, low, high)) else float(result)


@operator(
    x="float", mean="float", sd="float", returns="float64", counted="nulls",
    lower=lambda _, x, mean, sd: ratio(x - mean, pl.when(sd > 0).then(sd)), exact=True, vector=kernels.zscore,
)  # fmt: skip
def zscore(x: float, mean: float, sd: float) -> float | None:
    """(x - mean) / sd; null for sd <= 0.

    >>> zscore(2.5, 0.5, 2.0)
    1.0
    """
    return (x - mean) / sd if sd > 0 else None


@operator(
    x="float", low="float", high="float", returns="float64", counted="nulls",
    lower=lambda _, x, low, high: ratio(x - low, pl.when(high != low).then(high - low)), exact=True,
    vector=kernels.minmax,
)  # fmt: skip
def minmax(x: float, low: float, high: float) -> float | None:
    """(x - low) / (high - low), not clipped; null for high = low.

    >>> minmax(2.0, 1.0, 3.0)
    0.5
    """
    return (x - low) / (high - low) if high != low else None


def _smooth_bits(call: Call) -> float:
    scale = call.arg("scale").bits if "scale" in call.names else 0.0
    shift = call.arg("b")
    whole = shift.type.is_float and isinstance(shift, Constant) and shift.value >= 1 and _counts(call)
    return max(call.arg("n").bits, call.arg("a").bits) + 1 + scale if whole else math.inf


def _counts(call: Call) -> bool:
    d = call.arg("d")
    operand = getattr(d, "args", (d,))[0]
    return operand.type == INT64


def _smooth_lower(call: Call, n: pl.Expr, d: pl.Expr, a: pl.Expr, b: pl.Expr, scale: pl.Expr | None = None) -> pl.Expr:
    below = pl.when(d + b > 0).then(d + b)
    above = n + a if scale is None or call.arg("scale").key.startswith("1.0:") else scale * (n + a)
    return ratio(above, below)


@operator(
    n="float",
    d="float",
    a="float",
    b="float",
    scale="float",
    returns="float64",
    bits=_smooth_bits,
    lower=_smooth_lower,
    counted="nulls",
    exact=True,
    vector=kernels.smooth,
)
def smooth(n: float, d: float, a: float, b: float, scale: float = 1.0) -> float | None:
    """scale * (n + a) / (d + b); null where d + b <= 0.

    >>> smooth(1, 1, 1.0, 3.0, scale=100)
    50.0
    """
    return scale * (n + a) / (d + b) if d + b > 0 else None
