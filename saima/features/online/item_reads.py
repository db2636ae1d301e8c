"""Rows of tables and windows of many items, read for their keys with how long each stays the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import xxhash

from saima.errors import StoreError
from saima.features.keys import key_text
from saima.features.online.spans import ALWAYS, Span, meet, row_span
from saima.features.windows import BehindHead, WindowOverflow

if TYPE_CHECKING:
    from saima.features.online.table_reader import TableReader
    from saima.features.online.window_reader import WindowReader
    from saima.stores.interfaces import OnlineRead

_EPOCHS = 64
UNBUILT = b"-"
"""Stands for the bytes of a key whose table has not been built yet."""


@dataclass
class Reading:
    """What was read for m items: input columns, versions by table, and by item a span and tokens of the bytes read.

    Parts None: the item's row must not be kept. degraded: tables and aggregates that could not be read. hits: rows
    that were good; checked: rows that their bytes proved good; misses: rows computed.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    versions: dict[str, list[Any]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    parts: list[list[bytes] | None] = field(default_factory=list)
    degraded: dict[str, None] = field(default_factory=dict)
    hits: int = 0
    checked: int = 0
    misses: int = 0

    def note(self, at: int, token: bytes, span: Span) -> None:
        """One more thing that an item was read from."""
        self.spans[at] = meet(self.spans[at], span)
        parts = self.parts[at]
        if parts is not None:
            parts.append(token)

    def drop(self, at: int) -> None:
        """Something of the item could not be read: its row is good for this request alone."""
        self.parts[at] = None

    def of(self, places: Sequence[int]) -> Reading:
        """The reading of some of the items."""
        return Reading(
            {name: [values[place] for place in places] for name, values in self.columns.items()},
            {name: [values[place] for place in places] for name, values in self.versions.items()},
            [self.spans[place] for place in places],
            [self.parts[place] for place in places],
        )


class ItemReads:
    """Readers of what belongs to items alone. tables: names of the tables, whose versions rows hold."""

    def __init__(self, tables: Sequence[TableReader], windows: Sequence[WindowReader]) -> None:
        self.readers = tables
        self.tables = tuple(reader.need.name for reader in tables)
        self._windows = windows
        self._followed: dict[str, list[str]] = {}
        for reader in tables:
            if _followed(reader):
                self._followed.setdefault(reader.cache.table, []).append(reader.need.name)
        for window in windows:
            self._followed.setdefault(window.need.read.group.table, []).append(window.need.name)
        self._epochs: dict[tuple[int, ...], tuple[int, tuple[str, ...]]] = {}
        self._numbers = count()

    def epoch(self, read: OnlineRead, reading: Reading) -> int:
        """Number of the generations of all tables that rows follow; -1 where one cannot be read.

        What has not been built yet is degraded in `reading`.
        """
        try:
            generations = tuple([read.generation(table) for table in self._followed])
        except StoreError:
            return -1
        found = self._epochs.get(generations)
        if found is None:
            if len(self._epochs) >= _EPOCHS:
                self._epochs = {}
            numbers = zip(generations, self._followed.values(), strict=True)
            unbuilt = tuple(name for number, names in numbers if number == 0 for name in names)
            found = self._epochs.setdefault(generations, (next(self._numbers), unbuilt))
        reading.degraded |= dict.fromkeys(found[1])
        return found[0]

    def read(self, read: OnlineRead | None, inputs: Sequence[Mapping[str, Any]], q: int, reading: Reading) -> Reading:
        """Columns of items given by the input columns of their keys; read None: all of it is missing."""
        found = Reading(parts=[[] for _ in inputs], spans=[ALWAYS] * len(inputs), degraded=reading.degraded)
        for table in self.readers:
            texts = _texts(inputs, table.need.inputs)
            _read_table(read, table, texts, q, found)
        for window in self._windows:
            texts = _texts(inputs, window.need.inputs)
            _read_window(read, window, texts, q, found)
        return found


def _followed(reader: TableReader) -> bool:
    """Whether rows hold while the table's generation does; else they hold for a part of the cache's ttl."""
    return not (reader.need.read.may_lag and reader.need.read.cache_ttl)


def _texts(inputs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str | None]:
    return [key_text([row[name] for name in names]) for row in inputs]


def _read_table(
    read: OnlineRead | None, table: TableReader, texts: Sequence[str | None], q: int, found: Reading
) -> None:
    need = table.need
    columns: list[list[Any]] = [[None] * len(texts) for _ in need.places]
    versions: list[Any] = [None] * len(texts)
    found.columns |= {column: values for (column, _, _), values in zip(need.places, columns, strict=True)}
    found.versions[need.name] = versions
    if read is None:
        return
    fetched = table.cache.fetch(read, list(dict.fromkeys(text for text in texts if text is not None)), q)
    table.count(fetched.results, fetched.error)
    if fetched.degraded:
        found.degraded[need.name] = None
    followed = _followed(table)
    for at, text in enumerate(texts):
        if text is None:
            found.note(at, b"", ALWAYS)
            continue
        copy = fetched.copies.get(text)
        if copy is None or (copy.generation == 0 and not followed):
            found.drop(at)
            continue
        try:
            row = table.reader.read(copy.opened, q)
        except BehindHead as error:
            found.degraded[need.name] = None
            table.count({"failed": 1}, f"{error} (key '{text}')")
            found.drop(at)
            continue
        span = row_span(table.reader, copy.opened, q)
        found.note(at, _token(copy.data), span if followed else meet(span, _lasting(table, copy.at)))
        if row is not None:
            versions[at] = row.version
            for (_, name, place), values in zip(need.places, columns, strict=True):
                values[at] = row.values[place] if place is not None else row.version[0 if name == "valid_from" else 1]


def _lasting(table: TableReader, at: int) -> Span:
    """How long a copy of a cache with a ttl is good; of `async` for half of it, then it is asked for again."""
    ttl = table.need.read.cache_ttl
    reach = (ttl - 1) // 2 if table.need.read.query == "async" else ttl
    return at - reach, at + reach + 1


def _read_window(
    read: OnlineRead | None, window: WindowReader, texts: Sequence[str | None], q: int, found: Reading
) -> None:
    columns: list[list[Any]] = [[None] * len(texts) for _ in window.columns]
    found.columns |= dict(zip(window.columns, columns, strict=True))
    if read is None:
        return
    group, name = window.need.read.group, window.need.name
    wanted = list(dict.fromkeys(text for text in texts if text is not None))
    try:
        unbuilt = read.generation(group.table) == 0
        packed = dict(zip(wanted, read.get_many(group.table, wanted), strict=True))
    except StoreError as error:
        found.degraded[name] = None
        window.fail(len(wanted), str(error))
        for at in range(len(texts)):
            found.drop(at)
        return
    if unbuilt:
        found.degraded[name] = None  # warming
        for at in range(len(texts)):
            found.note(at, UNBUILT, ALWAYS)
        return
    made: dict[str | None, tuple[list[Any], Span] | None] = {}
    damaged: list[str] = []
    for at, text in enumerate(texts):
        data = packed.get(text) if text is not None else None
        if text not in made:
            try:
                made[text] = window.look(data, q)
            except (BehindHead, WindowOverflow, StoreError) as error:
                made[text] = None
                damaged.append(f"{error} (key '{text}')")
        one = made[text]
        if one is None:
            found.degraded[name] = None
            found.drop(at)
            continue
        found.note(at, _token(data), one[1])
        for column, value in zip(columns, one[0], strict=True):
            column[at] = value
    if damaged:
        window.fail(len(damaged), damaged[-1])


def _token(data: bytes | None) -> bytes:
    """What tells bytes apart: their 128-bit digest, at which no two states of a key ever meet in practice."""
    return b"" if data is None else xxhash.xxh3_128_digest(data)
