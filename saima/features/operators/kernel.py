"""Operators whose one home is their Python reference: the lowering runs it row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.types import TIMESTAMP, Type, from_frame_value, series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saima.features.nodes import Call


def by_rows(call: Call, *exprs: pl.Expr) -> pl.Expr:
    """Expression that runs the call's reference on every row; the same values whatever the frame."""
    types = [arg.type for arg in call.args]
    # A mapped call sees one element at a time: its own result is the element's.
    result = call.type.of if call.mapped else call.type

    def run(columns: Sequence[pl.Series]) -> pl.Series:
        size = max((len(column) for column in columns), default=0)
        if any(len(column) == 0 for column in columns):
            size = 0
        values = [_values(column, dtype, size) for column, dtype in zip(columns, types, strict=True)]
        made = [call.operator.run(list(row), call.names, call.constants) for row in zip(*values, strict=True)]
        return series("", made, result)

    return pl.map_batches(list(exprs), run, return_dtype=result.polars, is_elementwise=True)


def _values(column: pl.Series, dtype: Type, size: int) -> list[Any]:
    if dtype == TIMESTAMP:
        column = column.cast(pl.Int64)
    values = [from_frame_value(value, dtype) for value in column.to_list()]
    return values * size if len(values) == 1 and size != 1 else values
