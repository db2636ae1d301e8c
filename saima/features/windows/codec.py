"""The packed form of an entity: int64 words, then float or int columns of eight bytes, then one JSON text.

Words: format, latest, head, number of events, number of levels, hops in each level, length of the JSON. Columns: times,
sequence numbers and (if numbers) values of the events; per level the hops' starts and the packed columns of each
component. JSON: text values and the partials that are documents. Little-endian; equal entities have equal bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saima.errors import StoreError
from saima.features.windows.component import Component, Row
from saima.features.windows.definition import Group
from saima.features.windows.entity import Entity, Level
from saima.features.windows.measure import components

FORMAT = 1


@dataclass(slots=True)
class Packed:
    """An entity's columns as they lie in the bytes: `levels[i]` is (starts, {component: its columns})."""

    latest: int
    head: int
    times: Sequence[int]
    seqs: Sequence[int]
    values: Sequence[Any] | None
    levels: list[tuple[Sequence[int], dict[str, list[Sequence[Any]]]]]


class Codec:
    """Packs and unpacks the entities of one group."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.components: dict[str, Component] = components(group)
        self._value = None if group.value is None else "" if group.is_text else "d" if group.is_float else "q"
        self._documents = [name for name, component in self.components.items() if not component.columns]

    def pack(self, entity: Entity) -> bytes:
        """Bytes of an entity that holds at least one event."""
        rows = entity.rows
        chunks = [_column("q", [row[0] for row in rows]), _column("q", [row[1] for row in rows])]
        documents: list[Any] = []
        if self._value:
            chunks.append(_column(self._value, [row[2] for row in rows]))
        elif self._value == "":
            documents.append([row[2] for row in rows])
        for level in entity.levels:
            starts = sorted(level)
            chunks.append(_column("q", starts))
            for n, component in enumerate(self.components.values()):
                parts = [component.pack(level[start][n]) for start in starts]
                if not component.columns:
                    documents.append([part[0] for part in parts])
                    continue
                for place, code in enumerate(component.columns):
                    chunks.append(_column(code, [part[place] for part in parts]))
        text = json.dumps(documents, separators=(",", ":")).encode() if documents else b""
        counts = [len(level) for level in entity.levels]
        words = [FORMAT, entity.latest, entity.head, len(rows), len(counts), *counts, len(text)]
        return b"".join([_column("q", words), *chunks, text])

    def open(self, data: bytes) -> Packed:
        """Columns of packed bytes, without copying; StoreError if they are not an entity of this group."""
        try:
            return self._open(data)
        except (ValueError, IndexError, struct.error) as error:
            raise StoreError(f"{self.group.table}: an entity of {len(data)} bytes is damaged ({error})") from error

    def _open(self, data: bytes) -> Packed:
        fixed = len(data) // 8 * 8
        words = memoryview(data)[:fixed].cast("q")
        form, latest, head, n, n_levels = words[:5]
        if form != FORMAT or n_levels != len(self.group.hops):
            raise ValueError(f"format {form} with {n_levels} levels")
        counts = words[5 : 5 + n_levels]
        size = words[5 + n_levels]
        end = len(data) - size
        if end % 8:
            raise ValueError("wrong length")
        floats = memoryview(data)[:fixed].cast("d")
        documents = iter(json.loads(data[end:]) if size else ())
        at = 6 + n_levels
        times, seqs = words[at : at + n], words[at + n : at + 2 * n]
        at += 2 * n
        values: Sequence[Any] | None = None
        if self._value:
            values = (floats if self._value == "d" else words)[at : at + n]
            at += n
        elif self._value == "":
            values = next(documents)
        levels: list[tuple[Sequence[int], dict[str, list[Sequence[Any]]]]] = []
        for m in counts:
            starts = words[at : at + m]
            at += m
            parts: dict[str, list[Sequence[Any]]] = {}
            for name, component in self.components.items():
                columns: list[Sequence[Any]] = []
                for code in component.columns:
                    columns.append((floats if code == "d" else words)[at : at + m])
                    at += m
                parts[name] = columns or [next(documents)]
            levels.append((starts, parts))
        if at * 8 != end:
            raise ValueError("wrong length")
        return Packed(latest, head, times, seqs, values, levels)

    def unpack(self, data: bytes) -> Entity:
        """The entity of packed bytes; StoreError if they are damaged."""
        packed = self.open(data)
        values = [None] * len(packed.times) if packed.values is None else list(packed.values)
        rows: list[Row] = list(zip(packed.times, packed.seqs, values, strict=True))
        levels: list[Level] = []
        for starts, columns in packed.levels:
            parts = [component.unpack(columns[name]) for name, component in self.components.items()]
            levels.append({start: [part[i] for part in parts] for i, start in enumerate(starts)})
        return Entity(packed.latest, packed.head, rows, levels)


def _column(code: str, values: Sequence[Any]) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)
