"""Sums of many runs of an array, from sums of its beginnings."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LOW = np.int64(2**32 - 1)
EXACT = 2**53
"""Whole numbers below it are floats without rounding."""


class IntSums:
    """Exact sums of int64 values."""

    def __init__(self, values: Ints) -> None:
        peak = max(abs(int(values.max(initial=0))), abs(int(values.min(initial=0))))
        self._high: Ints | None = None
        if peak * max(len(values), 1) < 2**62:
            self._low = beginnings(values)
        else:
            self._high, self._low = beginnings(values >> 32), beginnings(values & _LOW)

    def of(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        """Sums of the runs [low, high): int64, or Python's integers where one does not fit."""
        total: Ints = self._low[high] - self._low[low]
        if self._high is None:
            return total
        upper: Ints = self._high[high] - self._high[low] + (total >> 32)
        total &= _LOW
        if not len(upper) or (int(upper.min()) >= -(2**31) and int(upper.max()) < 2**31):
            return (upper << 32) | total
        exact: npt.NDArray[Any] = (upper.astype(object) << 32) + total.astype(object)
        return exact


class FloatSums:
    """Sums of float64 values, within a rounding of the exact sum and whatever the order of the values.

    Each value is cut into two whole numbers of a common power of two, whose sums are exact.
    """

    def __init__(self, values: Floats) -> None:
        finite = np.isfinite(values)
        self._infinite: tuple[Ints, Ints] | None = None
        if not finite.all():
            self._infinite = beginnings(values == np.inf), beginnings(values == -np.inf)
            values = np.where(finite, values, 0.0)
        peak = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
        bits = 62 - len(values).bit_length()
        self._coarse = int(np.frexp(peak)[1]) - bits
        self._fine = self._coarse - bits
        high = np.rint(np.ldexp(values, -self._coarse))
        rest = values - np.ldexp(high, self._coarse)
        self._high = beginnings(high.astype(np.int64))
        self._low = beginnings(np.rint(np.ldexp(rest, -self._fine)).astype(np.int64))

    def of(self, low: Ints, high: Ints) -> Floats:
        """Sums of the runs [low, high); both infinities in one run give NaN."""
        coarse = (self._high[high] - self._high[low]).astype(np.float64)
        fine = (self._low[high] - self._low[low]).astype(np.float64)
        sums: Floats = np.ldexp(coarse, self._coarse) + np.ldexp(fine, self._fine)
        if self._infinite is not None:
            up, down = (sums_of[high] > sums_of[low] for sums_of in self._infinite)
            sums[up], sums[down], sums[up & down] = np.inf, -np.inf, np.nan
        return sums


class Squares:
    """Exact sums of the squares of int64 values."""

    def __init__(self, values: Ints) -> None:
        self._values = values
        self._peak = max(abs(int(values.max(initial=0))), abs(int(values.min(initial=0))))

    @cached_property
    def _sums(self) -> IntSums | None:
        return IntSums(self._values * self._values) if self._peak < 3_037_000_499 else None

    def of(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        """Sums of the squares of the runs [low, high): int64, or Python's integers where one does not fit."""
        if self._sums is not None:
            return self._sums.of(low, high)
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        return np.array([sum([v * v for v in self._values[a:b].tolist()]) for a, b in pairs], object)


def beginnings(values: npt.NDArray[Any]) -> Ints:
    """Sums of the first 0, 1, 2, ... values."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def ratio(numerators: npt.NDArray[Any], denominators: npt.NDArray[Any]) -> Floats:
    """Whole numbers over whole numbers, rounded once, as Python divides them."""
    small = numerators.dtype != object and denominators.dtype != object and len(numerators) > 0
    if small and max(int(np.abs(numerators).max()), int(denominators.max())) < EXACT:
        quotients: Floats = numerators / denominators
        return quotients
    pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
    return np.array([a / b for a, b in pairs], np.float64)
