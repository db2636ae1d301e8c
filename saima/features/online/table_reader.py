"""One table of the declaration, read for a request through its cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.features.caches.tables import Caches
from saima.features.lookups import Found, RowReader
from saima.features.needs import TableNeed
from saima.features.online.gathered import Row, Version
from saima.features.windows import BehindHead
from saima.stores.interfaces import OnlineRead


class TableReader:
    """Reads one table of an algorithm; a table that cannot be read is missing, and named as degraded."""

    def __init__(self, need: TableNeed, algorithm: str, caches: Caches) -> None:
        self.need = need
        self.reader = RowReader(need.read.rows, need.read.ttl)
        self.cache = caches.of(need.read)
        self._algorithm = algorithm
        self._caches = caches
        self.columns = need.places
        caches.register(algorithm, need.name, self.cache)

    def read(self, read: OnlineRead, row: Row) -> None:
        """Fill the table's columns and versions."""
        need = self.need
        keys = row.keys(need.inputs, need.per_item)
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        found = self.cache.fetch(read, wanted, row.time)
        self.count(found.results, found.error)
        if found.degraded:
            row.degrade(need.name)
        copies = found.copies
        versions: list[Version | None] = []
        for target, key in zip(row.targets(need.per_item), keys, strict=True):
            copy = copies.get(key) if key is not None else None
            held = None
            if copy is not None:
                try:
                    held = self.reader.read(copy.opened, row.time)
                except BehindHead as error:
                    row.degrade(need.name)
                    self.count({"failed": 1}, f"{error} (key '{key}')")
            versions.append(None if held is None else held.version)
            if held is not None:
                self._fill(target, held)
        row.versions[need.name] = versions

    def count(self, results: Mapping[str, int], error: str = "") -> None:
        """Add to the counts of the table's look-ups."""
        self._caches.count(self._algorithm, self.need.name, results, error)

    def _fill(self, target: dict[str, Any], found: Found) -> None:
        for column, name, place in self.columns:
            if place is not None:
                target[column] = found.values[place]
            else:
                target[column] = found.version[0 if name == "valid_from" else 1]
