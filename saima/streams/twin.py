"""The batch twin of windows: tiles of a span of history, by the batch path, and whether the stream's are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from saima.features.declaration import Declaration
from saima.features.windows.codec import Codec
from saima.features.windows.definition import Group
from saima.features.windows.entity import Accumulator
from saima.features.windows.grouping import reads
from saima.features.windows.rows import by_key, select

SCHEMA = {
    "key": pl.String,
    "hop": pl.Int64,
    "start": pl.Int64,
    "events": pl.Int64,
    "parts": pl.String,
}
"""A tile: key, width of its hop and where it starts (ms UTC), how many events it holds, and its partials as JSON, which
keeps every bit of them."""

Tile = tuple[str, int, int]
"""Key, hop, start."""


def tiled(declaration: Declaration, *, live: bool = False) -> dict[str, list[Group]]:
    """What each aggregate reads: the groups whose tiles are its own; aggregates that agree share them. Those of windows
    that keep no tiles (hop 0) are left out, and with `live` those that the stream leaves to history."""
    found: dict[str, list[Group]] = {}
    for read in reads(declaration):
        if read.group.hops and not (live and declaration.aggregates[read.aggregate].tier == "batch"):
            found.setdefault(read.aggregate, []).append(read.group)
    return found


def tiles(
    group: Group, events: pl.LazyFrame, first: int, stop: int, end: int, predicates: Mapping[str, pl.Expr]
) -> pl.DataFrame:
    """Tiles that start in [first, stop) and have closed by `end`, ms UTC, of a group's accepted events; see SCHEMA.

    events: rows of the group's source, of which those that are needed are read: up to the end of the last hop.
    """
    reach = min(stop + max(group.hops, default=0), end)
    frame = events.filter((pl.col("time") >= first) & (pl.col("time") < reach)).collect()
    rows = by_key(select(frame, [group], predicates), group)
    components = Accumulator(group).components
    codec = Codec(group)
    found: list[tuple[Any, ...]] = []
    for key in sorted(rows):
        level: dict[int, list[Any]] = {}
        for start, run in _cut(sorted(rows[key]), group.hops[0] if group.hops else 0).items():
            level[start] = [component.of(run) for component in components]
        for place, hop in enumerate(group.hops):
            if place:
                pieces: dict[int, list[list[Any]]] = {}
                for start, parts in sorted(level.items()):
                    pieces.setdefault(start // hop * hop, []).append(parts)
                level = {
                    start: [one.merge([part[n] for part in parts]) for n, one in enumerate(components)]
                    for start, parts in pieces.items()
                }
            found += [
                (key, hop, start, parts[0], _written(codec, parts))
                for start, parts in sorted(level.items())
                if first <= start < stop and start + hop <= end
            ]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def differing(group: Group, batch: pl.DataFrame, width: int, entities: Mapping[str, bytes]) -> tuple[int, list[Tile]]:
    """How many tiles both a batch (see SCHEMA) and a group's packed entities hold, and which of them differ by a bit,
    or only one side has although its time is the other's, too.

    A tile is compared where an entity still holds hops of its time closed, and the batch has the partition, `width` ms
    of starts, that it begins in.
    """
    parts_there = set((batch["start"] // width).unique().to_list())
    made = {(key, hop, start): text for key, hop, start, text in batch.select("key", "hop", "start", "parts").rows()}
    accumulator, codec = Accumulator(group), Codec(group)
    compared, wrong = 0, []
    places = {hop: place for place, hop in enumerate(group.hops)}
    opened = {key: codec.unpack(data) for key, data in entities.items()}
    for (key, hop, start), text in made.items():
        if key not in opened or hop not in places:
            continue
        low, high = accumulator.closed(opened[key].head, places[hop])
        if low <= start < high:
            compared += 1
            parts = opened[key].levels[places[hop]].get(start)
            if parts is None or _written(codec, parts) != text:
                wrong.append((key, hop, start))
    newest = int((batch["start"] + batch["hop"]).max() or 0)  # type: ignore[arg-type]
    for key, entity in opened.items():
        for hop, place in places.items():
            for start in entity.levels[place]:
                if start // width in parts_there and start + hop <= newest and (key, hop, start) not in made:
                    compared += 1
                    wrong.append((key, hop, start))
    return compared, sorted(wrong)


def _cut(rows: list[Any], hop: int) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows if hop else ():
        found.setdefault(row[0] // hop * hop, []).append(row)
    return found


def _written(codec: Codec, parts: list[Any]) -> str:
    names = codec.components.items()
    return json.dumps({name: list(one.pack(part)) for (name, one), part in zip(names, parts, strict=True)})
