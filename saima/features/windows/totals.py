"""Components that are one number: counts, sums, extremes, moments.

An int64 sum keeps all its digits; whether it fits is asked of the total alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from saima.features.windows.component import Document, Row

_LOW = 2**32 - 1


@dataclass(frozen=True)
class Count:
    columns: str = "q"

    def of(self, rows: Sequence[Row]) -> int:
        return len(rows)

    def of_values(self, values: Sequence[Any]) -> int:
        return len(values)

    def gather(self, columns: Sequence[Sequence[int]]) -> int:
        return sum(columns[0])

    def merge(self, parts: Sequence[int]) -> int:
        return sum(parts)

    def pack(self, part: int) -> tuple[int]:
        return (part,)

    def unpack(self, columns: Sequence[Sequence[int]]) -> list[int]:
        return list(columns[0])


@dataclass(frozen=True)
class IntSum:
    """A sum of int64 values in two columns, high digits and low 32 bits, each of which sums without overflow."""

    columns: str = "qq"

    def of(self, rows: Sequence[Row]) -> int:
        return sum([row[2] for row in rows])

    def of_values(self, values: Sequence[int]) -> int:
        return sum(values)

    def gather(self, columns: Sequence[Sequence[int]]) -> int:
        return (sum(columns[0]) << 32) + sum(columns[1])

    def merge(self, parts: Sequence[int]) -> int:
        return sum(parts)

    def pack(self, part: int) -> tuple[int, int]:
        return part >> 32, part & _LOW

    def unpack(self, columns: Sequence[Sequence[int]]) -> list[int]:
        return [(high << 32) + low for high, low in zip(*columns, strict=True)]


@dataclass(frozen=True)
class FloatSum:
    """A sum of floats, added in the order of (time, seq) inside a hop; declared `exact: false`."""

    columns: str = "d"

    def of(self, rows: Sequence[Row]) -> float:
        return float(sum([row[2] for row in rows]))

    def of_values(self, values: Sequence[float]) -> float:
        return float(sum(values))

    def gather(self, columns: Sequence[Sequence[float]]) -> float:
        return float(sum(columns[0]))

    def merge(self, parts: Sequence[float]) -> float:
        return float(sum(parts))

    def pack(self, part: float) -> tuple[float]:
        return (part,)

    def unpack(self, columns: Sequence[Sequence[float]]) -> list[float]:
        return list(columns[0])


@dataclass(frozen=True)
class Extreme:
    """The least or the greatest value."""

    columns: str
    best: Callable[[Sequence[Any]], Any]

    def of(self, rows: Sequence[Row]) -> Any:
        return self.best([row[2] for row in rows])

    def of_values(self, values: Sequence[Any]) -> Any:
        return self.best(values)

    def gather(self, columns: Sequence[Sequence[Any]]) -> Any:
        return self.best(columns[0])

    def merge(self, parts: Sequence[Any]) -> Any:
        return self.best(parts)

    def pack(self, part: Any) -> tuple[Any]:
        return (part,)

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        return list(columns[0])


class Squares(Document):
    """The sum of the squares of int64 values, exact."""

    def of(self, rows: Sequence[Row]) -> int:
        return sum([row[2] * row[2] for row in rows])

    def merge(self, parts: Sequence[int]) -> int:
        return sum(parts)


class Moments(Document):
    """Count, mean and sum of squared deviations of floats, merged as Chan, Golub and LeVeque (1979) do."""

    def of(self, rows: Sequence[Row]) -> list[float]:
        mean = sum([row[2] for row in rows]) / len(rows)
        return [len(rows), mean, sum([(row[2] - mean) ** 2 for row in rows])]

    def merge(self, parts: Sequence[list[float]]) -> list[float]:
        n, mean, spread = parts[0]
        for m, other, more in parts[1:]:
            delta = other - mean
            spread += more + delta * delta * n * m / (n + m)
            mean += delta * m / (n + m)
            n += m
        return [n, mean, spread]
