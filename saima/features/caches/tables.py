"""The caches of one process: one a table of the online store, however many algorithms and versions read it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

from saima.features.caches.recent import ReadBehind, ReadThrough
from saima.features.caches.refresher import Refresher
from saima.features.caches.rows import RowCache
from saima.features.caches.whole import Preloaded
from saima.features.lookups import RowRead, RowReader
from saima.stores.interfaces import OnlineStore


class Sized(Protocol):
    """A cache that says how much it holds."""

    @property
    def entries(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class Caches:
    """Caches over one online store, and the counts of those who read them; for any number of threads.

    A cache lives as long as an extractor that reads it; counts stay, so that they only grow.
    """

    def __init__(self, online: OnlineStore) -> None:
        self.refresher = Refresher(online)
        self._caches: weakref.WeakValueDictionary[tuple[str, str, int, int], Any] = weakref.WeakValueDictionary()
        self._readers: dict[tuple[str, str], weakref.ReferenceType[Sized]] = {}
        self._counts: dict[tuple[str, str], dict[str, int]] = {}
        self._errors: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def of(self, read: RowRead) -> RowCache:
        """The cache that a table's declaration asks for; tables of equal rows, query, ttl and size share it."""
        key = (read.rows.table, read.query, read.cache_ttl, read.cache_size)
        with self._lock:
            cache: RowCache | None = self._caches.get(key)
            if cache is None:
                cache = self._caches[key] = self._make(read)
            return cache

    def register(self, algorithm: str, name: str, cache: Sized) -> None:
        """Show a cache's size under an algorithm and the name of what it holds."""
        with self._lock:
            self._readers[algorithm, name] = weakref.ref(cache)
            self._counts.setdefault((algorithm, name), {})

    def count(self, algorithm: str, name: str, results: Mapping[str, int], error: str = "") -> None:
        """Add to the counts of what an algorithm looked up: numbers by result, such as hit and miss.

        `error`: what failed, shown until a later look-up of the same table fails at nothing.
        """
        with self._lock:
            held = self._counts.setdefault((algorithm, name), {})
            for result, number in results.items():
                held[result] = held.get(result, 0) + number
            if error or (algorithm, name) in self._errors:
                self._errors[algorithm, name] = error

    def numbers(self) -> list[dict[str, Any]]:
        """By algorithm and table: `results` (counts since the start), `entries`, `bytes`, `error`, as JSON data."""
        with self._lock:
            counts = {key: dict(held) for key, held in sorted(self._counts.items())}
            sizes = {key: reference() for key, reference in self._readers.items()}
            errors = dict(self._errors)
        rows: list[dict[str, Any]] = []
        for key, results in counts.items():
            cache = sizes.get(key)
            rows.append(
                {
                    "algorithm": key[0],
                    "table": key[1],
                    "results": results,
                    "entries": cache.entries if cache else 0,
                    "bytes": cache.bytes if cache else 0,
                    "error": errors.get(key, ""),
                }
            )
        return rows

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is refreshed behind any more, `seconds` at most; whether it came so far."""
        return self.refresher.settle(seconds)

    def _make(self, read: RowRead) -> RowCache:
        table, open_ = read.rows.table, RowReader(read.rows, None).open
        match read.query:
            case "preload":
                return Preloaded(table, open_, self.refresher.ask)
            case "async":
                return ReadBehind(table, open_, read.cache_ttl, read.cache_size, self.refresher.ask)
        return ReadThrough(table, open_, read.cache_ttl, read.cache_size)
