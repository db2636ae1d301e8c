"""Latest-value tables: versions of a row by key, and the one that holds at q.

The row of a key at q is the greatest by (valid_from, known_at, seq, offset) of those with valid_from <= q and, where
the table has `known_at`, known_at <= q; with a ttl it is missing if valid_from < q - ttl. Null and NaN fields are null.
"""

from __future__ import annotations

import hashlib
import json
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from saima.errors import DeclarationError, StoreError, suggest
from saima.features.declaration import Declaration, Table, TableCache
from saima.features.durations import milliseconds
from saima.features.keys import key_expr
from saima.features.windows.definition import HEAD
from saima.features.windows.read import BehindHead

ENVELOPE = {"time": "timestamp", "seq": "int64"}
"""Columns that every row has beside its source's fields."""

PREFIX = "\x1f"
"""Before the names of `versions`' own columns, which no field can bear."""


@dataclass(frozen=True)
class RowSource:
    """Rows of a source by a key: what one table of the online store holds.

    `columns` are stored in this order; `known_at` may be None; versions are kept `keep` ms behind a key's newest event.
    """

    source: str
    key: tuple[str, ...]
    valid_from: str
    known_at: str | None
    fields: tuple[tuple[str, str], ...]
    lateness: int
    head: int = field(default=HEAD)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return (*ENVELOPE, *(name for name, _ in self.fields))

    @cached_property
    def keep(self) -> int:
        return max(self.lateness, self.head)

    @cached_property
    def table(self) -> str:
        """Name of the table in the online store; equal definitions share it."""
        parts = [self.source, self.key, self.valid_from, self.known_at, self.fields, self.keep]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        return f"row/{self.source}/{'+'.join(self.key)}/{digest}"


@dataclass(frozen=True)
class RowRead:
    """How a table of a declaration reads its source: its rows, how, and how old a row may be (ms; None: any age).

    cache_ttl: how much older than the store a cached copy may be, ms on request.time; cache_size: keys held.
    """

    table: str
    rows: RowSource
    query: str
    ttl: int | None
    cache_ttl: int = 0
    cache_size: int = 10_000

    @property
    def may_lag(self) -> bool:
        """Whether a row may be read that is older than the position says, so that only its version tells which."""
        return self.query == "async" or (self.query == "sync" and self.cache_ttl > 0)


Version = tuple[int, int, int, int, str]
"""valid_from, known_at (valid_from where the table has none), seq, offset, JSON of the columns' values."""


@dataclass
class Versions:
    """Mutable state of one key: `latest` is its newest event time, `rows` its versions, ascending."""

    latest: int
    rows: list[Version]


def reads(declaration: Declaration) -> list[RowRead]:
    """What the tables of a declaration read; DeclarationError for what cannot be."""
    return [_read(declaration, name, table) for name, table in declaration.tables.items()]


def row_sources(declaration: Declaration) -> list[RowSource]:
    """The distinct row sources behind the tables of a declaration, ordered by table name."""
    found = {read.rows.table: read.rows for read in reads(declaration)}
    return [found[table] for table in sorted(found)]


def _read(declaration: Declaration, name: str, table: Table) -> RowRead:
    source = declaration.sources.get(table.source)
    if source is None:
        raise DeclarationError(
            f"tables.{name}: unknown source '{table.source}'{suggest(table.source, declaration.sources)}"
        )
    key = (table.key,) if isinstance(table.key, str) else tuple(table.key)
    known = {**source.fields, **ENVELOPE}
    for part in (*key, table.valid_from, *([table.known_at] if table.known_at else [])):
        if part not in known:
            raise DeclarationError(f"tables.{name}: '{table.source}' has no field '{part}'{suggest(part, known)}")
    rows = RowSource(
        table.source, key, table.valid_from, table.known_at,
        tuple((field, dtype) for field, dtype in source.fields.items() if field not in ENVELOPE),
        milliseconds(source.lateness),
    )  # fmt: skip
    ttl = milliseconds(table.ttl) if table.ttl else 0
    cache = table.cache or TableCache()
    return RowRead(name, rows, table.query, ttl or None, milliseconds(cache.ttl), cache.size)


def add(source: RowSource, held: Versions | None, latest: int, rows: Iterable[Version]) -> Versions:
    """Add versions to a key, in any order, and drop those that no read within the kept head can see.

    `latest` is the greatest event time among the added rows. The result depends on the set of rows alone.
    """
    if held is None:
        held = Versions(latest, [])
    held.latest = max(held.latest, latest)
    for row in rows:
        insort(held.rows, row)
    bound = held.latest - source.keep
    for place in range(len(held.rows) - 1, 0, -1):
        if held.rows[place][0] <= bound and held.rows[place][1] <= bound:
            del held.rows[:place]
            break
    return held


