"""Windows of one aggregate, read for a request."""

from __future__ import annotations

from typing import Any

from saima.errors import StoreError
from saima.features.caches.tables import Caches
from saima.features.needs import WindowNeed
from saima.features.online.gathered import Row
from saima.features.online.spans import ALWAYS, Span, window_span
from saima.features.windows import BehindHead, Reader, WindowOverflow
from saima.features.windows.batch import entries
from saima.stores.interfaces import OnlineRead

_HELD = 10_000
"""Keys whose values are held with their bytes; beyond it all are dropped and read again."""


class WindowReader:
    """Reads the windows that one aggregate asks of one group; what cannot be read is missing, and the aggregate named.

    A key whose entity is damaged is missing alone; where the store raises, all keys are.
    """

    def __init__(self, need: WindowNeed, algorithm: str, caches: Caches) -> None:
        self.need = need
        self._algorithm = algorithm
        self._caches = caches
        self.columns = [ask.column for ask in need.asks]
        self._table = need.read.group.table
        self.reader = Reader(need.read.group, need.asks)
        self._windows = tuple(dict.fromkeys(ask.window for ask in need.asks))
        self._held: dict[str | None, tuple[bytes | None, int, int, list[Any]]] = {}

    def read(self, read: OnlineRead, row: Row) -> None:
        """Fill the aggregate's columns."""
        need = self.need
        keys = row.keys(need.inputs, need.per_item)
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        try:
            packed: dict[str | None, bytes | None] = dict(zip(wanted, read.get_many(self._table, wanted), strict=True))
            unknown = not packed or None in packed.values()
            if unknown and read.generation(self._table) == 0:
                row.degrade(need.name)  # warming: it has not been built yet
                return
        except StoreError as error:
            self._fail(row, len(wanted), str(error))
            return
        values: dict[str | None, list[Any]] = {}
        damaged: list[str] = []
        for target, key in zip(row.targets(need.per_item), keys, strict=True):
            if key not in values:
                try:
                    values[key] = self._values(key, packed.get(key), row)
                except StoreError as broken:
                    values[key] = [None] * len(self.columns)
                    damaged.append(f"{broken} (key '{key}')")
            target.update(zip(self.columns, values[key], strict=True))
        if damaged:
            self._fail(row, len(damaged), damaged[-1])

    def fail(self, keys: int, error: str) -> None:
        """Count keys that could not be read."""
        self._caches.count(self._algorithm, self.need.name, {"failed": keys}, error)

    def _fail(self, row: Row, keys: int, error: str) -> None:
        row.degrade(self.need.name)
        self.fail(keys, error)

    def _values(self, key: str | None, data: bytes | None, row: Row) -> list[Any]:
        held = self._held.get(key)
        if held is not None and held[1] <= row.time < held[2] and held[0] == data:
            return held[3]
        try:
            values, (low, high) = self.look(data, row.time)
        except (BehindHead, WindowOverflow) as error:
            self._fail(row, 1, f"{error} (key '{key}')")
            return [None] * len(self.columns)
        if len(self._held) >= _HELD:
            self._held = {}
        self._held[key] = (data, low, high, values)
        return values

    def look(self, data: bytes | None, q: int) -> tuple[list[Any], Span]:
        """Values of the columns at q, and how long equal bytes give them. Raises what Reader.read raises."""
        found = self.reader.read(data, q)
        values = [entries(value) if isinstance(value, dict) else value for value in found]
        if data is None:
            return values, ALWAYS
        return values, window_span(self.reader.codec.open(data), self.need.read.group.slide, self._windows, q)
