"""Copies of a table's rows in memory: what every cache of rows shares.

A copy is exact while the table's generation is the one that it was read under. Where a cache has a ttl, a copy may be
older than the table by that much, on request.time; how far it lies ahead of a request is bounded in the same way.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from saima.errors import StoreError
from saima.stores.interfaces import OnlineRead

Versions = tuple[int, list[list[Any]]]
"""A key's newest event time and its versions, ascending."""

Open = Callable[[bytes], Versions]
"""Unpacks a key's bytes; raises StoreError if they are damaged."""


class Copy:
    """A key's packed bytes (None: it has no row) and its versions, as read from a generation at request.time `at` (ms).

    While a key's bytes stay equal, `opened` stays the same object.
    """

    __slots__ = ("at", "data", "generation", "opened")

    def __init__(self, data: bytes | None, opened: Versions | None, generation: int, at: int) -> None:
        self.data = data
        self.opened = opened
        self.generation = generation
        self.at = at


@dataclass(slots=True)
class Fetched:
    """Copies by key; a key that could not be read is not among them.

    degraded: a key is missing, or a copy older than its ttl, or nothing has been built. results: keys by how they were
    answered: hit, miss (sync: read from the store; async: asked for, not there yet), late (a copy older than the ttl),
    failed (the store raised, or the entity is damaged). error: what was raised, or nothing.
    """

    copies: dict[str, Copy]
    degraded: bool = False
    results: dict[str, int] = field(default_factory=dict)
    error: str = ""


class RowCache(Protocol):
    """Copies of one table of the online store; used by any number of threads."""

    table: str

    def fetch(self, read: OnlineRead, keys: Sequence[str], q: int) -> Fetched:
        """Copies for distinct keys as of q (request.time, ms); what the store raises is in the result."""
        ...

    def refresh(self, read: OnlineRead, asked: dict[str, int]) -> None:
        """Renew what requests asked for behind them: keys with their request.time. Raises StoreError."""
        ...

    @property
    def entries(self) -> int:
        """Copies held."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes of the packed rows held."""
        ...


Ask = Callable[["RowCache", Iterable[str], int], None]
"""Asks for a refresh of keys behind a request at q."""


class Lru:
    """Copies by key, the least recently used going first; for several threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = 0
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._copies)

    def get_many(self, keys: Sequence[str]) -> list[Copy | None]:
        """Copies of keys, which are the most recently used from now on."""
        copies = self._copies
        with self._lock:
            found = [copies.get(key) for key in keys]
            for key, copy in zip(keys, found, strict=True):
                if copy is not None:
                    copies.move_to_end(key)
        return found

    def put_many(self, fresh: dict[str, Copy]) -> None:
        """Hold copies; one of an older generation never replaces a newer one."""
        copies = self._copies
        with self._lock:
            for key, copy in fresh.items():
                held = copies.get(key)
                if held is not None and held.generation > copy.generation:
                    continue
                copies[key] = copy
                copies.move_to_end(key)
                self.bytes += len(copy.data or b"") - (len(held.data or b"") if held else 0)
            while len(copies) > self.size:
                _, gone = copies.popitem(last=False)
                self.bytes -= len(gone.data or b"")


def load(
    read: OnlineRead, table: str, open_: Open, keys: Sequence[str], held: Sequence[Copy | None], generation: int, q: int
) -> tuple[dict[str, Copy], str]:
    """Copies of keys read now, and the error of the last damaged one, which is left out. Raises StoreError."""
    fresh: dict[str, Copy] = {}
    error = ""
    opened: Versions | None
    for key, before, data in zip(keys, held, read.get_many(table, keys), strict=True):
        try:
            if before is not None and before.opened is not None and before.data == data:
                opened = before.opened
            else:
                opened = None if data is None else open_(data)
        except StoreError as damaged:
            error = f"{damaged} (key '{key}')"
            continue
        fresh[key] = Copy(data, opened, generation, q)
    return fresh, error
