"""Declared tables as pre- and postprocessing read them: by key, as of the request's time, through the host's caches."""

from __future__ import annotations

from typing import Any

from saima.errors import StoreError
from saima.features import lookups
from saima.features.caches.tables import Caches
from saima.features.declaration import Declaration
from saima.features.lookups import RowReader
from saima.features.types import from_frame_value, parse_type
from saima.features.windows import BehindHead
from saima.host.features_plan import written
from saima.stores.interfaces import OnlineStore

Rows = list[dict[str, Any] | None]


class Tables:
    """The tables of one algorithm, whether features read them or not; any number of threads may read."""

    def __init__(self, declared: Declaration, online: OnlineStore, caches: Caches) -> None:
        self._online = online
        self._algorithm = declared.algorithm
        self._caches = caches
        self._readers = {
            read.table: (RowReader(read.rows, read.ttl), caches.of(read)) for read in lookups.reads(declared)
        }
        self._types = {
            name: {
                column: parse_type(dtype)
                for column, dtype in {**lookups.ENVELOPE, **declared.sources[table.source].fields}.items()
            }
            for name, table in declared.tables.items()
        }

    def read(self, table: str, keys: list[str | None], time: int) -> tuple[Rows, list[list[int | None] | None], bool]:
        """Rows by column as JSON values, their versions as the journal has them, and whether any could not be read."""
        reader, cache = self._readers[table]
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        try:
            with self._online.read() as read:
                found = cache.fetch(read, wanted, time)
        except StoreError as error:
            self._caches.count(self._algorithm, table, {"failed": 1}, str(error))
            return [None] * len(keys), [None] * len(keys), True
        self._caches.count(self._algorithm, table, found.results, found.error)
        rows: Rows = []
        versions: list[list[int | None] | None] = []
        degraded = bool(found.degraded)
        for key in keys:
            copy = found.copies.get(key) if key is not None else None
            held = None
            if copy is not None:
                try:
                    held = reader.read(copy.opened, time)
                except BehindHead as error:
                    degraded = True
                    self._caches.count(self._algorithm, table, {"failed": 1}, f"{error} (key '{key}')")
            versions.append(None if held is None else held.version)
            rows.append(None if held is None else self._row(table, held.values))
        return rows, versions, degraded

    def _row(self, table: str, values: list[Any]) -> dict[str, Any]:
        types = self._types[table]
        columns = self._readers[table][0].source.columns
        return {
            name: written(from_frame_value(value, types[name]), types[name])
            for name, value in zip(columns, values, strict=True)
        }
