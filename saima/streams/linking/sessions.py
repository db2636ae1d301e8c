"""Open sessions by key: a row of integers in a growing array, and the strings beside it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from saima.streams.linking import layout as at

LEAST = 1024
"""Slots that are held at least."""

Ints = np.ndarray[Any, np.dtype[np.int64]]
Objects = np.ndarray[Any, np.dtype[np.object_]]


class Sessions:
    """A slot a key that has an open session; slots are used again. `dirty` slots have changed since `changed`."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.rows: Ints = np.tile(at.blank(), (LEAST, 1))
        self.keys = np.full(LEAST, None, dtype=object)
        self.ids = np.full(LEAST, None, dtype=object)
        self.names = np.full((LEAST, at.PLACES), None, dtype=object)
        self.causes = np.full((LEAST, at.PLACES), None, dtype=object)
        self.timed = np.zeros(LEAST, dtype=np.bool_)
        self.dirty = np.zeros(LEAST, dtype=np.bool_)
        self._free = list(range(LEAST - 1, -1, -1))
        self._gone: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self.index)

    @property
    def sparse(self) -> bool:
        """Whether most slots are free, so that a fresh set would take much less memory."""
        return len(self.rows) > LEAST and 8 * len(self.index) < len(self.rows)

    def slot(self, key: str) -> int:
        """The slot of a key, given now if it has none."""
        found = self.index.get(key)
        return self._give([key])[0] if found is None else found

    def slots(self, keys: list[str]) -> Ints:
        """Slots of different keys."""
        found: list[Any] = list(map(self.index.get, keys))
        if None in found:
            places = [place for place, slot in enumerate(found) if slot is None]
            for place, slot in zip(places, self._give([keys[place] for place in places]), strict=True):
                found[place] = slot
        return np.array(found, dtype=np.int64)

    def drop(self, slots: list[int]) -> None:
        """Give slots back whose sessions are over."""
        for slot in slots:
            key = self.keys[slot]
            del self.index[key]
            if self.dirty[slot]:
                self._gone[key] = None
        self.keys[slots] = self.ids[slots] = None
        self.names[slots] = self.causes[slots] = None
        self.dirty[slots] = False
        self._free += slots

    def changed(self) -> list[str]:
        """Keys whose sessions changed or ended, in order."""
        return sorted({*self.keys[self.dirty].tolist(), *self._gone})

    def settle(self, changed: list[str] | None = None) -> None:
        """Begin anew to note what changes; `changed` has then changed already."""
        self.dirty[:] = False
        self._gone.clear()
        for key in changed or []:
            if key in self.index:
                self.dirty[self.index[key]] = True
            else:
                self._gone[key] = None

    def pack(self, slot: int) -> bytes:
        """A session as bytes: the row, then its key and strings as JSON."""
        row, depth = self.rows[slot], self.rows[slot, at.DEPTH]
        used = [place < depth or (place == at.LEFT and row[at.WAITS] == 1) for place in range(at.PLACES)]
        names, causes = (
            [string if is_used else None for string, is_used in zip(held[slot], used, strict=True)]
            for held in (self.names, self.causes)
        )
        strings = [self.keys[slot], self.ids[slot], names, causes]
        return bytes(row.tobytes()) + json.dumps(strings, separators=(",", ":")).encode()

    def unpack(self, data: bytes) -> int:
        """Take in a packed session; its slot."""
        key, identity, names, causes = json.loads(data[8 * at.WIDTH :])
        slot = self.slot(key)
        self.rows[slot] = np.frombuffer(data[: 8 * at.WIDTH], dtype=np.int64)
        self.ids[slot], self.names[slot], self.causes[slot] = identity, names, causes
        return slot

    def _give(self, keys: list[str]) -> list[int]:
        while len(self._free) < len(keys):
            self._grow()
        given = self._free[-len(keys) :]
        del self._free[-len(keys) :]
        self.index.update(zip(keys, given, strict=True))
        self.keys[given] = keys
        return given

    def _grow(self) -> None:
        size = len(self.rows)
        self.rows = np.concatenate([self.rows, np.tile(at.blank(), (size, 1))])
        for name in ("keys", "ids", "names", "causes"):
            held = getattr(self, name)
            setattr(self, name, np.concatenate([held, np.full_like(held, None)]))
        for name in ("timed", "dirty"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(size, dtype=np.bool_)]))
        self._free = [*range(2 * size - 1, size - 1, -1), *self._free]
