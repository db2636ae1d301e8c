"""The state of one key of one group: its newest events, and partials of the hops that have closed.

Geometry. `latest` is the newest event time, `head` = floor(latest - keep, finest hop): every event at or after `head`
is kept. Level i (hop h_i, finest first) holds partials of the hops before floor(head, h_i), as far back as a read at
`head` can reach. All of it is a function of the set of events, so any split of a stream, and the batch path over
history, end in equal entities.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from saima.features.windows.component import Component, Row
from saima.features.windows.definition import Group
from saima.features.windows.measure import components

Level = dict[int, list[Any]]
"""Start of a hop -> its partials, in the order of the group's components."""


@dataclass
class Entity:
    """Mutable state of one key; `head` is meaningless while there are no events."""

    latest: int | None = None
    head: int = 0
    rows: list[Row] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)


class Accumulator:
    """Adds events to the entities of one group."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.components: list[Component] = list(components(group).values())

    def add(self, entity: Entity, rows: Iterable[Row]) -> None:
        """Add events, in any order; values are not null."""
        ordered = sorted(rows)
        if not ordered:
            return
        if entity.latest is None:
            entity.levels = [{} for _ in self.group.hops]
            entity.rows = ordered
            entity.latest = ordered[-1][0]
            entity.head = min(self._floor(ordered[0][0], 0), self._head(entity.latest))
        else:
            self._insert(entity, ordered)
            entity.latest = max(entity.latest, ordered[-1][0])
        self._advance(entity)

    def closed(self, head: int, i: int) -> tuple[int, int]:
        """Starts [first, stop) of the hops of level i that an entity with this head holds closed."""
        return self._reach(head, i), self._floor(head, i)

    def _insert(self, entity: Entity, ordered: list[Row]) -> None:
        late = bisect_left(ordered, (entity.head,))
        for row in ordered[:late]:
            self._fold_late(entity, row)
        fresh = ordered[late:]
        if fresh and (not entity.rows or fresh[0] >= entity.rows[-1]):
            entity.rows.extend(fresh)
            return
        for row in fresh:
            insort(entity.rows, row)

    def _fold_late(self, entity: Entity, row: Row) -> None:
        for i, level in enumerate(entity.levels):
            slot = self._floor(row[0], i)
            if self._reach(entity.head, i) <= slot < self._floor(entity.head, i):
                self._fold(level, slot, [component.of([row]) for component in self.components])

    def _advance(self, entity: Entity) -> None:
        assert entity.latest is not None
        head = self._head(entity.latest)
        old = entity.head
        if head <= old:
            return
        entity.head = head
        closed = bisect_left(entity.rows, (head,))
        run, entity.rows = entity.rows[:closed], entity.rows[closed:]
        if not self.group.hops:
            return
        self._close_rows(entity.levels[0], run)
        for i in range(1, len(entity.levels)):
            self._close_level(entity.levels[i - 1], entity.levels[i], i, self._floor(old, i), self._floor(head, i))
        for i, level in enumerate(entity.levels):
            reach = self._reach(head, i)
            for slot in [slot for slot in level if slot < reach]:
                del level[slot]

    def _close_rows(self, level: Level, run: list[Row]) -> None:
        start = 0
        while start < len(run):
            slot = self._floor(run[start][0], 0)
            stop = bisect_left(run, (slot + self.group.hops[0],), start)
            part = run[start:stop]
            self._fold(level, slot, [component.of(part) for component in self.components])
            start = stop

    def _close_level(self, finer: Level, level: Level, i: int, old: int, new: int) -> None:
        if new <= old:
            return
        slots: dict[int, list[list[Any]]] = {}
        for slot in sorted(finer):
            if old <= slot < new:
                slots.setdefault(self._floor(slot, i), []).append(finer[slot])
        for slot, parts in slots.items():
            self._fold(level, slot, [c.merge([p[n] for p in parts]) for n, c in enumerate(self.components)])

    def _fold(self, level: Level, slot: int, parts: list[Any]) -> None:
        held = level.get(slot)
        if held is not None:
            parts = [c.merge([held[n], parts[n]]) for n, c in enumerate(self.components)]
        level[slot] = parts

    def _head(self, latest: int) -> int:
        return self._floor(latest - self.group.keep, 0)

    def _floor(self, time: int, i: int) -> int:
        hops = self.group.hops
        return time // hops[i] * hops[i] if hops else time

    def _reach(self, head: int, i: int) -> int:
        """Start of the oldest hop that level i needs: for its own windows, and to stand in below the next level."""
        hop = self.group.hops[i]
        reach = (head - self.group.widths[i]) // hop * hop
        return min(reach, self._floor(head, i + 1)) if i + 1 < len(self.group.hops) else reach
