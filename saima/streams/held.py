"""Entities that an engine holds unpacked: loaded as needed, packed again when changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

Load = Callable[[str, Sequence[str]], list[bytes | None]]
"""Reads packed entities of a table, as `OnlineRead.get_many` does."""

Change = tuple[str, str, bytes | None]
"""Table, key, packed entity."""

CAPACITY = 200_000
"""Entities that are kept unpacked; beyond it all unchanged ones are dropped and load again as needed."""


def nothing(_table: str, keys: Sequence[str]) -> list[bytes | None]:
    """A `Load` of an empty store."""
    return [None] * len(keys)


class Held(Generic[T]):
    """A write-back cache of entities by (table, key) over a `Load`."""

    def __init__(self, load: Load, unpack: Callable[[str, bytes], T], capacity: int = CAPACITY) -> None:
        self._load = load
        self._unpack = unpack
        self._capacity = capacity
        self._entities: dict[tuple[str, str], T] = {}
        self._changed: set[tuple[str, str]] = set()

    def get(self, table: str, keys: Sequence[str]) -> list[T | None]:
        """Entities by key, None where there is none; those not held are loaded together."""
        missing = [key for key in keys if (table, key) not in self._entities]
        if missing:
            for key, data in zip(missing, self._load(table, missing), strict=True):
                if data is not None:
                    self._entities[table, key] = self._unpack(table, data)
        return [self._entities.get((table, key)) for key in keys]

    def put(self, table: str, key: str, entity: T) -> None:
        """Hold an entity that has changed."""
        self._entities[table, key] = entity
        self._changed.add((table, key))

    def changes(self, pack: Callable[[str, T], bytes]) -> list[Change]:
        """Entities changed since the last call, packed, ordered by table and key."""
        result: list[Change] = [(*place, pack(place[0], self._entities[place])) for place in sorted(self._changed)]
        self._changed.clear()
        if len(self._entities) > self._capacity:
            self._entities.clear()
        return result

    def forget(self) -> None:
        """Drop everything held, changed or not."""
        self._entities.clear()
        self._changed.clear()
