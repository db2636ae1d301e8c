"""Caches of the keys used last: `sync` reads what it lacks within the request, `async` behind it."""

from __future__ import annotations

from collections.abc import Sequence

from saima.errors import StoreError
from saima.features.caches.rows import Ask, Copy, Fetched, Lru, Open, load
from saima.stores.interfaces import OnlineRead


class _Held:
    """What `sync` and `async` share: an LRU with a ttl."""

    def __init__(self, table: str, open_: Open, ttl: int, size: int) -> None:
        """ttl: ms on request.time; 0: a copy is good only while the table is unchanged. size: keys held."""
        self.table = table
        self.ttl = ttl
        self._open = open_
        self._lru = Lru(size)

    @property
    def entries(self) -> int:
        return len(self._lru)

    @property
    def bytes(self) -> int:
        return self._lru.bytes


class ReadThrough(_Held):
    """`sync`: what is not held, or too old, is read in the request's own transaction."""

    def fetch(self, read: OnlineRead, keys: Sequence[str], q: int) -> Fetched:
        """See RowCache."""
        generation, ttl = _number(read, self.table), self.ttl
        held = self._lru.get_many(keys)
        copies: dict[str, Copy] = {}
        missed: list[str] = []
        before: list[Copy | None] = []
        for key, copy in zip(keys, held, strict=True):
            if copy is not None and copy.generation == generation:
                copy.at = q
            elif copy is None or not ttl or abs(q - copy.at) > ttl:
                missed.append(key)
                before.append(copy)
                continue
            copies[key] = copy
        found = Fetched(copies, generation == 0, {"hit": len(copies)} if copies else {})
        if missed:
            self._miss(read, missed, before, generation, q, found)
        return found

    def _miss(
        self,
        read: OnlineRead,
        keys: list[str],
        before: list[Copy | None],
        generation: int | None,
        q: int,
        found: Fetched,
    ) -> None:
        try:
            number = read.generation(self.table) if generation is None else generation
            fresh, found.error = load(read, self.table, self._open, keys, before, number, q)
        except StoreError as error:
            fresh, found.error = {}, str(error)
        if fresh:
            found.results["miss"] = len(fresh)
            found.copies |= fresh
            if generation:
                self._lru.put_many(fresh)
        if len(fresh) < len(keys):
            found.results["failed"] = len(keys) - len(fresh)
            found.degraded = True

    def refresh(self, read: OnlineRead, asked: dict[str, int]) -> None:
        """Nothing is asked for behind."""


class ReadBehind(_Held):
    """`async`: the answer is what is held; a key's first read is missing, and what grows old is read again behind.

    A copy is read again from half of its ttl on, so that keys asked for often are never late.
    """

    def __init__(self, table: str, open_: Open, ttl: int, size: int, ask: Ask) -> None:
        super().__init__(table, open_, ttl, size)
        self._ask = ask

    def fetch(self, read: OnlineRead, keys: Sequence[str], q: int) -> Fetched:
        """See RowCache."""
        generation, ttl = _number(read, self.table), self.ttl
        copies: dict[str, Copy] = {}
        wanted: list[str] = []
        late = 0
        for key, copy in zip(keys, self._lru.get_many(keys), strict=True):
            if copy is None:
                wanted.append(key)
                continue
            copies[key] = copy
            if copy.generation == generation:
                copy.at = q
                continue
            age = abs(q - copy.at)
            late += age > ttl
            if 2 * age >= ttl:
                wanted.append(key)
        counts = {"hit": len(copies) - late, "late": late, "miss": len(keys) - len(copies)}
        results = {name: count for name, count in counts.items() if count}
        if wanted:
            self._ask(self, wanted, q)
        return Fetched(copies, generation == 0 or bool(late) or len(copies) < len(keys), results)

    def refresh(self, read: OnlineRead, asked: dict[str, int]) -> None:
        """Read keys again; a damaged one stays as it is and grows late."""
        generation = read.generation(self.table)
        if not generation:
            return
        keys = list(asked)
        held = self._lru.get_many(keys)
        fresh, error = load(read, self.table, self._open, keys, held, generation, 0)
        for key, copy in fresh.items():
            copy.at = asked[key]
        self._lru.put_many(fresh)
        if error:
            raise StoreError(error)


def _number(read: OnlineRead, table: str) -> int | None:
    """The table's generation, or None where it cannot be read: then copies within their ttl still answer."""
    try:
        return read.generation(table)
    except StoreError:
        return None
