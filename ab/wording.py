"""Numbers and names as a person reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, thousands apart, a real minus sign; a dash for None.

    >>> number(20.1234), number(-0.00123456), number(13578.2), number(None)
    ('20.1', '−0.00123', '13,578', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}" if decimals < 10 else f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """The same with a plus sign before what is above 0."""
    return ("+" if value is not None and value > 0 else "") + number(value, digits)


def percent(share: float | None, *, sign: bool = False) -> str:
    """A share as percent, to one decimal or two significant digits.

    >>> percent(0.1234), percent(-0.0123, sign=True), percent(0.0004), percent(None)
    ('12.3\xa0%', '−1.2\xa0%', '0.04\xa0%', '–')
    """
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 0.95 or value == 0 else 2
    text = f"{value:,.{decimals}f}\N{NO-BREAK SPACE}%".replace("-", "−")
    return f"+{text}" if sign and value > 0 else text


def p_value(p: float | None) -> str:
    """A p-value as written in papers.

    >>> p_value(0.0321), p_value(0.0000004)
    ('0.032', '< 0.0001')
    """
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else number(p, 2)


def words(name: str) -> str:
    """A declared name as words.

    >>> words("absolute_error")
    'absolute error'
    """
    return name.replace("_", " ")


def moment(milliseconds: int | None) -> str:
    """A time as `1 Apr 2013 05:15 UTC`; a dash for None."""
    if milliseconds is None:
        return "–"
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{when.day} {when:%b %Y %H:%M} UTC"


def day(text: str) -> str:
    """A day `2013-04-01` as `1 Apr`."""
    when = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    return f"{when.day} {when:%b}"
