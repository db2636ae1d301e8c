"""The rows that a linker gives: one a node, when it is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from saima.streams.linking import layout as at
from saima.streams.linking.spec import LEVELS

_TEXTS = ("session_id", "node_id", "parent_id", "level", "key", "name")
SCHEMA = pl.Schema(
    [
        *((name, pl.String()) for name in _TEXTS),
        ("entered", pl.Int64()),
        ("left", pl.Int64()),
        *((name, pl.String()) for name in ("source_id", "cause_id", "kind")),
        ("path_hash", pl.Int64()),
        ("targets", pl.List(pl.String)),
        ("known", pl.Int64()),
    ]
)
"""Columns of a node's row."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a session's tree; times in ms UTC, `left` that of the last event where a gap ended the session.

    source_id: of a page, the behaviour on the page before that caused the jump to it; targets: of a page, the page that
    it led to. cause_id: the event that made the node. kind: entered, back (a page gone back to) or synthesised.
    path_hash: equal for equal names from the app down. known: time of the event that let
    the row out, or of the gap's end.
    """

    session_id: str
    node_id: str
    parent_id: str | None
    level: str
    key: str
    name: str
    entered: int
    left: int
    source_id: str | None
    cause_id: str
    kind: str
    path_hash: int
    targets: tuple[str, ...]
    known: int


def node(row: list[int], key: str, session: str, name: str, cause: str) -> Node:
    """The node of an output row of the kernel and its strings."""
    _, _, number, parent, level, _, _, entered, left, source, kind, path, target, known = row
    return Node(
        session,
        f"{session}-{number}",
        None if parent < 0 else f"{session}-{parent}",
        LEVELS[level],
        key,
        name,
        entered,
        left,
        None if source < 0 else f"{session}-{source}",
        cause,
        at.KINDS[kind],
        path,
        () if target < 0 else (f"{session}-{target}",),
        known,
    )


def frame(
    out: np.ndarray[Any, np.dtype[np.int64]], keys: pl.Series, sessions: pl.Series, names: pl.Series, causes: pl.Series
) -> pl.DataFrame:
    """Output rows of the kernel as a frame; `keys` by local number, the other strings by row."""
    columns = {
        "session_id": sessions,
        "level": pl.Series(LEVELS, dtype=pl.String).gather(out[:, at.O_LEVEL]),
        "key": keys.gather(out[:, at.O_LOCAL]),
        "name": names,
        "cause_id": causes,
        "kind": pl.Series(at.KINDS, dtype=pl.String).gather(out[:, at.O_KIND]),
        "entered": out[:, at.O_ENTERED],
        "left": out[:, at.O_LEFT],
        "path_hash": out[:, at.O_PATH],
        "number": out[:, at.O_NODE],
        "parent": out[:, at.O_PARENT],
        "source": out[:, at.O_SOURCE],
        "target": out[:, at.O_TARGET],
        "known": out[:, at.O_KNOWN],
    }
    target = _identity("target")
    return pl.DataFrame(columns).select(
        "session_id",
        _identity("number").alias("node_id"),
        _identity("parent").alias("parent_id"),
        "level",
        "key",
        "name",
        "entered",
        "left",
        _identity("source").alias("source_id"),
        "cause_id",
        "kind",
        "path_hash",
        pl.when(target.is_null())
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.concat_list(target))
        .alias("targets"),
        "known",
    )


def from_frame(rows: pl.DataFrame) -> list[Node]:
    """Nodes of the frame that a batch gives."""
    return [Node(**{**row, "targets": tuple(row["targets"])}) for row in rows.iter_rows(named=True)]


def to_frame(nodes: list[Node]) -> pl.DataFrame:
    """Nodes as the frame that a batch gives."""
    rows = [tuple(getattr(each, name) for name in SCHEMA.names()) for each in nodes]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _identity(number: str) -> pl.Expr:
    return pl.when(pl.col(number) >= 0).then(pl.concat_str("session_id", pl.lit("-"), number))
