"""Column types between Polars frames and Delta tables: lossless conversions, and refusals that name the column."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from saima.errors import StoreError

_WIDER: dict[pl.DataType, pl.DataType] = {pl.UInt8(): pl.Int16(), pl.UInt16(): pl.Int32(), pl.UInt32(): pl.Int64()}
_SAME = {
    pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.Float32(), pl.Float64(),
    pl.Boolean(), pl.String(), pl.Binary(), pl.Date(),
}  # fmt: skip
_STORED_TIME = pl.Datetime("us", "UTC")
_FRAME_TIME = pl.Datetime("ms", "UTC")


def storable(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in types that Delta has; raises StoreError naming a column that it cannot hold."""
    casts = {}
    for column, dtype in frame.schema.items():
        stored = _stored(dtype)
        if stored is None:
            raise StoreError(f"table '{name}' cannot hold column '{column}' of type {dtype}; {_way_out(dtype)}")
        if stored != dtype:
            casts[column] = stored
    return frame.cast(casts) if casts else frame  # type: ignore[arg-type]


def align(name: str, frame: pl.DataFrame, handle: DeltaTable) -> tuple[pl.DataFrame, bool]:
    """The frame with the table's columns first, missing ones null, and whether it has columns that the table has not.

    Raises StoreError naming the columns whose types differ: Delta would cast them silently.
    """
    known = schema_of(handle)
    wrong = [f"{c} is {here}, there {t}" for c, t in known.items() if (here := frame.schema.get(c, t)) != t]
    if wrong:
        raise StoreError(f"table '{name}' has other types: {'; '.join(wrong)}; cast the columns, or replace the table")
    new = [column for column in frame.columns if column not in known]
    if not new and frame.columns == list(known):
        return frame, False
    columns = [pl.col(c) if c in frame.schema else pl.lit(None, dtype=t).alias(c) for c, t in known.items()]
    return frame.select(*columns, *new), bool(new)


def restored(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of a table with timestamps in milliseconds, as everywhere in frames."""
    times = [column for column, dtype in frame.collect_schema().items() if dtype == _STORED_TIME]
    return frame.with_columns(pl.col(times).dt.cast_time_unit("ms")) if times else frame


def schema_of(handle: DeltaTable) -> dict[str, pl.DataType]:
    """The table's columns as Polars types, in its order."""
    arrow = pa.schema(handle.schema().to_arrow())
    empty: Any = pl.from_arrow(arrow.empty_table())
    return dict(empty.schema)


def _stored(dtype: pl.DataType) -> pl.DataType | None:
    if dtype in _SAME or isinstance(dtype, pl.Decimal):
        return dtype
    if isinstance(dtype, pl.Datetime):
        return _STORED_TIME if dtype in (_FRAME_TIME, _STORED_TIME) else None
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String()
    if isinstance(dtype, pl.List):
        inner = _stored(_instance(dtype.inner))
        return None if inner is None else pl.List(inner)
    if isinstance(dtype, pl.Array):
        inner = _stored(_instance(dtype.inner))
        return None if inner is None else pl.List(inner)
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _stored(_instance(field.dtype)) for field in dtype.fields}
        whole = {field: inner for field, inner in fields.items() if inner is not None}
        return pl.Struct(whole) if len(whole) == len(fields) else None
    return _WIDER.get(dtype)


def _instance(dtype: Any) -> pl.DataType:
    instance: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return instance


def _way_out(dtype: pl.DataType) -> str:
    if dtype == pl.Null():
        return "give it a type, such as .cast(pl.String)"
    if isinstance(dtype, pl.Datetime):
        return "make it milliseconds or microseconds UTC"
    if isinstance(dtype, (pl.Duration, pl.Time)):
        return "store it as int64 milliseconds"
    return "cast it to a type that Delta has (no unsigned 64-bit integers, no objects)"
