"""Functions of numbers; what leaves the domain is null."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from saima.features.online.vector import numbers as kernels
from saima.features.operators.base import operator, same_as
from saima.features.types import INT64_MIN

if TYPE_CHECKING:
    from saima.features.nodes import Call

Number = int | float


def _bits_of_x(call: Call) -> float:
    return call.args[0].bits


@operator(x="float", returns="float64", lower=lambda _, x: x.log(), maps="x", counted="nulls")
def log(x: float) -> float:
    """Natural logarithm; null for x <= 0.

    >>> log(1.0)
    0.0
    """
    return math.log(x)


@operator(x="float", returns="float64", lower=lambda _, x: x.log1p(), maps="x", counted="nulls")
def log1p(x: float) -> float:
    """ln(1 + x); null for x <= -1.

    >>> log1p(0.0)
    0.0
    """
    return math.log1p(x)


@operator(x="float", returns="float64", lower=lambda _, x: x.log10(), maps="x", counted="nulls")
def log10(x: float) -> float:
    """Decimal logarithm; null for x <= 0.

    >>> log10(1000.0)
    3.0
    """
    return math.log10(x)


@operator(x="float", returns="float64", lower=lambda _, x: x.exp(), maps="x", counted="nulls")
def exp(x: float) -> float:
    """e to the x; null where it overflows.

    >>> exp(0.0)
    1.0
    """
    return math.exp(x)


@operator(
    x="float",
    returns="float64",
    counted="nulls",
    lower=lambda _, x: x.sqrt(),
    maps="x",
    exact=True,
    vector=kernels.unary(np.sqrt),
)
def sqrt(x: float) -> float:
    """Square root; null for a negative x.

    >>> sqrt(9.0)
    3.0
    """
    return math.sqrt(x)


def _abs_lower(call: Call, x: pl.Expr) -> pl.Expr:
    return (
        pl.when(x != INT64_MIN).then(x.abs()) if call.arg("x").type.is_whole and call.arg("x").bits >= 63 else x.abs()
    )


@operator(
    x="number",
    returns=same_as("x"),
    lower=_abs_lower,
    bits=_bits_of_x,
    finite=False,
    exact=True,
    decimals="align",
    counted="nulls",
    vector=kernels.absolute,
)
def abs_(x: Number) -> Number | None:
    """Magnitude.

    >>> abs_(-3.5)
    3.5
    """
    return None if x == INT64_MIN and isinstance(x, int) else abs(x)


@operator(
    x="number",
    returns=same_as("x"),
    lower=lambda _, x: x.sign(),
    bits=0.0,
    exact=True,
    decimals="float",
    vector=kernels.unary(np.sign),
)
def sign(x: Number) -> Number:
    """-1, 0 or 1, in the type of x (of a decimal: float64).

    >>> sign(-3.5), sign(0)
    (-1.0, 0)
    """
    one = type(x)
    return one(1) if x > 0 else one(-1) if x < 0 else one(0)


@operator(
    x="float",
    returns="float64",
    lower=lambda _, x: x.floor(),
    bits=_bits_of_x,
    exact=True,
    vector=kernels.unary(np.floor),
)
def floor(x: float) -> float:
    """Greatest whole number <= x, as float64.

    >>> floor(-1.2)
    -2.0
    """
    return math.copysign(math.floor(x), x)  # IEEE: the sign of a zero stays


@operator(
    x="float",
    returns="float64",
    lower=lambda _, x: x.ceil(),
    bits=_bits_of_x,
    exact=True,
    vector=kernels.unary(np.ceil),
)
def ceil(x: float) -> float:
    """Least whole number >= x, as float64.

    >>> ceil(1.2)
    2.0
    """
    return math.copysign(math.ceil(x), x)


def _round_lower(_: Call, x: pl.Expr) -> pl.Expr:
    size = x.abs()
    whole = size.floor()
    return (whole + (size - whole >= 0.5).cast(pl.Float64)) * x.sign()


@operator(
    name="round",
    x="float",
    returns="float64",
    lower=_round_lower,
    bits=lambda call: call.args[0].bits + 1,
    exact=True,
    vector=kernels.round_half_away,
)
def round_(x: float) -> float:
    """Nearest whole number, halves away from zero, as float64.

    >>> round_(2.5), round_(-2.5), round_(0.49999999999999994)
    (3.0, -3.0, 0.0)
    """
    size = abs(x)
    whole = math.floor(size)
    return math.copysign(float(whole) + (1.0 if size - whole >= 0.5 else 0.0), x)


@operator(
    x="float", returns="float64", maps="x", bits=0.0,
    lower=lambda _, x: pl.when(x >= 0).then(1.0 / (1.0 + (-x).exp())).otherwise(x.exp() / (1.0 + x.exp())),
)  # fmt: skip
def sigmoid(x: float) -> float:
    """1 / (1 + e**-x), without overflow at either end.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


_RADIUS = 6371.0088


def _haversine_lower(_: Call, lng1: pl.Expr, lat1: pl.Expr, lng2: pl.Expr, lat2: pl.Expr) -> pl.Expr:
    turn = math.pi / 180.0
    phi1, phi2 = lat1 * turn, lat2 * turn
    dphi, dlng = (phi2 - phi1) * 0.5, (lng2 * turn - lng1 * turn) * 0.5
    h = dphi.sin() * dphi.sin() + phi1.cos() * phi2.cos() * dlng.sin() * dlng.sin()
    return 2.0 * _RADIUS * h.clip(upper_bound=1.0).sqrt().arcsin()


@operator(lng1="float", lat1="float", lng2="float", lat2="float", returns="float64", lower=_haversine_lower)
def haversine(lng1: float, lat1: float, lng2: float, lat2: float) -> float:
    """Great-circle distance in km of two points in degrees, longitude first; radius 6371.0088 km.

    >>> round(haversine(0.0, 0.0, 90.0, 0.0), 1)
    10007.6
    """
    turn = math.pi / 180.0
    phi1, phi2 = lat1 * turn, lat2 * turn
    dphi, dlng = (phi2 - phi1) * 0.5, (lng2 * turn - lng1 * turn) * 0.5
    h = math.sin(dphi) * math.sin(dphi) + math.cos(phi1) * math.cos(phi2) * math.sin(dlng) * math.sin(dlng)
    return 2.0 * _RADIUS * math.asin(math.sqrt(min(1.0, h)))
