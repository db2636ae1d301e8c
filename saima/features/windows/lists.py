"""Components that keep some events, or every value with its count."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saima.features.windows.component import Document, Row


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
