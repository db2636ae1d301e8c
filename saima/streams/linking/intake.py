"""Standard events as the kernel's rows: operation, name and claims of each, one by one and as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import polars_hash

from saima.streams.linking import layout as at
from saima.streams.linking.paths import name_hash
from saima.streams.linking.spec import APP, LEVELS, PAGE, SCENE, Entry, Linking

Ints = np.ndarray[Any, np.dtype[np.int64]]

CLAIMED = {level: f"claimed_{LEVELS[level]}" for level in (APP, SCENE, PAGE)}
"""Columns of the names that an event gives the levels above it."""


def text(value: Any) -> str | None:
    """A name's text; None where the value names nothing: missing, no scalar, a float, no Unicode."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return None if any("\ud800" <= c <= "\udfff" for c in value) else value
    return None


class Reader:
    """Reads the events of a declaration's types."""

    def __init__(self, spec: Linking) -> None:
        self.types = list(spec.entries)
        self._entries = spec.entries
        self._ops = {name: _operation(entry) for name, entry in spec.entries.items()}
        self._fixed = {name: _fixed_claims(entry) for name, entry in spec.entries.items()}

    def read(self, kind: str, payload: Mapping[str, Any]) -> tuple[list[int], list[str | None]] | None:
        """(op, name's hash, back, claims, claimed hashes) and the texts of name and claimed app, scene, page.

        None: the event has no name.
        """
        entry = self._entries[kind]
        name = kind if entry.name is None else text(payload.get(entry.name))
        if name is None:
            return None
        texts: list[str | None] = [name, None, None, None]
        row = [self._ops[kind], name_hash(name), at.NONE, self._fixed[kind], 0, 0, 0]
        for level, field in entry.within.items():
            claimed = text(payload.get(field))
            if claimed is not None:
                place = LEVELS.index(level)
                texts[place], row[3 + place] = claimed, name_hash(claimed)
                row[3] |= 1 << place
        told = payload.get(entry.back) if entry.back is not None else None
        if isinstance(told, bool):
            row[2] = int(told)
        return row, texts

    def read_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        """Columns key, id, time, seq, op, name, back, claims, claimed_<level>, name_hash and claimed_<level>_hash.

        `events` has declared types only. A row without a name has a null there.
        """
        kind, schema = pl.col("type"), events.schema
        read = events.select(
            "key",
            "id",
            "time",
            "seq",
            kind.replace_strict(self.types, list(self._ops.values()), return_dtype=pl.Int64).alias("op"),
            kind.replace_strict(self.types, list(self._fixed.values()), return_dtype=pl.Int64).alias("claims"),
            _chosen({t: kind if e.name is None else _text(e.name, schema) for t, e in self._entries.items()}, "name"),
            *(
                _chosen({t: _text(dict(e.within).get(LEVELS[level]), schema) for t, e in self._entries.items()}, name)
                for level, name in CLAIMED.items()
            ),
            _chosen({t: _flag(e.back, schema) for t, e in self._entries.items()}, "back").fill_null(at.NONE),
        )
        claims = [pl.col(name).is_not_null().cast(pl.Int64) * (1 << level) for level, name in CLAIMED.items()]
        return read.with_columns(
            *(_hash(name) for name in ("name", *CLAIMED.values())),
            claims=pl.sum_horizontal("claims", *claims),
        )


def _operation(entry: Entry) -> int:
    bits = at.LEAVES if entry.does == "leave" else 0
    return LEVELS.index(entry.level) | bits | (at.CAUSES if entry.causes else 0)


def _fixed_claims(entry: Entry) -> int:
    """1 where the event says which node it leaves."""
    return int(entry.does == "leave" and entry.name is not None)


def _chosen(by_type: Mapping[str, pl.Expr | None], name: str) -> pl.Expr:
    """The expression of each row's type; types of one expression are asked once."""
    asked: dict[str, tuple[pl.Expr, list[str]]] = {}
    for kind, expr in by_type.items():
        if expr is not None:
            asked.setdefault(str(expr), (expr, []))[1].append(kind)
    if not asked:
        return pl.lit(None, pl.Int64 if name == "back" else pl.String).alias(name)
    if len(asked) == 1 and len(next(iter(asked.values()))[1]) == len(by_type):
        return next(iter(asked.values()))[0].alias(name)
    return pl.coalesce(pl.when(pl.col("type").is_in(kinds)).then(expr) for expr, kinds in asked.values()).alias(name)


def _text(field: str | None, schema: pl.Schema) -> pl.Expr | None:
    dtype = schema.get(field) if field is not None else None
    if field is None or dtype is None:
        return None
    plain = dtype == pl.String or dtype == pl.Boolean or dtype.is_integer()
    return pl.col(field).cast(pl.String) if plain else pl.lit(None, pl.String)


def _flag(field: str | None, schema: pl.Schema) -> pl.Expr | None:
    known = field is not None and schema.get(field) == pl.Boolean
    return pl.col(field).cast(pl.Int64) if field is not None and known else None


def _hash(name: str) -> pl.Expr:
    hashed: pl.Expr = polars_hash.col(name).fill_null("").nchash.xxh3_64()  # type: ignore[attr-defined]
    return hashed.reinterpret(signed=True).alias(f"{name}_hash")
