"""One table of the declaration, read for a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saima.features.gathered import Row, Version
from saima.features.lookups import Found, RowReader
from saima.features.needs import TableNeed
from saima.features.windows import BehindHead
from saima.stores.interfaces import OnlineRead

Versions = tuple[int, list[list[Any]]]
"""A key's newest event time and its versions, ascending."""


class TableReader:
    """Reads one table of the declaration; a preloaded one is held unpacked while its generation lasts."""

    def __init__(self, need: TableNeed) -> None:
        self._need = need
        self._table = need.read.rows.table
        self._reader = RowReader(need.read.rows, need.read.ttl)
        self._columns = need.places
        self._held: tuple[int, dict[str, Versions]] = (0, {})

    def read(self, read: OnlineRead, row: Row) -> None:
        """Fill the table's columns and versions."""
        need = self._need
        keys = row.keys(need.inputs, need.per_item)
        generation = read.generation(self._table)
        if generation == 0:
            row.degrade(need.name)  # nothing has been built yet
        held = self._preload(read, generation) if need.read.query == "preload" else self._ask(read, keys)
        versions: list[Version | None] = []
        for target, key in zip(row.targets(need.per_item), keys, strict=True):
            try:
                found = self._reader.read(held.get(key) if key is not None else None, row.time)
            except BehindHead:
                row.degrade(need.name)
                found = None
            versions.append(None if found is None else found.version)
            if found is not None:
                self._fill(target, found)
        row.versions[need.name] = versions

    def _fill(self, target: dict[str, Any], found: Found) -> None:
        for column, name, place in self._columns:
            if place is not None:
                target[column] = found.values[place]
            else:
                target[column] = found.version[0 if name == "valid_from" else 1]

    def _ask(self, read: OnlineRead, keys: Sequence[str | None]) -> dict[str, Versions]:
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        packed = zip(wanted, read.get_many(self._table, wanted), strict=True)
        return {key: self._reader.open(data) for key, data in packed if data is not None}

    def _preload(self, read: OnlineRead, generation: int) -> dict[str, Versions]:
        held = self._held
        if held[0] != generation:
            held = (generation, {key: self._reader.open(data) for key, data in read.scan(self._table)})
            self._held = held  # one attribute store: other threads see the old contents or the new
        return held[1]
