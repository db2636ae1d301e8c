"""A batch as columns: which of its events can touch a rule, and their keys and types as shared texts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from saima.features.keys import key_expr
from saima.stores.shards import Share
from saima.streams.matching.closures import Facts
from saima.streams.matching.partition import Partition, Rows


@dataclass(frozen=True)
class Chosen:
    """Events that may touch a rule: keys as numbers into `names`, types into `types`."""

    events: pl.DataFrame
    names: list[str]
    slots: list[int]
    types: list[str]
    without_key: int


def relevant(partition: Partition, events: pl.DataFrame, share: Share) -> Chosen:
    """Events of owned keys that can begin a partial match, or whose key has one or may have one begun in this batch.

    A superset by design: the loop decides. Everything is told by the type and the key, as numbers. Events of a key
    stand together, in their order: keys do not touch each other, and what belongs together stays in the cache.
    """
    keys = _keys(partition, events)
    if not share.alone:
        own = share.mask(keys)
        events, keys = events.filter(own), keys.filter(own)
    without_key = keys.null_count()
    names_ = keys.drop_nulls().unique()
    slots = keys.cast(pl.Enum(names_)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    types_ = events["type"].unique()
    types = events["type"].cast(pl.Enum(types_)).to_physical().to_numpy()
    names, known_types = names_.to_list(), types_.to_list()
    begins = np.array([_begins(partition, name) for name in known_types], dtype=bool)
    chosen = begins[types] if len(types) else np.zeros(0, dtype=bool)
    busy = np.array([name in partition.keys for name in names], dtype=bool)
    wanted = _wanted(partition, known_types)
    if len(names) and not chosen.all():
        busy[slots[chosen & (slots >= 0)]] = True
        later = wanted[types] & busy[np.maximum(slots, 0)]
        chosen = chosen | later
    chosen = chosen & (slots >= 0)
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(slots[rows], kind="stable")]
    kept = events[rows]
    return Chosen(kept, names, slots[rows].tolist(), [known_types[i] for i in types[rows].tolist()], without_key)


def columns_of(partition: Partition, chosen: Chosen) -> tuple[list[str], list[int], Rows]:
    """Names of keys, each row's place among them, and the rows."""
    events = chosen.events
    needed = sorted(partition.reads)
    columns: dict[str, list[Any]] = {}
    empty: list[Any] = []

    def facts(row: int) -> Facts:
        if not columns:
            for name in needed:
                if name == "type":
                    columns[name] = chosen.types
                elif name in events.columns:
                    columns[name] = events[name].to_list()
                else:
                    columns[name] = empty
            columns[""] = empty
        return {name: values[row] for name, values in columns.items() if values}

    rows = Rows(chosen.types, events["time"].to_list(), events["id"].to_list(), events["seq"].to_list(), facts)
    return chosen.names, chosen.slots, rows


def _keys(partition: Partition, events: pl.DataFrame) -> pl.Series:
    if not partition.fields:
        return events["key"]
    columns = [pl.col(name) if name in events.columns else pl.lit(None, pl.String) for name in partition.fields]
    return events.select(key=key_expr(columns))["key"]


def _begins(partition: Partition, name: str) -> bool:
    starts = partition.starts
    return bool(starts.by_type.get(name, starts.other) or starts.ordered.get(name, starts.ordered_other))


def _wanted(partition: Partition, types: list[str]) -> Any:
    """Whether events of each type can touch a partial match in some state."""
    tables = partition.tables
    if any(table.awaits is None for table in tables):
        return np.ones(len(types), dtype=bool)
    awaited = {name for table in tables for name in table.awaits or ()}
    return np.array([name in awaited for name in types], dtype=bool)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without the collector of cycles: a batch makes many tuples and no cycle, and the search halves its speed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
