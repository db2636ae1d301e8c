"""Fixed-point numbers: decimal(s) is held as an int64 of its digits, so 1.25 in decimal(2) is 125.

Digits that are dropped round half away from zero, except towards int64, which truncates as every cast to it does.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from saima.features.types.definition import INT64_MAX, INT64_MIN

_CONTEXT = Context(prec=400, rounding=ROUND_HALF_UP)


def _unit(scale: int) -> int:
    return int(10**scale)


def within(digits: int) -> int | None:
    """The digits, or None where int64 does not hold them."""
    return digits if INT64_MIN <= digits <= INT64_MAX else None


def digits_of(value: float | str, scale: int) -> int | None:
    """Digits of a number as it is written (a float by its shortest text); None where it is no number or too large.

    >>> digits_of(1.25, 2), digits_of("-0.005", 2), digits_of(1e30, 2)
    (125, -1, None)
    """
    try:
        number = Decimal(str(value))
        if not number.is_finite() or number.adjusted() > 40:
            return None
        return within(int(number.scaleb(scale, _CONTEXT).to_integral_value(context=_CONTEXT)))
    except InvalidOperation:
        return None


def digits_of_float(value: float, scale: int) -> int | None:
    """Digits of value * 10**scale in float64, as a column of floats is cast.

    >>> digits_of_float(1.15, 2)
    115
    """
    product = value * 10.0**scale
    if not math.isfinite(product):
        return None
    size = abs(product)
    whole = math.floor(size)
    rounded = whole + (1 if size - whole >= 0.5 else 0)
    return within(-rounded if product < 0 else rounded)


def rescale(digits: int, scale: int, wanted: int) -> int | None:
    """The digits at another scale.

    >>> rescale(125, 2, 4), rescale(125, 2, 1), rescale(-125, 2, 1)
    (12500, 13, -13)
    """
    if wanted >= scale:
        return within(digits * _unit(wanted - scale))
    unit = _unit(scale - wanted)
    rounded = (abs(digits) + unit // 2) // unit
    return within(-rounded if digits < 0 else rounded)


def truncated(digits: int, scale: int) -> int:
    """The whole part, truncated toward zero.

    >>> truncated(-199, 2)
    -1
    """
    whole = abs(digits) // _unit(scale)
    return -whole if digits < 0 else whole


def number_of(digits: int, scale: int) -> float:
    """The nearest float64 of float64(digits) / 10**scale.

    >>> number_of(125, 2)
    1.25
    """
    return float(digits) / 10.0**scale


def decimal_text(digits: int, scale: int) -> str:
    """Text with exactly `scale` digits after the point.

    >>> decimal_text(-5, 2), decimal_text(7, 0)
    ('-0.05', '7')
    """
    whole, rest = divmod(abs(digits), _unit(scale))
    return f"{'-' if digits < 0 else ''}{whole}{f'.{rest:0{scale}d}' if scale else ''}"
