"""Text: `concat` and what works on characters."""

from __future__ import annotations

import polars as pl

from saima.features.operators.base import operator


@operator(parts="text", returns="string", lower=lambda _, *parts: pl.concat_str(parts), exact=True)
def concat(*parts: str) -> str:
    """Texts in a row; null if one is missing.

    >>> concat("x", "y")
    'xy'
    """
    return "".join(parts)
