"""GrowthBook's hashes over a column: FNV-1a over UTF-16 code units, as `place` computes them one by one."""

from __future__ import annotations

import numba
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

_BASIS, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def growthbook_v1(units: pl.Series, salt: str) -> pl.Series:
    """FNV-1a of unit + salt, modulo 1000, / 1000; a null is 0."""
    return pl.Series(units.name, _of(units, np.zeros(0, np.uint16), _utf16(salt)) % 1000 / 1000)


def growthbook_v2(units: pl.Series, salt: str) -> pl.Series:
    """FNV-1a of the decimal text of FNV-1a of salt + unit, modulo 10000, / 10000; a null is 0."""
    inner = _of(units, _utf16(salt), np.zeros(0, np.uint16))
    return pl.Series(units.name, _decimal(inner) % 10_000 / 10_000)


def _of(units: pl.Series, before: NDArray[np.uint16], after: NDArray[np.uint16]) -> NDArray[np.uint32]:
    array = units.to_arrow().cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int64)[array.offset : array.offset + len(array) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return _hashed(offsets, text, before, after)


def _utf16(text: str) -> NDArray[np.uint16]:
    return np.frombuffer(text.encode("utf-16-le"), np.uint16)


@numba.njit(cache=True, nogil=True)
def _hashed(
    offsets: NDArray[np.int64], text: NDArray[np.uint8], before: NDArray[np.uint16], after: NDArray[np.uint16]
) -> NDArray[np.uint32]:
    found = np.empty(len(offsets) - 1, np.uint32)
    start = np.uint64(_BASIS)
    for unit in before:
        start = ((start ^ np.uint64(unit)) * np.uint64(_PRIME)) & np.uint64(_MASK)
    for row in range(len(found)):
        value, at, end = start, offsets[row], offsets[row + 1]
        while at < end:
            first = np.uint32(text[at])
            width = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            point = first if width == 1 else first & np.uint32(0xFF >> (width + 1))
            for more in range(1, width):
                point = (point << np.uint32(6)) | (np.uint32(text[at + more]) & np.uint32(0x3F))
            at += width
            if point >= 0x10000:
                high = np.uint64(0xD800) + np.uint64((point - np.uint32(0x10000)) >> np.uint32(10))
                value = ((value ^ high) * np.uint64(_PRIME)) & np.uint64(_MASK)
                point = np.uint32(0xDC00) + ((point - np.uint32(0x10000)) & np.uint32(0x3FF))
            value = ((value ^ np.uint64(point)) * np.uint64(_PRIME)) & np.uint64(_MASK)
        for unit in after:
            value = ((value ^ np.uint64(unit)) * np.uint64(_PRIME)) & np.uint64(_MASK)
        found[row] = value
    return found


@numba.njit(cache=True, nogil=True)
def _decimal(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """FNV-1a of the decimal text of each value."""
    found = np.empty(len(values), np.uint32)
    for row in range(len(values)):
        left, power = np.uint64(values[row]), np.uint64(1)
        while left // power >= np.uint64(10):
            power *= np.uint64(10)
        value = np.uint64(_BASIS)
        while power > np.uint64(0):
            digit = np.uint64(48) + (left // power) % np.uint64(10)
            value = ((value ^ digit) * np.uint64(_PRIME)) & np.uint64(_MASK)
            power //= np.uint64(10)
        found[row] = value
    return found
