"""What the matcher gives out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa

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


def to_frame(found: Sequence[Raw]) -> pl.DataFrame:
    """Matches as a frame."""
    if not found:
        return pl.DataFrame(schema=SCHEMA)
    steps: list[str] = []
    ids: list[str] = []
    starts: list[int] = []
    counts: list[int] = []
    for one in reversed(found):  # newest first, and turned round as a whole
        cell: Cell | None = one[5]
        before = len(ids)
        while cell is not None:
            record = cell[2]
            steps.append(cell[1])
            ids.append(record[0])
            cell = cell[0]
        starts.append(record[1])
        counts.append(len(ids) - before)
    for column in (steps, ids, starts, counts):
        column.reverse()
    ends = pa.array([0, *accumulate(counts)], pa.int64())
    fields = [json.dumps(emitted(one[1], one[5]), sort_keys=True) if one[1].emits else None for one in found]
    rules = [one[1].rule for one in found]
    return pl.DataFrame(
        {
            "row": [one[0] for one in found],
            "rule": [rule.id for rule in rules],
            "version": [rule.version for rule in rules],
            "key": [one[2] for one in found],
            "kind": [one[3] for one in found],
            "time": [one[4] for one in found],
            "start": starts,
            "steps": _lists(ends, steps),
            "ids": _lists(ends, ids),
            "fields": fields,
        },
        schema=SCHEMA,
    )


def _lists(ends: pa.Array, texts: list[str]) -> pl.Series:
    """Lists of texts from all texts and the places where each list ends."""
    made = pl.from_arrow(pa.LargeListArray.from_arrays(ends, pa.array(texts, pa.large_string())))
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
