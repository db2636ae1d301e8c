"""Sketches: distinct values and quantiles within a declared error, in bounded room.

Both are functions of the multiset of values alone, with whole numbers inside, so that any order, split or merge gives
the same bits. Distinct: HyperLogLog (Flajolet et al., 2007) with the estimator of Ertl (2017), which needs no tables
of bias; the error is its standard error. Quantile: DDSketch (Masson, Rim and Lee, 2019) with buckets linear between
powers of two, read off a float's bits instead of a logarithm; the error bounds the relative distance to the value of
that rank.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from saima.features.operators.farmhash import fingerprint64
from saima.features.windows.component import Document, Row

PRECISIONS = range(4, 19)
RESOLUTIONS = range(21)
_MANTISSA, _EXPONENT_ONE = 52, 1 << 52
_INFINITY = 0x7FF << 52


def precision_of(error: float) -> int:
    """Bits of a register's number for a standard error; ValueError if it is too small.

    >>> precision_of(0.01), precision_of(0.05)
    (14, 9)
    """
    for precision in PRECISIONS:
        if 1.04 / math.sqrt(1 << precision) <= error:
            return precision
    raise ValueError(f"an approximate distinct has an error of at least 0.0021, not {error:g}")


def resolution_of(error: float) -> int:
    """Bits of the mantissa that number a bucket, for a relative error; ValueError if it is too small.

    >>> resolution_of(0.01), resolution_of(0.5)
    (6, 0)
    """
    for bits in RESOLUTIONS:
        if 0.5 ** (bits + 1) <= error:
            return bits
    raise ValueError(f"a quantile has an error of at least 5e-07, not {error:g}")


def register(digest: int, precision: int) -> tuple[int, int]:
    """A value's register and rank, from the 64 bits of its hash."""
    width = 64 - precision
    rest = digest & ((1 << width) - 1)
    return digest >> width, width - rest.bit_length() + 1


def registers(digests: npt.NDArray[np.uint64], precision: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The same for many hashes."""
    width = 64 - precision
    rest = digests & np.uint64((1 << width) - 1)
    high = np.frexp((rest >> np.uint64(32)).astype(np.float64))[1]  # bit length of each half: frexp of 0 is 0
    low = np.frexp((rest & np.uint64(2**32 - 1)).astype(np.float64))[1]
    length = np.where(high > 0, high + 32, low).astype(np.int64)
    return (digests >> np.uint64(width)).astype(np.int64), width - length + 1


class Registers(Document):
    """HyperLogLog's registers that are not empty: number -> rank."""

    def __init__(self, precision: int) -> None:
        self.precision = precision

    def of(self, rows: Sequence[Row]) -> dict[int, int]:
        found: dict[int, int] = {}
        for text in {str(row[2]) for row in rows}:
            place, rank = register(fingerprint64(text.encode()), self.precision)
            found[place] = max(rank, found.get(place, 0))
        return found

    def merge(self, parts: Sequence[dict[int, int]]) -> dict[int, int]:
        found = dict(parts[0])
        for part in parts[1:]:
            for place, rank in part.items():
                if rank > found.get(place, 0):
                    found[place] = rank
        return found

    def pack(self, part: dict[int, int]) -> tuple[Any]:
        return ([place << 6 | rank for place, rank in sorted(part.items())],)

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[dict[int, int]]:
        return [{word >> 6: word & 63 for word in part} for part in columns[0]]


def distinct(found: Mapping[int, int], precision: int) -> int:
    """Estimate of how many values filled the registers (Ertl 2017, algorithm 6), rounded.

    >>> distinct(Registers(10).of([(0, 0, value) for value in range(100)]), 10)
    97
    """
    m, top = 1 << precision, 64 - precision
    counts = [0] * (top + 2)
    for rank in found.values():
        counts[rank] += 1
    z = m * _tau((m - counts[top + 1]) / m)
    for rank in range(top, 0, -1):
        z = 0.5 * (z + counts[rank])
    empty = m - len(found)
    if empty == m:
        return 0
    return int(m * m / (2 * _LN2 * (z + m * _sigma(empty / m))) + 0.5)


_LN2 = 0.6931471805599453


def _sigma(x: float) -> float:
    y, z, before = 1.0, x, -1.0
    while z != before:
        x, before = x * x, z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x, before, y = math.sqrt(x), z, 0.5 * y
        z -= (1 - x) ** 2 * y
    return z / 3


def bucket(value: float, resolution: int) -> int:
    """Number of a value's bucket; buckets are ordered as their values, and 0 holds zero and subnormal numbers."""
    word: int = struct.unpack("<q", struct.pack("<d", abs(value)))[0]
    number = word >> (_MANTISSA - resolution) if word >= _EXPONENT_ONE else 0
    return -number if value < 0 else number


def buckets(values: npt.NDArray[Any], resolution: int) -> npt.NDArray[np.int64]:
    """The same for many values."""
    floats = values.astype(np.float64)
    words = np.abs(floats).view(np.int64)
    numbers = np.where(words >= _EXPONENT_ONE, words >> (_MANTISSA - resolution), 0)
    return np.where(floats < 0, -numbers, numbers)


class Buckets(Document):
    """How many values lie in each bucket."""

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def of(self, rows: Sequence[Row]) -> dict[int, int]:
        found: dict[int, int] = {}
        for row in rows:
            number = bucket(float(row[2]), self.resolution)
            found[number] = found.get(number, 0) + 1
        return found

    def merge(self, parts: Sequence[dict[int, int]]) -> dict[int, int]:
        found = dict(parts[0])
        for part in parts[1:]:
            for number, count in part.items():
                found[number] = found.get(number, 0) + count
        return found

    def pack(self, part: dict[int, int]) -> tuple[Any]:
        return (sorted(part.items()),)

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[dict[int, int]]:
        return [dict(part) for part in columns[0]]


def quantile(found: Mapping[int, int], percent: int, resolution: int) -> float:
    """The value of rank floor(percent / 100 * (n - 1)) of n, within the error.

    >>> quantile(Buckets(6).of([(0, 0, value) for value in range(1001)]), 95, 6)
    948.0
    """
    left = percent * (sum(found.values()) - 1) // 100
    for number in sorted(found):
        left -= found[number]
        if left < 0:
            return _middle(number, resolution)
    raise ValueError("a quantile of no values")


def _middle(number: int, resolution: int) -> float:
    """The middle of a bucket; infinity stays, and zero."""
    if number == 0:
        return 0.0
    word = abs(number) << (_MANTISSA - resolution)
    if word != _INFINITY:
        word += 1 << (_MANTISSA - resolution - 1)  # half a bucket further: between powers of two floats are even
    middle: float = struct.unpack("<d", struct.pack("<q", word))[0]
    return -middle if number < 0 else middle
