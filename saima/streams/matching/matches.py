"""What the matcher gives out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa

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
    steps: list[str] = []
    ids: list[str] = []
    start = _unwind(cell, steps, ids)
    rule = compiled.rule
    return Match(rule.id, rule.version, key, kind, time, start, tuple(steps), tuple(ids), emitted(compiled, cell))


def emitted(compiled: Compiled, cell: Cell) -> dict[str, Any]:
    """What a rule emits of a match."""
    return {name: value({}, cell) for name, value in compiled.emits.items()} if compiled.emits else {}


def _unwind(cell: Cell | None, steps: list[str], ids: list[str]) -> int:
    """Add steps and ids of a match, oldest first; time of the first event."""
    assert cell is not None
    here, record = len(ids), cell[2]
    while cell is not None:
        record = cell[2]
        steps.append(cell[1])
        ids.append(record[0])
        cell = cell[0]
    steps[here:] = reversed(steps[here:])
    ids[here:] = reversed(ids[here:])
    return record[1]


def to_frame(found: Sequence[Raw]) -> pl.DataFrame:
    """Matches as a frame."""
    if not found:
        return pl.DataFrame(schema=SCHEMA)
    steps: list[str] = []
    ids: list[str] = []
    starts: list[int] = []
    offsets = [0]
    fields: list[str | None] = []
    for one in found:
        starts.append(_unwind(one[5], steps, ids))
        offsets.append(len(ids))
        fields.append(json.dumps(emitted(one[1], one[5]), sort_keys=True) if one[1].emits else None)
    ends = pa.array(offsets, pa.int64())
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
