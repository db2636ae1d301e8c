"""Packed entities of many keys as one array of words: joined and checked on the way in, cut on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from saima.errors import StoreError
from saima.features.windows.codec import FORMAT
from saima.features.windows.definition import Group

Ints = npt.NDArray[np.int64]

LEAST = 8
"""Rows of room that a run may take beyond four times its length, while it grows to it."""


@dataclass(frozen=True)
class Shape:
    """The layout of the entities of a group without documents; `parts`: packed words of a tile beside its start."""

    group: Group
    parts: int

    @property
    def levels(self) -> int:
        """Levels of closed tiles."""
        return len(self.group.hops)

    @property
    def head(self) -> int:
        """Words before the events."""
        return 6 + self.levels

    @property
    def row(self) -> int:
        """Words of an event."""
        return 2 if self.group.value is None else 3


def joined(shape: Shape, keys: Sequence[str], entities: Sequence[bytes]) -> tuple[Ints, Ints]:
    """All words, and where each entity begins. Raises StoreError that names the key of one that is damaged."""
    sizes = np.array([len(data) for data in entities], np.int64)
    _refuse(shape, keys, entities, (sizes % 8 != 0) | (sizes < 8 * shape.head))
    found = np.frombuffer(b"".join(entities), np.int64)
    starts = np.cumsum(sizes // 8) - sizes // 8
    heads = found[starts[:, None] + np.arange(shape.head)]
    counts = heads[:, [3, *range(5, 5 + shape.levels)]]
    wrong = ((counts < 0) | (counts > sizes[:, None])).any(axis=1)
    wrong |= (heads[:, 0] != FORMAT) | (heads[:, 4] != shape.levels) | (heads[:, -1] != 0)
    _refuse(shape, keys, entities, wrong)
    whole = shape.head + shape.row * counts[:, 0] + (1 + shape.parts) * counts[:, 1:].sum(axis=1)
    _refuse(shape, keys, entities, 8 * whole != sizes)
    return found, starts


def rooms(shape: Shape, found: Ints, starts: Ints) -> tuple[int, int]:
    """How many rows of events and of tiles the arrays need at most for entities, as runs grow to them."""
    events = int(found[starts + 3].sum())
    closed = sum(int(found[starts + 5 + level].sum()) for level in range(shape.levels))
    return 4 * events + LEAST * len(starts), 4 * (closed + events) + LEAST * len(starts) * shape.levels


def cut(found: Ints, starts: Ints) -> list[bytes]:
    """Bytes of the entities that begin and end at n + 1 starts."""
    data: Any = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts) - 1, [None, pa.py_buffer(8 * starts), pa.py_buffer(found)]
    )
    entities: list[bytes] = data.to_pylist()
    return entities


def _refuse(shape: Shape, keys: Sequence[str], entities: Sequence[bytes], wrong: npt.NDArray[np.bool_]) -> None:
    for place in np.flatnonzero(wrong)[:1].tolist():
        raise StoreError(
            f"{shape.group.table}: the entity of '{keys[place]}', of {len(entities[place])} bytes, is damaged"
        )
