"""Growing runs of rows inside one array: each key's newest events, each level's tiles.

A run is four words of a key: offset, room, begin, length; its rows lie at offset + begin. Rows leave at the front and
join at the end or, rarely, in between. Rooms are powers of two; freed ones are chained by their first word and used
again.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

OFFSET, ROOM, BEGIN, LENGTH = 0, 1, 2, 3
LEAST = 4
"""Room of a run that holds its first rows."""

CLASSES = 48

SMALL = 1 << 14
"""Rows by which an array grows at least."""


def pool() -> Ints:
    """The free rooms by size, and in the last word how many rows of the array are used."""
    heads = np.full(CLASSES + 1, -1, np.int64)
    heads[CLASSES] = 0
    return heads


@numba.njit(cache=True, nogil=True)
def take(heads: Ints, table: Ints, room: int) -> Any:
    """Offset of a free room; the caller has seen to it that the array is long enough."""
    size, place = LEAST, 0
    while size < room:
        size, place = 2 * size, place + 1
    offset = heads[place]
    if offset >= 0:
        heads[place] = table[offset, 0]
        return offset
    offset = heads[CLASSES]
    heads[CLASSES] = offset + room
    return offset


@numba.njit(cache=True, nogil=True)
def give(heads: Ints, table: Ints, offset: int, room: int) -> None:
    """Free a room."""
    size, place = LEAST, 0
    while size < room:
        size, place = 2 * size, place + 1
    table[offset, 0] = heads[place]
    heads[place] = offset


@numba.njit(cache=True, nogil=True)
def room_for(needed: int) -> int:
    """The least room that holds so many rows."""
    room = LEAST
    while room < needed:
        room *= 2
    return room


def longer(table: Ints, used: int, needed: int) -> Ints:
    """The table, longer where so many rows more do not fit.

    It grows where it lies, by a quarter: a long array is moved by its pages, not copied, and no more memory is
    touched than is needed.
    """
    if used + needed > len(table):
        table.resize((max(len(table) + max(len(table) // 4, SMALL), used + needed), table.shape[1]), refcheck=False)
    return table
