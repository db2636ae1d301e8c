"""History for the state: the event tables' accepted rows, up to a position, built by the engines' batch path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from saima.errors import StoreError
from saima.events import Topic
from saima.stores.interfaces import Registry, Tables
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.worker.catalog import Catalog
from saima.worker.parts import parts

FACT = "history/"
"""Before a topic's name, the registry's fact {"end": ms}: batch owns the topic's events before it."""


def history_ends(registry: Registry) -> dict[str, int]:
    """Where the history of each topic that has one ends, ms UTC."""
    return {name.removeprefix(FACT): int(fact["end"]) for name, fact in registry.facts(FACT).items()}


def history_frames(
    tables: Tables, topics: Iterable[Topic], upto: int, ends: Mapping[str, int]
) -> dict[str, pl.LazyFrame]:
    """Accepted rows by topic: those of history (offset 0) before its end, and from then on the log's up to `upto`.

    Raises StoreError naming a field that the table holds in another type than is declared now.
    """
    frames: dict[str, pl.LazyFrame] = {}
    for topic in topics:
        name = f"events/{topic.name}"
        if not tables.exists(name):
            continue
        offset, time = pl.col("offset"), pl.col("time")
        end = ends.get(topic.name, 0)
        accepted = ~pl.col("late") & (offset <= upto) & pl.when(offset > 0).then(time >= end).otherwise(time < end)
        frame = tables.scan(name).filter(accepted)
        schema = pl.DataFrame(topic.schema.empty_table()).schema
        known = frame.collect_schema()
        wrong = [
            f"{field} is {known[field]}, declared {schema[field]}"
            for field in topic.fields
            if field in known and not _fits(known[field], schema[field])
        ]
        if wrong:
            raise StoreError(
                f"table '{name}' has other types than source '{topic.name}' declares: {'; '.join(wrong)}; declare the "
                "field under a new name, or materialize the history again"
            )
        absent = [pl.lit(None, dtype=schema[field]).alias(field) for field in topic.fields if field not in known]
        frames[topic.name] = frame.with_columns(absent)
    return frames


def _fits(stored: pl.DataType, declared: pl.DataType) -> bool:
    """Whether stored values are values of the declared type: the type itself, or a number of more or fewer bits."""
    if stored == declared or (stored.is_nested() and declared.is_nested()):
        return True
    return (stored.is_integer() and declared.is_numeric()) or (stored.is_float() and declared.is_float())


def build(
    found: Catalog, missing: set[str], frames: Mapping[str, pl.LazyFrame], share: Share | None = None
) -> list[Change]:
    """Entities of the missing online tables, as the stream would have made them of the same rows; of a share's keys."""
    from saima.streams.tiles import RowEngine, TileEngine  # its kernels take a second to import

    made: list[Change] = []
    for part in parts(found, share or Share()):
        groups = [group for group in part.groups if group.table in missing]
        rows = [source for source in part.rows if source.table in missing]
        own = {topic: part.own(frame) for topic, frame in frames.items() if topic in part.topics}
        predicates = {group.table: found.predicates[group.table] for group in groups if group.table in found.predicates}
        made += TileEngine(groups, predicates=predicates).build_from_history(own)
        made += RowEngine(rows).build_from_history(own)
    return made
