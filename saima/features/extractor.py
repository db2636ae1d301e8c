"""The online path: everything that a request's features need, read in one transaction, then the plan's selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from saima.errors import StoreError
from saima.events import Position
from saima.features.caches import Caches
from saima.features.gathered import Row, Version
from saima.features.needs import Declared, table_needs, window_needs
from saima.features.requests import Fields
from saima.features.table_reader import TableReader
from saima.features.window_reader import WindowReader
from saima.stores.interfaces import OnlineStore

FEW = 8
"""Up to so many candidates the input frame is made row by row, which is quicker than column by column."""


@dataclass(frozen=True)
class Extraction:
    """Features of one request, and all that they were read from.

    features, inputs: n rows, one a candidate (or the request itself). position: what the state read covers. rows: per
    table the versions read, [valid_from, known_at or null, offset] or null, one a candidate for tables of the item's
    side, else one. degraded: tables and aggregates that could not be read; their inputs are missing.
    """

    features: pl.DataFrame
    inputs: pl.DataFrame
    position: Position
    rows: dict[str, list[Version | None]]
    degraded: list[str]


class Extractor:
    """Computes an algorithm's features for requests; safe to use from several threads."""

    def __init__(self, algorithm: Declared, online: OnlineStore | None, caches: Caches | None = None) -> None:
        """`online` None: nothing is there to read, so every table and aggregate is degraded.

        caches: those of the process, over the same store; absent: its own.
        """
        self.plan = algorithm.plan
        self.algorithm = algorithm.declaration.algorithm
        self._online = online
        self._schema = pl.Schema(self.plan.input_schema())
        self._fields = Fields(algorithm.declaration.request)
        self._has_items = algorithm.declaration.request.items is not None
        self._names = [*self.plan.tables, *self.plan.aggregates]
        self.caches = caches if caches is not None or online is None else Caches(online)
        self._tables: list[TableReader] = []
        self._windows: list[WindowReader] = []
        if self.caches is not None:
            self._tables = [TableReader(need, self.algorithm, self.caches) for need in table_needs(algorithm)]
            self._windows = [WindowReader(need, self.algorithm, self.caches) for need in window_needs(algorithm)]

    def extract(
        self,
        request: Mapping[str, Any],
        user: Mapping[str, Any] | None,
        items: Sequence[Mapping[str, Any]] | None,
        time: int,
    ) -> Extraction:
        """Features of a request at `time` (q, int64 ms UTC): checked fields of request, requester and candidates.

        What cannot be read is missing and named in `degraded`; only a request that does not fit the plan raises.
        """
        row = self._row(request, user, items, time)
        position: Position = {}
        if self._online is None:
            row.degraded = list(self._names)
        else:
            try:
                with self._online.read() as read:
                    position = read.position()
                    for table in self._tables:
                        table.read(read, row)
                    for window in self._windows:
                        window.read(read, row)
            except StoreError as error:
                row, position = self._row(request, user, items, time), {}
                row.degraded = list(self._names)
                if self.caches is not None:
                    for name in self._names:
                        self.caches.count(self.algorithm, name, {"failed": 1}, str(error))
        frame = self._frame(row)
        return Extraction(self.plan.evaluate(frame), frame, position, row.versions, row.degraded)

    def _row(
        self,
        request: Mapping[str, Any],
        user: Mapping[str, Any] | None,
        items: Sequence[Mapping[str, Any]] | None,
        time: int,
    ) -> Row:
        fields = self._fields
        shared = {"request.time": time, **fields.row("request", request), **fields.row("user", user)}
        return Row(time, shared, [fields.row("item", item) for item in items or []] if self._has_items else None)

    def _frame(self, row: Row) -> pl.DataFrame:
        schema = self._schema
        shared = {name: value for name, value in row.shared.items() if name in schema}
        if row.items is None:
            return pl.from_dicts([shared], schema=schema)
        if 0 < len(row.items) <= FEW:
            return pl.from_dicts([{**shared, **_known(item, schema)} for item in row.items], schema=schema)
        one = pl.from_dicts([shared], schema=pl.Schema({name: schema[name] for name in shared}))
        columns = [pl.Series("", [None] * len(row.items), dtype=pl.Null)] + [
            pl.Series(
                name, [item.get(name) for item in row.items], dtype=pl.Int64 if dtype.is_temporal() else dtype
            ).cast(dtype)
            for name, dtype in schema.items()
            if name not in shared
        ]
        return one.join(pl.DataFrame(columns), how="cross").select(schema.names())


def _known(item: Mapping[str, Any], schema: pl.Schema) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name in schema}
