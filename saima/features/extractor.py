"""The online path: everything that a request's features need, read in one transaction, then the plan's selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from saima.errors import StoreError
from saima.events import Position
from saima.features.keys import key_text
from saima.features.lookups import Found, RowReader
from saima.features.needs import Declared, TableNeed, WindowNeed, table_needs, window_needs
from saima.features.requests import Fields
from saima.features.windows import BehindHead, Reader, WindowOverflow
from saima.features.windows.batch import entries
from saima.stores.interfaces import OnlineRead, OnlineStore

FEW = 8
"""Up to so many candidates the input frame is made row by row, which is quicker than column by column."""

Version = list[int | None]
Versions = tuple[int, list[list[Any]]]
"""A key's newest event time and its versions, ascending."""


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


@dataclass
class Row:
    """Inputs gathered so far: the request's own, those of each candidate, versions, what is degraded."""

    time: int
    shared: dict[str, Any]
    items: list[dict[str, Any]] | None
    versions: dict[str, list[Version | None]] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)

    def targets(self, per_item: bool) -> list[dict[str, Any]]:
        """The rows that a read fills."""
        return (self.items or []) if per_item else [self.shared]

    def keys(self, inputs: Sequence[str], per_item: bool) -> list[str | None]:
        """Texts of the keys that those rows look up."""
        if not per_item:
            return [key_text([self.shared.get(name) for name in inputs])]
        return [key_text([item.get(name, self.shared.get(name)) for name in inputs]) for item in self.items or []]

    def degrade(self, name: str) -> None:
        """Name a table or aggregate as not read."""
        if name not in self.degraded:
            self.degraded.append(name)


class Extractor:
    """Computes an algorithm's features for requests; safe to use from several threads."""

    def __init__(self, algorithm: Declared, online: OnlineStore | None) -> None:
        """`online` None: nothing is there to read, so every table and aggregate is degraded."""
        self.plan = algorithm.plan
        self._online = online
        self._schema = pl.Schema(self.plan.input_schema())
        self._fields = Fields(algorithm.declaration.request)
        self._has_items = algorithm.declaration.request.items is not None
        self._tables = [TableReader(need) for need in table_needs(algorithm)]
        self._windows = [WindowReader(need) for need in window_needs(algorithm)]
        self._names = [*self.plan.tables, *self.plan.aggregates]

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
            except StoreError:
                row, position = self._row(request, user, items, time), {}
                row.degraded = list(self._names)
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


def _known(item: Mapping[str, Any], schema: pl.Schema) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name in schema}
