"""Tiles in dictionaries: any measure, and the least work for a single event, which is only noted until someone asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.codec import Codec
from saima.features.windows.component import Row
from saima.features.windows.definition import Ask, Group
from saima.features.windows.entity import Accumulator, Entity
from saima.streams.aggregation.merging import Merged
from saima.streams.aggregation.tiles import Fetch

Ints = npt.NDArray[np.int64]

NOTED = 256
"""Noted events of one key that are folded without being asked for."""

EVENT, ENTITY = 160, 2000
"""About how many bytes an event, and the rest of an entity, take as objects."""


class RowTiles:
    """Tiles of one group, an entity a key."""

    def __init__(self, group: Group, fetch: Fetch | None = None) -> None:
        self.group = group
        self._fetch = fetch
        self._taken = 0
        self._accumulator = Accumulator(group)
        self._codec = Codec(group)
        self._views: list[Merged] = []
        self._entities: dict[str, Entity] = {}
        self._changed: set[str] = set()
        self.noted: dict[str, list[Row]] = {}

    def __len__(self) -> int:
        return len(self._entities) + sum(key not in self._entities for key in self.noted)

    def __contains__(self, key: str) -> bool:
        return key in self._entities or key in self.noted

    def add(self, key: str, row: Row) -> None:
        rows = self.noted.get(key)
        if rows is None:
            self.noted[key] = [row]
            return
        rows.append(row)
        if len(rows) >= NOTED:
            self.fold(key)

    def add_batch(self, keys: pl.Series, times: Ints, seqs: Ints, values: pl.Series | None) -> None:
        column = [None] * len(keys) if values is None else values.to_list()
        for key, row in zip(keys.to_list(), zip(times.tolist(), seqs.tolist(), column, strict=True), strict=True):
            self.add(key, row)

    def fold(self, key: str) -> Entity | None:
        """Fold what was noted of a key; its entity, None if it has no events."""
        if key in self.noted and key not in self._entities:
            self._load_stored([key])
        entity = self._entities.get(key)
        rows = self.noted.pop(key, None)
        if rows is not None:
            self._taken += len(rows)
            if entity is None:
                entity = self._entities[key] = Entity()
            elif entity.latest is not None and min(rows)[0] < entity.head:
                self._forget(key)
            self._accumulator.add(entity, rows)
            self._changed.add(key)
        return entity

    def settle(self) -> None:
        noted = list(self.noted)
        self._load_stored([key for key in noted if key not in self._entities])
        for key in noted:
            self.fold(key)

    def _load_stored(self, keys: Sequence[str]) -> None:
        """Take in what is stored of keys that are not held, and remember that there is nothing of the others."""
        if self._fetch is not None and keys:
            for key, data in zip(keys, self._fetch(keys), strict=True):
                self._entities[key] = Entity() if data is None else self._unpacked(data)

    def _unpacked(self, data: bytes) -> Entity:
        entity = self._codec.unpack(data)
        self._taken += len(entity.rows)
        return entity

    def count(self) -> int:
        self.settle()
        return sum(len(level) for entity in self._entities.values() for level in entity.levels)

    def _forget(self, key: str) -> None:
        for view in self._views:
            view.forget(key)

    def view(self, asks: Sequence[Ask]) -> RowView:
        merged = Merged(self.group, asks)
        self._views.append(merged)
        return RowView(self, merged)

    def pack(self, *, changed: bool) -> list[tuple[str, bytes]]:
        self.settle()
        keys = sorted(self._changed) if changed else list(self._entities)
        if changed:
            self._changed.clear()
        return [(key, self._codec.pack(self._entities[key])) for key in keys]

    def load(self, keys: Sequence[str], entities: Sequence[bytes]) -> None:
        for key, data in zip(keys, entities, strict=True):
            self._entities[key] = self._unpacked(data)

    def room(self) -> int:
        return EVENT * self._taken + ENTITY * len(self._entities)

    def clear(self) -> None:
        self._entities.clear()
        self._changed.clear()
        self.noted.clear()
        self._taken = 0
        for view in self._views:
            view.clear()

    def expire(self, before: int) -> list[str]:
        self.settle()
        gone = [key for key, entity in self._entities.items() if entity.latest is None or entity.latest < before]
        for key in gone:
            del self._entities[key]
            self._changed.discard(key)
            self._forget(key)
        return gone


class RowView:
    """Reads of some measures of a group's entities."""

    def __init__(self, tiles: RowTiles, merged: Merged) -> None:
        self._tiles, self._merged = tiles, merged

    def read(self, key: str, q: int) -> list[Any]:
        return self._merged.read(key, self._tiles.fold(key), q)

    def read_batch(self, keys: pl.Series, q: Ints) -> list[list[Any]]:
        return [self.read(key, moment) for key, moment in zip(keys.to_list(), q.tolist(), strict=True)]
