"""Features as serialized tf.Examples, written without TensorFlow: one per row, each feature under its own name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.learning.tensors import Features, frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES, FLOATS, INTS = 1, 2, 3
"""Field numbers of `Feature`: bytes_list, float_list, int64_list (tensorflow/core/example/feature.proto)."""


def examples(columns: Features, names: Sequence[str]) -> NDArray[np.object_]:
    """Rows as bytes of tf.Example, object [n]: whole numbers and bools as int64_list, floats as float_list, text as
    bytes_list; a list or vector gives several values. A missing value is left out, and so is a null inside a list.
    """
    given = frame(columns, names)
    entries = [_entries(given.get_column(name), name) for name in names]
    rows = np.empty(given.height, dtype=np.object_)
    for at, parts in enumerate(zip(*entries, strict=True) if entries else [()] * given.height):
        rows[at] = _field(1, b"".join(parts))
    return rows


def _entries(column: pl.Series, name: str) -> list[bytes]:
    """A column as the rows' entries of the map `Features.feature`; a scalar that comes again is encoded once."""
    listed = isinstance(column.dtype, pl.List | pl.Array)
    inner = column.dtype.inner if isinstance(column.dtype, pl.List | pl.Array) else column.dtype
    plain = _plain(pl.element() if listed else pl.col(column.name), inner)
    values = column.list.eval(plain) if listed else column.to_frame().select(plain).to_series()
    kind, encode = _kind(inner)
    key = _field(1, name.encode())
    seen: dict[Any, bytes] = {None: b""}

    def entry(held: list[Any]) -> bytes:
        return _field(1, key + _field(2, _field(kind, encode([value for value in held if value is not None]))))

    if listed:
        return [b"" if held is None else entry(held) for held in values.to_list()]
    scalars = values.to_list()
    for value in set(scalars) - {None, 0.0}:
        seen[value] = entry([value])
    return [seen[value] if value in seen else entry([value]) for value in scalars]


def _plain(values: pl.Expr, inner: Any) -> pl.Expr:
    """Timestamps as milliseconds, floats as float32 without NaN."""
    if inner.is_temporal():
        return values.dt.epoch("ms")
    return values.cast(pl.Float32).fill_nan(None) if inner.is_float() else values


def _kind(inner: Any) -> tuple[int, Callable[[list[Any]], bytes]]:
    if inner == pl.String:
        return BYTES, lambda values: b"".join(_field(1, value.encode()) for value in values)
    if inner.is_float():
        return FLOATS, lambda values: _packed(struct.pack(f"<{len(values)}f", *values))
    return INTS, lambda values: _packed(b"".join(_varint(int(value)) for value in values))


def _packed(data: bytes) -> bytes:
    return _field(1, data) if data else b""


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of the wire format."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
