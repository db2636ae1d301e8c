"""Partials: what a closed hop keeps of its events. Each is a commutative monoid over events (time, seq, value).

A component is one such monoid; several measures read the same one (a mean reads `count` and `sum`). The law, tested:
`merge` of the partials of two runs of events is the partial of both together. An int64 sum keeps all its digits;
whether it fits is asked of the total alone.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from saima.errors import SaimaError
from saima.features.windows.definition import Group

Row = tuple[int, int, Any]
"""An event inside a window: (time, seq, value), ordered by all three."""

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
_LOW = 2**32 - 1


class WindowOverflow(SaimaError, OverflowError):
    """A total of int64 values that does not fit int64."""


class Component(Protocol):
    """A monoid of partials. `columns` are struct codes of its packed columns; "" packs as JSON."""

    @property
    def columns(self) -> str: ...

    def of(self, rows: Sequence[Row]) -> Any:
        """Partial of a run of events that is ordered and not empty."""
        ...

    def merge(self, parts: Sequence[Any]) -> Any:
        """Partial of several runs together, at least one."""
        ...

    def pack(self, part: Any) -> tuple[Any, ...]:
        """Values for the packed columns, or one JSON value."""
        ...

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Partials from slices of the packed columns, or of the JSON values."""
        ...

    def gather(self, columns: Sequence[Sequence[Any]]) -> Any:
        """Partial of all hops in slices of the packed columns, at least one: `merge(unpack(columns))`, but quick."""
        ...


@runtime_checkable
class ByValue(Component, Protocol):
    """A component that does not look at times."""

    def of_values(self, values: Sequence[Any]) -> Any:
        """Partial of the values of a run that is ordered and not empty."""
        ...


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


class Document(ABC):
    """A partial that packs as one JSON value."""

    columns = ""

    @abstractmethod
    def merge(self, parts: Sequence[Any]) -> Any:
        """As the protocol says."""

    def gather(self, columns: Sequence[Sequence[Any]]) -> Any:
        return self.merge(self.unpack(columns))

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


@dataclass(frozen=True)
class Oldest(Document):
    """The k events that come first by (time, seq)."""

    k: int

    def of(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows[: self.k])

    def merge(self, parts: Sequence[list[Row]]) -> list[Row]:
        return sorted([row for part in parts for row in part])[: self.k]

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[list[Row]]:
        return [[(row[0], row[1], row[2]) for row in part] for part in columns[0]]


@dataclass(frozen=True)
class Newest(Document):
    """The k events that come last by (time, seq), newest first."""

    k: int

    def of(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows[: -self.k - 1 : -1])

    def merge(self, parts: Sequence[list[Row]]) -> list[Row]:
        return sorted([row for part in parts for row in part], reverse=True)[: self.k]

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[list[Row]]:
        return [[(row[0], row[1], row[2]) for row in part] for part in columns[0]]


@dataclass(frozen=True)
class Greatest(Document):
    """The k greatest values, greatest first."""

    k: int

    def of(self, rows: Sequence[Row]) -> list[Any]:
        return heapq.nlargest(self.k, [row[2] for row in rows])

    def merge(self, parts: Sequence[list[Any]]) -> list[Any]:
        return heapq.nlargest(self.k, [value for part in parts for value in part])


class Tally(Document):
    """How often each value occurs."""

    def of(self, rows: Sequence[Row]) -> dict[Any, int]:
        tally: dict[Any, int] = {}
        for row in rows:
            tally[row[2]] = tally.get(row[2], 0) + 1
        return tally

    def merge(self, parts: Sequence[dict[Any, int]]) -> dict[Any, int]:
        tally: dict[Any, int] = {}
        for part in parts:
            for value, count in part.items():
                tally[value] = tally.get(value, 0) + count
        return tally

    def pack(self, part: dict[Any, int]) -> tuple[Any]:
        return (sorted(part.items()),)

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[dict[Any, int]]:
        return [dict(part) for part in columns[0]]


def components(group: Group) -> dict[str, Component]:
    """The components that a group's measures need, by name, in packed order."""
    measures = group.measures
    code = "d" if group.is_float else "q"
    result: dict[str, Component] = {"count": Count()}
    if measures & {"sum", "mean"} or ("variance" in measures and not group.is_float):
        result["sum"] = FloatSum() if group.is_float else IntSum()
    if "min" in measures:
        result["min"] = Extreme(code, min)
    if "max" in measures:
        result["max"] = Extreme(code, max)
    if "variance" in measures:
        result["squares"] = Moments() if group.is_float else Squares()
    if measures & {"first", "first_k"}:
        result["oldest"] = Oldest(group.k if "first_k" in measures else 1)
    if measures & {"last", "last_k"}:
        result["newest"] = Newest(group.k if "last_k" in measures else 1)
    if "top_k" in measures:
        result["greatest"] = Greatest(group.k)
    if measures & {"distinct", "histogram"}:
        result["tally"] = Tally()
    return result


NEEDS: Mapping[str, tuple[str, ...]] = {
    "count": ("count",),
    "sum": ("sum",),
    "mean": ("count", "sum"),
    "min": ("min",),
    "max": ("max",),
    "variance": ("count", "sum", "squares"),
    "first": ("oldest",),
    "last": ("newest",),
    "first_k": ("oldest",),
    "last_k": ("newest",),
    "top_k": ("greatest",),
    "distinct": ("tally",),
    "histogram": ("tally",),
}
"""Components that each measure reads (a float's variance reads `squares` alone)."""


def empty(measure: str) -> Any:
    """What a measure is over no events.

    >>> empty("count"), empty("last_k"), empty("mean")
    (0, [], None)
    """
    if measure in ("count", "distinct"):
        return 0
    if measure in ("first_k", "last_k", "top_k"):
        return []
    return {} if measure == "histogram" else None


def fit(total: int) -> int:
    """The total itself, if int64 holds it; else WindowOverflow."""
    if not INT64_MIN <= total <= INT64_MAX:
        raise WindowOverflow(f"the sum {total} does not fit int64; declare a narrower window")
    return total


def result(measure: str, parts: Mapping[str, Any], k: int) -> Any:
    """A measure from the merged components of a window that holds at least one event.

    Raises WindowOverflow where an int64 sum does not fit.
    """
    match measure:
        case "count":
            return parts["count"]
        case "sum":
            return fit(parts["sum"]) if isinstance(parts["sum"], int) else parts["sum"]
        case "mean":
            return float(parts["sum"]) / parts["count"]
        case "variance":
            return _variance(parts)
        case "min" | "max":
            return parts[measure]
        case "first":
            return parts["oldest"][0][2]
        case "last":
            return parts["newest"][0][2]
        case "first_k":
            return [row[2] for row in parts["oldest"][:k]]
        case "last_k":
            return [row[2] for row in parts["newest"][:k]]
        case "top_k":
            return parts["greatest"][:k]
        case "distinct":
            return len(parts["tally"])
        case _:
            return {str(value): parts["tally"][value] for value in sorted(parts["tally"])}


def _variance(parts: Mapping[str, Any]) -> float:
    if isinstance(parts["squares"], list):
        n, _, spread = parts["squares"]
        return float(spread / n)
    n, total, squares = parts["count"], parts["sum"], parts["squares"]
    return float(n * squares - total * total) / float(n * n)
