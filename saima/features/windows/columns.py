"""Measures as columns of a frame: their types, their nulls, their lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.definition import LISTS, Group, percent

Ints = npt.NDArray[np.int64]


def masked(series: pl.Series, valid: npt.NDArray[np.bool_]) -> pl.Series:
    """The series, null where it is not valid."""
    return series if valid.all() else pl.select(pl.when(pl.Series(valid)).then(series).alias(series.name)).to_series()


def lists(name: str, starts: Ints, values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Lists cut from values at n + 1 starts."""
    sizes = pl.Series(np.diff(starts))
    rows = pl.DataFrame({"row": pl.Series(np.repeat(np.arange(len(sizes)), sizes.to_numpy())), "value": values})
    grouped = rows.group_by("row", maintain_order=True).agg("value")
    each = pl.DataFrame({"row": pl.Series(np.arange(len(sizes)))})
    every = each.join(grouped, on="row", how="left", maintain_order="left")
    return every.get_column("value").cast(kind).fill_null(pl.Series([[]], dtype=kind)).alias(name)


def dtype(measure: str, group: Group) -> pl.DataType:
    """Type of a measure's column; a histogram is a list of {key, value}, a decimal its digits."""
    value = pl.String() if group.is_text else pl.Float64() if group.is_float else pl.Int64()
    if measure in ("count", "distinct", "approx_distinct"):
        return pl.Int64()
    if measure in ("mean", "variance") or percent(measure) is not None:
        return pl.Float64()
    if measure in LISTS:
        return pl.List(value)
    return pl.List(pl.Struct({"key": pl.String(), "value": pl.Int64()})) if measure == "histogram" else value


def entries(tally: dict[str, int]) -> list[dict[str, Any]]:
    """A histogram as a column holds it."""
    return [{"key": key, "value": count} for key, count in tally.items()]
