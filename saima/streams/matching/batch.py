"""A batch as columns: which of its events can touch a rule, and their keys and types as shared texts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saima.features.keys import key_expr
from saima.stores.shards import Share
from saima.streams.matching.closures import Facts
from saima.streams.matching.partition import Group, Partition, Plan, Rows


@dataclass(frozen=True)
class Chosen:
    """Events that may touch a rule, key by key; rows: their places in the batch."""

    groups: list[Group]
    rows: NDArray[np.intp]
    columns: Rows
    without_key: int


def relevant(partition: Partition, events: pl.DataFrame, share: Share) -> Chosen:
    """Events of owned keys that can begin a partial match, or whose key has one or may have one begun in this batch.

    A superset by design: the loop decides. Everything is told by the type and the key, as numbers. Events of a key
    stand together, in their order: keys do not touch each other, and what belongs together stays in the cache.
    """
    keys = _keys(partition, events)
    place = None
    if not share.alone:
        place = np.flatnonzero(share.mask(keys).to_numpy())
        events, keys = events[place], keys[place]
    without_key = keys.null_count()
    types, type_of = _numbered(events["type"])
    plans = [partition.plan(name) for name in types]
    begins = np.array([bool(begun or pruning) for _, begun, pruning in plans], dtype=bool)
    rows = np.flatnonzero((begins | _wanted(partition, types))[type_of])
    if without_key:
        rows = rows[keys.is_not_null().to_numpy()[rows]]
    names, slots = _numbered(keys if len(rows) == len(keys) else keys[rows])
    chosen = begins[type_of[rows]]
    if not chosen.all():
        busy = np.fromiter(map(partition.keys.__contains__, names), dtype=bool, count=len(names))
        busy[slots[chosen]] = True
        chosen |= busy[slots]
        rows, slots = rows[chosen], slots[chosen]
    order = np.argsort(slots, kind="stable")
    rows, slots = rows[order], slots[order]
    firsts = np.flatnonzero(np.diff(slots, prepend=-1)).tolist()
    groups = list(zip([names[i] for i in slots[firsts].tolist()], firsts, [*firsts, len(rows)][1:], strict=True))
    columns = _columns(partition, events, rows, [plans[i] for i in type_of[rows].tolist()])
    return Chosen(groups, rows if place is None else place[rows], columns, without_key)


def _columns(partition: Partition, events: pl.DataFrame, rows: NDArray[np.intp], plans: list[Plan]) -> Rows:
    needed = sorted(partition.reads)
    columns: dict[str, list[Any]] = {}
    empty: list[Any] = []
    kept = events.select("time", "id", "seq")[rows]

    def facts(row: int) -> Facts:
        if not columns:
            for name in needed:
                if name == "type":
                    columns[name] = [plan[0] for plan in plans]
                elif name in events.columns:
                    columns[name] = events[name][rows].to_list()
                else:
                    columns[name] = empty
            columns[""] = empty
        return {name: values[row] for name, values in columns.items() if values}

    return Rows(plans, kept["time"].to_list(), kept["id"].to_list(), kept["seq"].to_list(), facts)


def _numbered(texts: pl.Series) -> tuple[list[str], NDArray[np.integer[Any]]]:
    """Distinct texts, and each row's place among them."""
    encoded = texts.cast(pl.String).to_arrow().dictionary_encode()
    places = encoded.indices.to_numpy(zero_copy_only=False)
    known = pl.Series(encoded.dictionary).to_list()
    return known, places.astype(np.int16) if len(known) < 1 << 15 else places  # two bytes sort by counting


def _keys(partition: Partition, events: pl.DataFrame) -> pl.Series:
    if not partition.fields:
        return events["key"]
    columns = [pl.col(name) if name in events.columns else pl.lit(None, pl.String) for name in partition.fields]
    return events.select(key=key_expr(columns))["key"]


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
