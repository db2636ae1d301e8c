"""The snapshot of an engine: a JSON header, then per table the keys and packed entities of all that is held."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from saima.errors import StoreError
from saima.features.declaration import Source
from saima.streams.aggregation.definition import Definition, from_document

FORMAT = 1

Tables = dict[str, tuple[list[str], list[bytes]]]


def header(state: Mapping[str, Any]) -> bytes:
    """What is not tiles."""
    return json.dumps({"format": FORMAT, **state}, separators=(",", ":")).encode()


def write(state: Mapping[str, Any], tables: Mapping[str, Sequence[tuple[str, bytes]]]) -> bytes:
    """A snapshot of tables of packed entities by key."""
    counts = {table: len(rows) for table, rows in tables.items()}
    parts = [header({**state, "tables": counts})]
    for rows in tables.values():
        keys = [key.encode() for key, _ in rows]
        entities = [data for _, data in rows]
        parts += [_sizes(keys), _sizes(entities), b"".join(keys), b"".join(entities)]
    return b"".join([struct.pack("<q", len(parts[0])), *parts])


def read(data: bytes) -> tuple[dict[str, Any], Tables]:
    """State and tables of a snapshot. Raises StoreError if it is damaged."""
    try:
        return _read(data)
    except (ValueError, KeyError, struct.error) as error:
        raise StoreError(f"a snapshot of {len(data)} bytes is damaged ({error})") from error


def _read(data: bytes) -> tuple[dict[str, Any], Tables]:
    (size,) = struct.unpack_from("<q", data)
    state = json.loads(data[8 : 8 + size])
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']}")
    at, tables = 8 + size, {}
    for table, count in state["tables"].items():
        sizes = np.frombuffer(data, np.int64, 2 * count, at) if count else np.zeros(0, np.int64)
        at += 16 * count
        pieces = []
        for column in (sizes[:count], sizes[count:]):
            ends = (at + np.concatenate(([0], np.cumsum(column)))).tolist()
            pieces.append([data[start:end] for start, end in pairwise(ends)])
            at = ends[-1]
        tables[table] = ([key.decode() for key in pieces[0]], pieces[1])
    if at != len(data):
        raise ValueError("wrong length")
    return state, tables


def declared(state: Mapping[str, Any]) -> tuple[list[Definition], dict[str, Source]]:
    """Definitions and sources of a state."""
    sources = {name: Source.model_validate(found) for name, found in state["sources"].items()}
    return [from_document(found) for found in state["definitions"]], sources


def same(kept: str, made: str) -> None:
    """Refuse a snapshot whose definitions are computed in another way now."""
    if kept != made:
        raise StoreError(
            f"a snapshot of plan {kept} does not fit plan {made}: its definitions are computed otherwise now; "
            "rebuild the tiles from history"
        )


def _sizes(parts: Sequence[bytes]) -> bytes:
    return np.array([len(part) for part in parts], np.int64).tobytes()