def pack(held: Versions) -> bytes:
    """JSON of a key's versions; equal states have equal bytes."""
    rows = ",".join(f"[{v},{k},{s},{o},{text}]" for v, k, s, o, text in held.rows)
    return f"[{held.latest},[{rows}]]".encode()


def unpack(source: RowSource, data: bytes) -> Versions:
    """The state of a key from its bytes; StoreError if they are damaged."""
    latest, rows = _load(source, data)
    return Versions(latest, [(v, k, s, o, values_text(values)) for v, k, s, o, values in rows])


def values_text(values: Sequence[Any]) -> str:
    """JSON of the values of a row; NaN is null."""
    return json.dumps([None if v != v else v for v in values], separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Found:
    """A row as read: its version for the journal [valid_from, known_at or null, offset], and its values by column."""

    version: list[int | None]
    values: list[Any]


class RowReader:
    """Reads the row of a key at q from packed versions."""

    def __init__(self, source: RowSource, ttl: int | None) -> None:
        self.source = source
        self.ttl = ttl

    def open(self, data: bytes) -> tuple[int, list[list[Any]]]:
        """Newest event time and versions of packed bytes; StoreError if they are damaged."""
        return _load(self.source, data)

    def read(self, opened: tuple[int, list[list[Any]]] | None, q: int) -> Found | None:
        """The row as of q (int64 ms), or None if it is missing; BehindHead if q lies before the kept head."""
        if opened is None:
            return None
        latest, rows = opened
        if q < latest - self.source.keep:
            raise BehindHead(
                f"{self.source.table}: a read at {q} is {latest - q} ms behind the newest row; rows are kept for"
                f" {self.source.keep} ms; raise the lateness of source '{self.source.source}'"
            )
        for valid_from, known_at, _, offset, values in reversed(rows):
            if valid_from <= q and known_at <= q:
                if self.ttl is not None and valid_from < q - self.ttl:
                    return None
                return Found([valid_from, known_at if self.source.known_at else None, offset], values)
        return None


def _load(source: RowSource, data: bytes) -> tuple[int, list[list[Any]]]:
    try:
        latest, rows = json.loads(data)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{source.table}: a row of {len(data)} bytes is damaged ({error})") from error
    return latest, rows


def versions(frame: pl.DataFrame, source: RowSource) -> pl.DataFrame:
    """A frame of the source's events as versions.

    Returns `key` (string), `valid_from`, `known_at`, `offset` (int64), each after PREFIX, and `time`, `seq` and fields;
    rows with a missing key or valid_from, or that are not yet known, are left out.
    """
    known = source.known_at or source.valid_from
    offset = pl.col("offset").cast(pl.Int64) if "offset" in frame.columns else pl.lit(0, pl.Int64)
    return (
        frame.select(
            key_expr([pl.col(part) for part in source.key]).alias(f"{PREFIX}key"),
            pl.col(source.valid_from).cast(pl.Int64).alias(f"{PREFIX}valid_from"),
            pl.col(known).cast(pl.Int64).alias(f"{PREFIX}known_at"),
            offset.alias(f"{PREFIX}offset"),
            pl.col("time").cast(pl.Int64),
            pl.col("seq").cast(pl.Int64).fill_null(0) if "seq" in frame.columns else pl.lit(0, pl.Int64).alias("seq"),
            *(
                pl.col(name).fill_nan(None) if frame.schema[name].is_float() else pl.col(name)
                for name, _ in source.fields
            ),
        )
        .filter(pl.all_horizontal(pl.col(f"{PREFIX}key", f"{PREFIX}valid_from", f"{PREFIX}known_at").is_not_null()))
    )  # fmt: skip


def recent(found: pl.DataFrame, source: RowSource) -> pl.DataFrame:
    """The versions, as `versions` returns them, that the state of a key may still hold; every key's newest event stays.

    It leaves out what `add` would drop, so that history need not pass through it.
    """
    key, valid_from, known_at = (pl.col(f"{PREFIX}{name}") for name in ("key", "valid_from", "known_at"))
    newest = pl.col("time").max().over(key)
    bound = newest - source.keep
    best = pl.when((valid_from <= bound) & (known_at <= bound)).then(valid_from).max().over(key)
    return found.filter((valid_from >= best) | best.is_null() | (pl.col("time") == newest))
