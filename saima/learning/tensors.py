"""Features as what models read: one float32 matrix, or named tensors filled as the declaration's layouts say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.layouts import Layout

_DTYPES: dict[str, Any] = {
    "float32": np.float32, "float64": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_,
    "string": np.object_,
}  # fmt: skip
_POLARS: dict[str, pl.DataType] = {
    "float32": pl.Float32(), "float64": pl.Float64(), "int64": pl.Int64(), "int32": pl.Int32(), "bool": pl.Boolean(),
    "string": pl.String(),
}  # fmt: skip


class Extracted(Protocol):
    """Features of one request as the extractor holds them: models read its columns without a frame between."""

    @property
    def features(self) -> pl.DataFrame:
        """All features, one row a candidate."""
        ...

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """Some features."""
        ...

    def matrix(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Columns as one C-ordered float32 matrix [n, len(names)], missing as NaN; it is valid until it is reused."""
        ...


Features = pl.DataFrame | Extracted
"""What a model predicts on."""


def frame(columns: Features, names: Sequence[str]) -> pl.DataFrame:
    """A frame that holds the named features."""
    return columns if isinstance(columns, pl.DataFrame) else columns.select(list(dict.fromkeys(names)))


def matrix(columns: Features, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns as one C-ordered float32 matrix [n, features]; null becomes NaN. One row costs some 30 microseconds."""
    if not isinstance(columns, pl.DataFrame):
        return columns.matrix(names)
    if columns.height == 1:
        row = dict(zip(columns.columns, columns.row(0), strict=True))
        return np.array([[row[name] for name in names]], dtype=np.float32)
    out = np.empty((columns.height, len(names)), dtype=np.float32)
    for index, name in enumerate(names):
        out[:, index] = columns.get_column(name).cast(pl.Float32).to_numpy()
    return out


def tensors(layouts: Iterable[Layout], columns: Features) -> dict[str, NDArray[Any]]:
    """Tensors by name, [n, *shape] of the layouts' dtypes; text as objects. See Layout for what goes beside them."""
    wanted = list(layouts)
    names = [name for layout in wanted if not _in_matrix(layout) for name in layout.features]
    given = frame(columns, names) if names else pl.DataFrame()
    filled: dict[str, NDArray[Any]] = {}
    for layout in wanted:
        if _in_matrix(layout):
            values: NDArray[Any] = matrix(columns, layout.features)
            filled[layout.name] = values.reshape(len(values), *layout.shape)
        elif layout.form == "flat":
            filled[layout.name] = _flat(layout, given)
        elif layout.form == "ragged":
            filled |= _ragged(layout, given)
        else:
            filled |= _padded(layout, given)
    return filled


def _in_matrix(layout: Layout) -> bool:
    return layout.form == "flat" and layout.dtype == "float32" and all(width == 1 for width in layout.widths)


def rows(layouts: Sequence[Layout], filled: Mapping[str, NDArray[Any]]) -> int:
    """How many rows the filled tensors have."""
    first = layouts[0]
    return len(filled[first.name]) if first.form != "ragged" else len(filled[first.names[1]]) - 1


def _flat(layout: Layout, given: pl.DataFrame) -> NDArray[Any]:
    values = np.empty((given.height, sum(layout.widths)), dtype=_DTYPES[layout.dtype])
    if given.height == 1 and all(width == 1 for width in layout.widths):
        # Series by series, a single row would cost ten times that.
        row = dict(zip(given.columns, given.row(0), strict=True))
        found = [row[name] for name in layout.features]
        values[0] = [layout.missing if value is None else _plain(value) for value in found]
    else:
        at = 0
        for name, width in zip(layout.features, layout.widths, strict=True):
            values[:, at : at + width] = _block(given.get_column(name), width, layout)
            at += width
    return values.reshape(len(values), *layout.shape)


def _plain(value: Any) -> Any:
    return value if not hasattr(value, "timestamp") else round(value.timestamp() * 1000)


def _block(column: pl.Series, width: int, layout: Layout) -> NDArray[Any]:
    """A scalar column as [n, 1], a vector column as [n, width]; a missing vector is missing in every place."""
    if column.dtype != pl.List:
        return _values(column, layout)[:, None]
    whole = column.list.len().fill_null(0).to_numpy() == width
    block = np.full((len(column), width), layout.missing, dtype=_DTYPES[layout.dtype])
    if whole.any():
        block[whole] = _values(column.filter(pl.Series(whole)).explode(), layout).reshape(-1, width)
    return block


def _values(column: pl.Series, layout: Layout) -> NDArray[Any]:
    plain = column.dt.epoch("ms") if column.dtype.is_temporal() else column
    return (
        plain.cast(_POLARS[layout.dtype]).fill_null(layout.missing).to_numpy().astype(_DTYPES[layout.dtype], copy=False)
    )


def _ragged(layout: Layout, given: pl.DataFrame) -> dict[str, NDArray[Any]]:
    column = given.get_column(layout.features[0])
    lengths = _lengths(column)
    splits = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(lengths, out=splits[1:])
    values, row_splits = layout.names[:2]
    made = {values: _values(column.filter(pl.Series(lengths > 0)).explode(), layout), row_splits: splits}
    return {**made, layout.names[2]: lengths} if layout.lengths else made


def _padded(layout: Layout, given: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Lists, or steps of several lists side by side, up to the longest of the batch or to the declared size."""
    columns = [given.get_column(name) for name in layout.features]
    longest = layout.shape[0]
    if longest > 0:
        columns = [column.list.head(longest) for column in columns]
    lengths = [_lengths(column) for column in columns]
    most = np.maximum.reduce(lengths)
    size = longest if longest > 0 else max(1, int(most.max(initial=1)))
    parts = [
        _filled(column, length, size, width, layout)
        for column, length, width in zip(columns, lengths, layout.widths, strict=True)
    ]
    tensor = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    made = {layout.name: tensor.reshape(given.height, size) if layout.form == "list" else tensor}
    return {**made, layout.names[1]: most} if layout.lengths else made


def _filled(column: pl.Series, lengths: NDArray[np.int64], size: int, width: int, layout: Layout) -> NDArray[Any]:
    """One list column as [n, size, width]."""
    out = np.full((len(column), size, width), layout.pad, dtype=_DTYPES[layout.dtype])
    inside = np.arange(size) < lengths[:, None]
    if inside.any():
        steps = column.filter(pl.Series(lengths > 0)).explode()
        if steps.dtype == pl.List:
            inner = steps.list.head(width)
            out[inside] = _filled(inner, _lengths(inner), width, 1, layout)[:, :, 0]
        else:
            out[inside] = _values(steps, layout)[:, None]
    return out


def _lengths(column: pl.Series) -> NDArray[np.int64]:
    return column.list.len().fill_null(0).cast(pl.Int64).to_numpy()
