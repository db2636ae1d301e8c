"""The cache of a whole table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from saima.errors import StoreError
from saima.features.caches.rows import Ask, Copy, Fetched, Open, load
from saima.stores.interfaces import OnlineRead

REST = 10
"""A preloaded table rests this many times as long as its loading took before it is loaded again."""


class Preloaded:
    """`preload`: the whole table is held, and swapped for a new one when it has changed.

    It is loaded behind the requests; until then a changed table's rows are read in the request's own transaction, so
    that every answer is exact.
    """

    def __init__(self, table: str, open_: Open, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self.table = table
        self._open = open_
        self._ask = ask
        self._clock = clock
        self._held: tuple[int, dict[str, Copy]] = (0, {})
        self._rest = float("-inf")
        self._bytes = 0

    def fetch(self, read: OnlineRead, keys: Sequence[str], q: int) -> Fetched:
        """See RowCache."""
        try:
            generation = read.generation(self.table)
            number, held = self._held
            if number == generation:
                copies = {key: held[key] if key in held else Copy(None, None, generation, q) for key in keys}
                if all(copy.opened is not None or copy.data is None for copy in copies.values()):
                    return Fetched(copies, generation == 0, {"hit": len(keys)} if keys else {})
            elif self._clock() >= self._rest:
                self._ask(self, [""], q)
            before = [held.get(key) for key in keys]
            copies, error = load(read, self.table, self._open, keys, before, generation, q)
        except StoreError as broken:
            return Fetched({}, True, {"failed": len(keys)}, str(broken))
        counts = {"miss": len(copies), "failed": len(keys) - len(copies)}
        results = {name: count for name, count in counts.items() if count}
        return Fetched(copies, generation == 0 or len(copies) < len(keys), results, error)

    def refresh(self, read: OnlineRead, asked: dict[str, int]) -> None:  # noqa: ARG002 - all of it is loaded
        """Load the table anew; a damaged row is held without its versions, and missing where it is asked for."""
        started = self._clock()
        generation = read.generation(self.table)
        number, held = self._held
        if generation == number:
            return
        fresh: dict[str, Copy] = {}
        error, size = "", 0
        for key, data in read.scan(self.table):
            before = held.get(key)
            size += len(data)
            if before is not None and before.data == data and before.opened is not None:
                fresh[key] = Copy(data, before.opened, generation, 0)
                continue
            try:
                fresh[key] = Copy(data, self._open(data), generation, 0)
            except StoreError as damaged:
                error = f"{damaged} (key '{key}')"
                fresh[key] = Copy(data, None, generation, 0)
        self._held, self._bytes = (generation, fresh), size  # one store each: other threads see the old or the new
        ended = self._clock()
        self._rest = ended + REST * (ended - started)
        if error:
            raise StoreError(error)

    @property
    def entries(self) -> int:
        """Rows held."""
        return len(self._held[1])

    @property
    def bytes(self) -> int:
        """Bytes of the packed rows held."""
        return self._bytes
