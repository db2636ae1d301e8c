"""What the matcher gives out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from saima.streams.matching.runs import Cell

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
"""Columns of matches as a frame; `row` is the row of the batch that caused one, `fields` JSON text."""


@dataclass(frozen=True, slots=True)
class Match:
    """A match, or a partial match that ran out of time.

    version: of the rule that began it. time: of the event that completed it, or its deadline. start: time of its first
    event. steps, ids: the accepted events in order of arrival, each with its step. fields: what the rule emits.
    """

    rule: str
    version: int
    key: str
    kind: Literal["match", "timeout"]
    time: int
    start: int
    steps: tuple[str, ...]
    ids: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)


def make_match(compiled: Any, key: str, kind: Literal["match", "timeout"], time: int, cell: Cell) -> Match:
    """Match of a compiled rule from its newest cell."""
    steps = []
    ids = []
    newest: Cell | None = cell
    start = time
    while newest is not None:
        steps.append(newest[1])
        ids.append(newest[2][0])
        start = newest[2][1]
        newest = newest[0]
    steps.reverse()
    ids.reverse()
    rule = compiled.rule
    fields = {name: value({}, cell) for name, value in compiled.emits.items()} if compiled.emits else {}
    return Match(rule.id, rule.version, key, kind, time, start, tuple(steps), tuple(ids), fields)


def to_frame(matches: Iterable[tuple[int, Match]]) -> pl.DataFrame:
    """Matches, each with the row that caused it, as a frame."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    for row, match in matches:
        columns["row"].append(row)
        columns["rule"].append(match.rule)
        columns["version"].append(match.version)
        columns["key"].append(match.key)
        columns["kind"].append(match.kind)
        columns["time"].append(match.time)
        columns["start"].append(match.start)
        columns["steps"].append(match.steps)
        columns["ids"].append(match.ids)
        columns["fields"].append(json.dumps(match.fields, sort_keys=True) if match.fields else None)
    return pl.DataFrame(columns, schema=SCHEMA)


def from_frame(frame: pl.DataFrame) -> list[Match]:
    """The inverse of `to_frame`."""
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
