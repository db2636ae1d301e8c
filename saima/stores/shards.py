"""Which shard owns a key, and the online stores of all shards read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from heapq import merge
from types import TracebackType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from saima.errors import StoreError
from saima.events import Position
from saima.stores.interfaces import OnlineRead, OnlineStore, OnlineWrite

Owns = Callable[[str], bool]
"""Whether a key is this shard's; what is not its own is left to the shard whose it is."""

_COMMITS = 64
"""Bits that hold the commits of one shard in a generation."""


def everything(_key: str) -> bool:
    """An `Owns` of the only shard."""
    return True


def owner(key: str, shards: int) -> int:
    """The shard that owns a key of any table, 0 to shards - 1; equal keys of all tables are owned together.

    >>> [owner(key, 2) for key in ("a", "b", "c", "d")]
    [1, 1, 1, 0]
    """
    return 0 if shards == 1 else xxh3_64_intdigest(key.encode()) % shards


def owners(keys: pl.Series, shards: int) -> NDArray[np.int64]:
    """The shard that owns each of some keys (texts), 0 where there is none; each distinct key is hashed once.

    >>> owners(pl.Series(["a", None, "d", "a"]), 2).tolist()
    [1, 0, 0, 1]
    """
    if shards == 1:
        return np.zeros(len(keys), np.int64)
    found = keys.unique()
    numbers = np.array([0 if key is None else owner(key, shards) for key in found.to_list()], np.int64)
    places = keys.cast(pl.Enum(found.drop_nulls())).to_physical().cast(pl.Int64)
    by_place = numbers[found.is_not_null().to_numpy()]
    if not len(by_place):
        return np.zeros(len(keys), np.int64)
    return np.where(places.is_not_null().to_numpy(), by_place[places.fill_null(0).to_numpy()], 0)


@dataclass(frozen=True)
class Share:
    """What one of `shards` processes does: shard number `shard`, 0 to shards - 1; by itself it does everything."""

    shard: int = 0
    shards: int = 1

    def owns(self, key: str) -> bool:
        """Whether a key, of whatever table, is this shard's."""
        return owner(key, self.shards) == self.shard

    def mask(self, keys: pl.Series) -> pl.Series:
        """Which of some keys are this shard's; those that are missing are the first one's."""
        return pl.Series(owners(keys, self.shards) == self.shard, dtype=pl.Boolean)

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.shards == 1

    @property
    def first(self) -> bool:
        """Whether it does what one process does for all."""
        return self.shard == 0


class ShardedRead:
    """One read transaction a shard; every key is read from the shard that owns it. Used by one thread."""

    __slots__ = ("_held", "_reads", "_stores")

    def __init__(self, stores: Sequence[OnlineStore]) -> None:
        self._stores = stores
        self._reads: list[OnlineRead] = []
        self._held = ExitStack()

    def __enter__(self) -> ShardedRead:
        with ExitStack() as opened:
            self._reads = [opened.enter_context(store.read()) for store in self._stores]
            self._held = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        """Values of keys, None where there is none, in the order of the keys: one pass over each shard."""
        shards = len(self._reads)
        places: list[list[int]] = [[] for _ in self._reads]
        for place, key in enumerate(keys):
            places[owner(key, shards)].append(place)
        values: list[bytes | None] = [None] * len(keys)
        for read, own in zip(self._reads, places, strict=True):
            if own:
                for place, value in zip(own, read.get_many(table, [keys[i] for i in own]), strict=True):
                    values[place] = value
        return values

    def scan(self, table: str) -> list[tuple[str, bytes]]:
        """All entities of a table, by key."""
        return list(merge(*(read.scan(table) for read in self._reads)))

    def position(self) -> Position:
        """The least position of the shards; {} before the first commit of each."""
        found = self.positions()
        common = set.intersection(*(set(position) for position in found))
        return {partition: min(position[partition] for position in found) for partition in sorted(common)}

    def positions(self) -> list[Position]:
        """The position of each shard."""
        return [read.position() for read in self._reads]

    def generation(self, table: str) -> int:
        """A number for the commits of all shards that changed the table; 0 while one of them has no such table.

        No sum: equal numbers mean that no shard has changed it.
        """
        found = [read.generation(table) for read in self._reads]
        return sum(number << _COMMITS * shard for shard, number in enumerate(found)) if all(found) else 0


def positions_of(read: OnlineRead) -> list[int]:
    """Offset that the state of each shard covers, where a read is of several; [] where it is of one."""
    if not isinstance(read, ShardedRead):
        return []
    return [position.get(0, 0) for position in read.positions()]


class ShardedStore:
    """The online stores of all shards, in their order, for reading."""

    def __init__(self, stores: Sequence[OnlineStore]) -> None:
        self.stores = list(stores)

    def read(self) -> ShardedRead:
        """One read transaction a shard, as a context manager."""
        return ShardedRead(self.stores)

    def write(self) -> AbstractContextManager[OnlineWrite]:
        """Refused: each shard has its own writer."""
        raise StoreError("a sharded online store is read only; a shard's worker writes its own store")

    def close(self) -> None:
        """Close all."""
        for store in self.stores:
            store.close()


def former(names: Iterable[str], shards: int) -> list[str]:
    """Of names, those of shards `worker/<n>` that are no more.

    >>> former(["worker/0", "worker/2", "page"], 2)
    ['worker/2']
    """
    numbers = {name: name.removeprefix("worker/") for name in names if name.startswith("worker/")}
    return [name for name, number in numbers.items() if number.isdecimal() and int(number) >= shards]
