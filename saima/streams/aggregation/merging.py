"""Reads of entities that are held unpacked: the values of `saima.features.windows.Reader`, with what repeats kept.

Of a window, the merged closed tiles are kept while neither its tail nor the key's head moves; where measures are exact
in any order, so is everything up to the last event that a read counted, and the next read adds what came after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saima.features.windows import BehindHead
from saima.features.windows.component import ByValue, Row
from saima.features.windows.definition import Ask, Group, Window, needs
from saima.features.windows.entity import Entity
from saima.features.windows.measure import components, empty, result
from saima.features.windows.totals import FloatSum, Moments


@dataclass(slots=True)
class Kept:
    """Of one key and window: pieces of the closed tiles; parts up to the event `last` at place `at` of the head."""

    tail: int
    head: int
    closed: list[list[Any]]
    parts: list[Any] | None = None
    at: int = -1
    last: Row | None = None


class Shape:
    """The measures of one window: which components they need, and where their values go."""

    def __init__(self, window: Window, asks: Sequence[Ask], group: Group) -> None:
        held = components(group)
        self.window = window
        self.wanted = [(place, ask.measure, ask.k) for place, ask in enumerate(asks) if ask.window == window]
        self.names = list(dict.fromkeys(name for _, measure, _ in self.wanted for name in needs(measure, group)))
        self.components = [held[name] for name in self.names]
        self.places = [list(held).index(name) for name in self.names]
        self.by_value = all(isinstance(component, ByValue) for component in self.components)
        self.exact = not any(isinstance(component, FloatSum | Moments) for component in self.components)

    def of(self, rows: list[Row]) -> list[Any]:
        """Parts of a run of events that is not empty."""
        if self.by_value:
            values = [row[2] for row in rows]
            return [component.of_values(values) for component in self.components]  # type: ignore[attr-defined]
        return [component.of(rows) for component in self.components]


class Merged:
    """Reads of one group's entities."""

    def __init__(self, group: Group, asks: Sequence[Ask]) -> None:
        self._group = group
        self._empty = [empty(ask.measure) for ask in asks]
        self._shapes = [Shape(window, asks, group) for window in dict.fromkeys(ask.window for ask in asks)]
        self._kept: dict[str, list[Kept | None]] = {}

    def forget(self, key: str) -> None:
        """Drop what is kept of a key: its closed tiles have changed, or it is gone."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """The same of all keys."""
        self._kept.clear()

    def read(self, key: str, entity: Entity | None, q: int) -> list[Any]:
        """Values of the asks as of q; raises as `Reader.read` does."""
        values = [list(value) if isinstance(value, list) else value for value in self._empty]
        if entity is None or entity.latest is None:
            return values
        if q < entity.head + self._group.slide:
            raise BehindHead(
                f"{self._group.table}: a read at {q} is {entity.latest - q} ms behind the newest event; reads are "
                f"right from {entity.head + self._group.slide} on; raise the lateness of source '{self._group.source}'"
            )
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = [None] * len(self._shapes)
        stop = bisect_left(entity.rows, (q,))
        for place, shape in enumerate(self._shapes):
            tail = shape.window.tail(q)
            found = kept[place]
            if found is None or found.tail != tail or found.head != entity.head:
                found = kept[place] = Kept(tail, entity.head, self._closed(entity, shape, tail))
            parts = _parts(entity.rows, shape, found, stop)
            if parts is not None:
                named = dict(zip(shape.names, parts, strict=True))
                for at, measure, k in shape.wanted:
                    values[at] = result(measure, named, k, self._group)
        return values

    def _closed(self, entity: Entity, shape: Shape, tail: int) -> list[list[Any]]:
        """Pieces of the closed tiles from the tail on, a level each, coarsest first: parts in the shape's order."""
        window, hops = shape.window, self._group.hops
        if not window.hop or tail >= entity.head:
            return []
        pieces = []
        for i, hop in enumerate(hops):
            lower = tail if hop == window.hop else max(tail, entity.head // hops[i + 1] * hops[i + 1])
            tiles = [level for start, level in sorted(entity.levels[i].items()) if start >= lower]
            if tiles:
                pieces.append([
                    component.merge([tile[place] for tile in tiles])
                    for component, place in zip(shape.components, shape.places, strict=True)
                ])  # fmt: skip
            if hop == window.hop:
                break
        return pieces[::-1]


def _parts(rows: list[Row], shape: Shape, kept: Kept, stop: int) -> list[Any] | None:
    """Parts of a window that ends before place `stop` of the head; None if it holds no event."""
    if shape.exact and kept.parts is not None and kept.at < stop and rows[kept.at] is kept.last:
        start, pieces = kept.at + 1, [kept.parts]
    else:
        start, pieces = bisect_left(rows, (kept.tail,), 0, stop), kept.closed
    if start < stop:
        pieces = [*pieces, shape.of(rows[start:stop])]
    if not pieces:
        return None
    parts = pieces[0]
    if len(pieces) > 1:
        parts = [component.merge(part) for component, *part in zip(shape.components, *pieces, strict=True)]
    if shape.exact and start < stop:
        kept.parts, kept.at, kept.last = parts, stop - 1, rows[stop - 1]
    return parts
