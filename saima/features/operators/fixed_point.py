"""Casts from and to decimal(s) as Polars computes them; the same values as `saima.features.types.decimals`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl

from saima.features.types import BOOL, INT64, STRING, Type
from saima.features.types.decimals import (
    decimal_text,
    digits_of,
    digits_of_float,
    number_of,
    rescale,
    truncated,
    within,
)

_SPACE = " \t\n\r\x0b\x0c"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def to_decimal(x: Any, scale: int) -> int | None:
    """Digits of a bool, int64, float or text; None where the cast fails.

    >>> to_decimal(" 1.255 ", 2), to_decimal(3, 2), to_decimal(1.15, 2), to_decimal("x", 2)
    (126, 300, 115, None)
    """
    if isinstance(x, str):
        text = x.strip(_SPACE)
        return digits_of(text, scale) if _NUMBER.fullmatch(text) else None
    return digits_of_float(x, scale) if isinstance(x, float) else within(int(x) * 10**scale)


def from_decimal(digits: int, scale: int, target: Type) -> Any:
    """A decimal as int64, float64, text or a decimal of another scale.

    >>> from_decimal(-199, 2, INT64), from_decimal(125, 2, STRING)
    (-1, '1.25')
    """
    match target.name:
        case "decimal":
            return rescale(digits, scale, target.size)
        case "int64":
            return truncated(digits, scale)
        case "string":
            return decimal_text(digits, scale)
    return number_of(digits, scale)


def lower_to_decimal(x: pl.Expr, source: Type, scale: int) -> pl.Expr:
    """Expression of `to_decimal`."""
    if source == STRING:
        return _each(x, lambda value: to_decimal(value, scale), pl.Int64())
    if source in (BOOL, INT64):
        scaled: pl.Expr = x.cast(pl.Int128) * 10**scale
        return scaled.cast(pl.Int64, strict=False)
    product = x.cast(pl.Float64) * 10.0**scale
    size = product.abs()
    whole = size.floor()
    rounded = (whole + (size - whole >= 0.5).cast(pl.Float64)) * product.sign()
    return rounded.cast(pl.Int64, strict=False)


def lower_from_decimal(x: pl.Expr, scale: int, target: Type) -> pl.Expr:
    """Expression of `from_decimal`."""
    if target == STRING:
        return _each(x, lambda value: decimal_text(value, scale), pl.String())
    if target.is_float:
        number = x.cast(pl.Float64)
        # A divisor that is a column: Polars multiplies by the reciprocal of a scalar, which rounds twice.
        quotient: pl.Expr = number / (number * 0.0 + 10.0**scale)
        return quotient
    wide = x.cast(pl.Int128)
    if target.is_decimal and target.size >= scale:
        scaled: pl.Expr = wide * 10 ** (target.size - scale)
        return scaled.cast(pl.Int64, strict=False)
    unit = 10 ** (scale - target.size)
    half = unit // 2 if target.is_decimal else 0
    size = pl.when(wide < 0).then(0 - wide).otherwise(wide)
    whole = (size + half) // unit
    return pl.when(wide < 0).then(0 - whole).otherwise(whole).cast(pl.Int64, strict=False)


def _each(x: pl.Expr, run: Callable[[Any], Any], dtype: pl.DataType) -> pl.Expr:
    def values(column: pl.Series) -> pl.Series:
        return pl.Series(column.name, [None if v is None else run(v) for v in column.to_list()], dtype=dtype)

    return x.map_batches(values, return_dtype=dtype, is_elementwise=True)
