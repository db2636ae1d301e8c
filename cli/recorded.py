"""Recorded requests of this home's journal, newest first, and the bundle that a person names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from saima.errors import SaimaError
from saima.settings import Settings
from saima.stores import open_registry, open_tables
from saima.stores.interfaces import BundleRow

_CHUNK = 2_000


def records(settings: Settings, algorithm: str, count: int, whole: bool = False) -> Iterator[dict[str, Any]]:
    """The newest `count` answers of an algorithm (0: all), shadows left out; `whole`: those that were kept whole.

    Raises SaimaError where there are none.
    """
    tables = open_tables(settings)
    journal = f"{algorithm}/journal"
    if not tables.exists(journal):
        raise SaimaError(f"there is no journal of '{algorithm}' under {settings.home}; `saima up` makes one")
    lazy = tables.scan(journal).filter(~pl.col("shadow"))
    if whole:
        lazy = lazy.filter(pl.col("whole"))
    chosen = lazy.select("offset").sort("offset", descending=True)
    offsets = (chosen.head(count) if count else chosen).collect()["offset"].to_list()
    if not offsets:
        kept = " that was kept whole (journal.full of the declaration says how many are)" if whole else ""
        raise SaimaError(f"the journal of '{algorithm}' holds no answer{kept}")
    for at in range(0, len(offsets), _CHUNK):
        part = offsets[at : at + _CHUNK]
        rows = lazy.filter(pl.col("offset").is_in(part)).select("offset", "record").collect()
        for text in rows.sort("offset", descending=True)["record"]:
            yield json.loads(text)


def event_tables(settings: Settings, topics: list[str]) -> dict[str, pl.LazyFrame]:
    """Event tables by topic, those that exist."""
    tables = open_tables(settings)
    return {topic: tables.scan(f"events/{topic}") for topic in topics if tables.exists(f"events/{topic}")}


def published(settings: Settings, algorithm: str, publication: int) -> BundleRow:
    """A published bundle of an algorithm. Raises SaimaError listing what there is."""
    rows = open_registry(settings).bundles(algorithm)
    for row in rows:
        if row.publication == publication and Path(row.path).is_dir():
            return row
    known = ", ".join(str(row.publication) for row in rows) or "none yet"
    raise SaimaError(f"'{algorithm}' has no bundle {publication} on this machine; published: {known}")
