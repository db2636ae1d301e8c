"""Division that rounds once, whatever the number of rows.

Polars divides a column of floats by a scalar by multiplying with the scalar's reciprocal, which differs from IEEE
division in the last bit of up to one value in ten; in a frame of one row it divides. By a column it always divides.
A column that holds one value throughout counts as a scalar, and whether an expression gives one depends on the data.
"""

from __future__ import annotations

import polars as pl


def ratio(a: pl.Expr, b: pl.Expr | float) -> pl.Expr:
    """a / b of floats for b other than 0, correctly rounded; null where either is null.

    The divisor gets to vary, by nothing: with the dividend, or with the row where that would be computed twice. An
    infinite dividend's result is not finite either way.

    >>> values = pl.Series("x", [7.7, 8.1, 9.3])
    >>> values.to_frame().select(ratio(pl.col("x"), 3.0)).to_series().to_list() == [7.7 / 3.0, 8.1 / 3.0, 9.3 / 3.0]
    True
    """
    varying = a if len(a.meta.root_names()) <= 1 else pl.int_range(pl.len())
    return a / (b + varying * 0.0)
