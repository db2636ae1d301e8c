"""Vectors from and to columns of a frame, and from plain Python values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.online.vector.values import Vector, dtype_of, missing_of

if TYPE_CHECKING:
    from saima.features.types import Type


def to_series(name: str, vector: Vector, dtype: Type) -> pl.Series:
    """A column of one row of values [n]; missing values are null."""
    values = np.ascontiguousarray(vector.values)
    column = pl.Series(name, values)
    if dtype.is_float:
        return column.fill_nan(None).cast(dtype.polars)
    missing = missing_of(vector)
    if missing is not None and missing.any():
        column = pl.select(pl.when(pl.Series(np.ascontiguousarray(~missing))).then(column).alias(name)).to_series()
    return column.cast(dtype.polars)


def from_series(column: pl.Series, dtype: Type) -> Vector:
    """A column as a vector [n]; null is missing, and NaN."""
    wanted = dtype_of(dtype)
    if dtype.is_float:
        return Vector(column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(wanted, copy=False))
    plain = column.cast(pl.Boolean if dtype.name == "bool" else pl.Int64)
    if not plain.null_count():
        return Vector(plain.to_numpy())
    filler: Any = False if dtype.name == "bool" else 0
    return Vector(plain.fill_null(filler).to_numpy(), plain.is_null().to_numpy())


def from_values(values: Sequence[Any], dtype: Type) -> Vector:
    """Plain Python values as a vector [n]; None is missing."""
    wanted = dtype_of(dtype)
    if dtype.is_float:
        wide = np.array([np.nan if value is None else value for value in values], np.float64)
        with np.errstate(all="ignore"):
            return Vector(wide.astype(wanted, copy=False))
    if None not in values:
        return Vector(np.array(values, wanted))
    return Vector(
        np.array([0 if value is None else value for value in values], wanted),
        np.array([value is None for value in values]),
    )
