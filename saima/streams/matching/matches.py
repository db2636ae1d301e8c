"""What the matcher gives out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from saima.streams.matching.runs import cells

if TYPE_CHECKING:
    from saima.streams.matching.rules import Compiled
    from saima.streams.matching.runs import Cell

Kind = Literal["match", "timeout"]

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.Int64,
    "rule": pl.String,
    "version": pl.Int64,
    "key": pl.String,
    "kind": pl.String,
    "time": pl.Int64,
    "start": pl.Int64,
    "steps": pl.List(pl.String),
    "ids": pl.List(pl.String),
    "fields": pl.String,
}
"""Columns of matches as a frame; `row` is the row of the batch that caused one, `fields` JSON text or null."""

Raw = tuple[int, "Compiled", str, Kind, int, "Cell"]
"""A match as the loop leaves it: the row that caused it, rule, key, kind, time, newest cell."""


@dataclass(frozen=True, slots=True)
class Match:
    """A match, or a partial match that ran out of time.

    version: of the rule that began it. time: of the event that completed it, or its deadline. start: time of its first
    event. steps, ids: the accepted events in order of arrival, each with its step. fields: what the rule emits.
    """

    rule: str
    version: int
    key: str
    kind: Kind
    time: int
    start: int
    steps: tuple[str, ...]
    ids: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)


def make_match(raw: Raw) -> Match:
    """The match that the loop left."""
    _, compiled, key, kind, time, cell = raw
    chain = cells(cell)
    rule = compiled.rule
    return Match(
        rule.id,
        rule.version,
        key,
        kind,
        time,
        chain[0][2][1],
        tuple(one[1] for one in chain),
        tuple(one[2][0] for one in chain),
        emitted(compiled, cell),
    )


def emitted(compiled: Compiled, cell: Cell) -> dict[str, Any]:
    """What a rule emits of a match."""
    return {name: value({}, cell) for name, value in compiled.emits.items()} if compiled.emits else {}


def to_frame(found: Sequence[Raw], rows: NDArray[np.integer[Any]] | None = None) -> pl.DataFrame:
    """Matches as a frame; rows: of the batch, that caused them, if others than the loop's."""
    if not found:
        return pl.DataFrame(schema=SCHEMA)
    steps: list[str] = []
    ids: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for one in reversed(found):  # newest first, and turned round as a whole
        ends.append(len(ids))
        cell: Cell | None = one[5]
        while cell is not None:
            cell, step, record, _ = cell
            steps.append(step)
            ids.append(record[0])
        starts.append(record[1])
    for column in (steps, ids, starts):
        column.reverse()
    ends.append(len(ids))
    bounds = len(ids) - np.array(ends[::-1], dtype=np.int64)
    known = list(dict.fromkeys([one[1] for one in found]))
    places = {compiled: place for place, compiled in enumerate(known)}
    compiled = [places[one[1]] for one in found]
    fields = None
    if any(one.emits for one in known):
        fields = [json.dumps(emitted(one[1], one[5]), sort_keys=True) if one[1].emits else None for one in found]
    return pl.DataFrame(
        {
            "row": [one[0] for one in found] if rows is None else rows,
            "rule": pl.Series([one.rule.id for one in known])[compiled],
            "version": pl.Series([one.rule.version for one in known])[compiled],
            "key": [one[2] for one in found],
            "kind": [one[3] for one in found],
            "time": [one[4] for one in found],
            "start": starts,
            "steps": _lists(bounds, steps),
            "ids": _lists(bounds, ids),
            "fields": fields,
        },
        schema=SCHEMA,
    )


def _lists(bounds: NDArray[np.int64], texts: list[str]) -> pl.Series:
    """Lists of texts from all texts and the places where each list begins, and where the last one ends."""
    values = pl.Series(texts, dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.newest())
    made = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(bounds), values))
    assert isinstance(made, pl.Series)
    return made


def from_frame(frame: pl.DataFrame) -> list[Match]:
    """Matches of a frame."""
    return [
        Match(
            row["rule"],
            row["version"],
            row["key"],
            row["kind"],
            row["time"],
            row["start"],
            tuple(row["steps"]),
            tuple(row["ids"]),
            json.loads(row["fields"]) if row["fields"] else {},
        )
        for row in frame.iter_rows(named=True)
    ]


def by_step(match: Match) -> dict[str, list[str]]:
    """Ids of a match by step."""
    found: dict[str, list[str]] = {}
    for step, identity in zip(match.steps, match.ids, strict=True):
        found.setdefault(step, []).append(identity)
    return found
