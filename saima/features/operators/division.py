"""Division that rounds once, whatever the number of rows.

Polars divides a column of floats by a scalar by multiplying with the scalar's reciprocal, which differs from IEEE
division in the last bit of about one value in eight; a frame of one row it divides. A divisor that is a column is
divided by, always.
"""

from __future__ import annotations

import polars as pl


def ratio(a: pl.Expr, b: pl.Expr | float) -> pl.Expr:
    """a / b of floats, correctly rounded; null where either is null.

    >>> pl.select(pl.Series([1.1, 2.2, 3.3])).select(ratio(pl.col(""), 1000.0)).to_series().to_list()[0] == 1.1 / 1000.0
    True
    """
    return a / (b + pl.int_range(pl.len()) * 0.0)
