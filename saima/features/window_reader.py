"""Windows of one aggregate, read for a request."""

from __future__ import annotations

from typing import Any

from saima.features.gathered import Row
from saima.features.needs import WindowNeed
from saima.features.windows import BehindHead, Reader, WindowOverflow
from saima.features.windows.batch import entries
from saima.stores.interfaces import OnlineRead


class WindowReader:
    """Reads the windows that one aggregate asks of one group."""

    def __init__(self, need: WindowNeed) -> None:
        self._need = need
        self._table = need.read.group.table
        self._columns = [ask.column for ask in need.asks]
        self._reader = Reader(need.read.group, need.asks)

    def read(self, read: OnlineRead, row: Row) -> None:
        """Fill the aggregate's columns."""
        need = self._need
        keys = row.keys(need.inputs, need.per_item)
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        packed: dict[str | None, bytes | None] = dict(zip(wanted, read.get_many(self._table, wanted), strict=True))
        if (not packed or None in packed.values()) and read.generation(self._table) == 0:
            row.degrade(need.name)  # warming: it has not been built yet
            return
        values: dict[str | None, list[Any]] = {}
        for target, key in zip(row.targets(need.per_item), keys, strict=True):
            if key not in values:
                values[key] = self._values(packed.get(key), row)
            target.update(zip(self._columns, values[key], strict=True))

    def _values(self, data: bytes | None, row: Row) -> list[Any]:
        try:
            values = self._reader.read(data, row.time)
        except (BehindHead, WindowOverflow):
            row.degrade(self._need.name)
            return [None] * len(self._columns)
        return [entries(value) if isinstance(value, dict) else value for value in values]
