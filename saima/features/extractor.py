"""The online path: everything that a request's features need, read in one transaction, then computed without frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

import polars as pl

from saima.errors import StoreError
from saima.events import Position
from saima.features.caches.tables import Caches
from saima.features.needs import Declared, table_needs, window_needs
from saima.features.online.candidates import Candidates
from saima.features.online.extraction import Extraction, Framed, OneRow, Rows, Values
from saima.features.online.gathered import Reader, Row
from saima.features.online.item_reads import Reading
from saima.features.online.item_rows import ItemRows, KeptRows
from saima.features.online.single import Single
from saima.features.online.table_reader import TableReader
from saima.features.online.window_reader import WindowReader
from saima.features.requests import Fields
from saima.features.types import TIMESTAMP
from saima.stores.interfaces import OnlineRead, OnlineStore
from saima.stores.shards import positions_of

__all__ = ["Extraction", "Extractor"]

Items = Sequence[Mapping[str, Any]]

_SUCCEEDED = 20_000
"""Most items of which a new version computes the rows ahead."""
_AT_ONCE = 200
ITEMS = "items"
"""Name of the cache of items' rows among the algorithm's caches; no table may bear it, since it is a side's."""


class Extractor:
    """Computes an algorithm's features for requests; safe to use from several threads."""

    def __init__(self, algorithm: Declared, online: OnlineStore | None, caches: Caches | None = None) -> None:
        """`online` None: nothing is there to read, so every table and aggregate is degraded.

        caches: those of the process, over the same store; absent: its own.
        """
        self.plan = algorithm.plan
        self.algorithm = algorithm.declaration.algorithm
        self._online = online
        self._fields = Fields(algorithm.declaration.request)
        self._has_items = algorithm.declaration.request.items is not None
        self._names = [*self.plan.tables, *self.plan.aggregates]
        self.caches = caches if caches is not None or online is None else Caches(online)
        self._tables: list[TableReader] = []
        self._windows: list[WindowReader] = []
        if self.caches is not None:
            self._tables = [TableReader(need, self.algorithm, self.caches) for need in table_needs(algorithm)]
            self._windows = [WindowReader(need, self.algorithm, self.caches) for need in window_needs(algorithm)]
        self._readers: list[Reader] = [*self._tables, *self._windows]
        self._shared = [reader for reader in self._readers if not reader.need.per_item]
        self._order = list(dict.fromkeys(reader.need.name for reader in self._readers))
        self._single = None if self._has_items else Single(self.plan)
        self._candidates = self._compile(algorithm) if self._has_items else None

    def extract(
        self, request: Mapping[str, Any], user: Mapping[str, Any] | None, items: Items | None, time: int
    ) -> Extraction:
        """Features of a request at `time` (q, int64 ms UTC): checked fields of request, requester and candidates.

        What cannot be read is missing and named in `degraded`; only a request that does not fit the plan raises.
        """
        if self._candidates is not None and items:
            return self._extract_pairs(self._candidates, request, user, items, time)
        row, position, positions = self._gather(request, user, items, time)
        values: Values
        if self._single is not None:
            values = OneRow(self._single.evaluate(row.shared)[0], self.plan.features)
        else:
            values = Framed(self.plan.evaluate(self._frame(row)), self.plan.features)
        return Extraction(values, position, lambda: row.versions, row.degraded, positions)

    def inputs(
        self, request: Mapping[str, Any], user: Mapping[str, Any] | None, items: Items | None, time: int
    ) -> pl.DataFrame:
        """The input columns of a request's features, read row by row: what `plan.evaluate` takes, n rows."""
        return self._frame(self._gather(request, user, items, time)[0])

    def succeed(self, other: Extractor, seconds: float) -> int:
        """Compute rows of items ahead of the first request: of those that another version was asked for last.

        seconds: time after which it leaves the rest to the requests. Gives how many items it computed.
        """
        mine, theirs = self._items(), other._items()
        if mine is None or theirs is None or self._online is None or not mine.alike(theirs):
            return 0
        items, done, until = theirs.latest(_SUCCEEDED), 0, monotonic() + seconds
        while done < len(items) and monotonic() < until:
            with self._online.read() as read:
                mine.read(read, items[done : done + _AT_ONCE], theirs.asked_at, Reading())
            done += _AT_ONCE
        return min(done, len(items))

    def _items(self) -> ItemRows | None:
        return None if self._candidates is None else self._candidates.items

    def _extract_pairs(
        self,
        candidates: Candidates,
        request: Mapping[str, Any],
        user: Mapping[str, Any] | None,
        items: Items,
        time: int,
    ) -> Extraction:
        row = self._row(request, user, items if candidates.loose else None, time)
        position: Position = {}
        positions: list[int] = []
        reading = Reading()
        kept: KeptRows | None = None
        if self._online is not None:
            try:
                with self._online.read() as read:
                    position, positions = read.position(), positions_of(read)
                    for reader in self._shared:
                        reader.read(read, row)
                    kept = candidates.read(read, items, row, reading)
            except StoreError as error:
                self._count_failure(error)
        if kept is None:
            row, position = self._row(request, user, items if candidates.loose else None, time), {}
            reading = Reading()
            kept = candidates.read(None, items, row, reading)
            return Extraction(candidates.values(items, row, kept), position, dict, list(self._names))
        self._count(candidates, reading)
        found = {**dict.fromkeys(row.degraded), **reading.degraded}
        degraded = [name for name in self._order if name in found] if found else []
        versions = partial(self._versions, candidates, row, kept)
        return Extraction(candidates.values(items, row, kept), position, versions, degraded, positions)

    def _versions(self, candidates: Candidates, row: Row, kept: KeptRows) -> Rows:
        found = dict(row.versions)
        if candidates.items is not None:
            found |= candidates.items.versions(kept)
        return {reader.need.name: found[reader.need.name] for reader in self._tables}

    def _compile(self, algorithm: Declared) -> Candidates:
        tables = [reader for reader in self._tables if reader.need.per_item]
        windows = [window for window in self._windows if window.need.per_item]
        made = Candidates(self.plan, algorithm.declaration, self._fields, tables, windows)
        if made.items is not None and self.caches is not None:
            self.caches.register(self.algorithm, ITEMS, made.items.store)
        return made

    def _count(self, candidates: Candidates, reading: Reading) -> None:
        if self.caches is None or candidates.items is None:
            return
        counts = {"hit": reading.hits, "checked": reading.checked, "miss": reading.misses}
        self.caches.count(self.algorithm, ITEMS, {name: number for name, number in counts.items() if number})
        if reading.hits:
            for reader in candidates.items.reads.readers:
                reader.count({"hit": reading.hits})

    def _count_failure(self, error: StoreError) -> None:
        if self.caches is not None:
            for name in self._names:
                self.caches.count(self.algorithm, name, {"failed": 1}, str(error))

    def _gather(
        self, request: Mapping[str, Any], user: Mapping[str, Any] | None, items: Items | None, time: int
    ) -> tuple[Row, Position, list[int]]:
        """Everything read row by row, and the position of it all and by shard."""
        items = (items or []) if self._has_items else None
        row = self._row(request, user, items, time)
        if self._online is not None:
            try:
                with self._online.read() as read:
                    position, positions = read.position(), positions_of(read)
                    self._read(read, row)
                return row, position, positions
            except StoreError as error:
                self._count_failure(error)
                row = self._row(request, user, items, time)
        row.degraded = list(self._names)
        return row, {}, []

    def _read(self, read: OnlineRead, row: Row) -> None:
        for reader in self._readers:
            reader.read(read, row)

    def _row(self, request: Mapping[str, Any], user: Mapping[str, Any] | None, items: Items | None, time: int) -> Row:
        fields = self._fields
        shared = {"request.time": time, **fields.row("request", request), **fields.row("user", user)}
        return Row(time, shared, None if items is None else [fields.row("item", item) for item in items])

    def _frame(self, row: Row) -> pl.DataFrame:
        rows = [row.shared] if row.items is None else [{**row.shared, **item} for item in row.items]
        columns = []
        for name, dtype in self.plan.input_types().items():
            values = [one.get(name) for one in rows]
            if dtype == TIMESTAMP:
                columns.append(pl.Series(name, values, dtype=pl.Int64).cast(dtype.polars))
            else:
                columns.append(pl.Series(name, values, dtype=dtype.polars))
        return pl.DataFrame(columns)
