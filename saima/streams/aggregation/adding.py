"""Events into keys' arrays, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from saima.streams.aggregation.kernels import (
    DIGITS,
    DIRTY,
    HEAD,
    LATEST,
    NONE,
    ROWS,
    START,
    TILES,
    TIME,
    advance,
    floor,
    fold,
    fold_late,
    inlined,
    kernel,
    put_row,
    tile_of,
)
from saima.streams.aggregation.regions import BEGIN, CLASSES, LEAST, LENGTH, OFFSET, ROOM

Ints = npt.NDArray[np.int64]

BLOCK = 64
"""Events whose memory is touched ahead of their work: so much stays in the nearest cache."""


@inlined
def add(
    keys: Ints, slot: Any, time: Any, seq: Any, value: Any, keep: Any, hops: Ints, widths: Ints, row_heads: Ints,
    rows: Ints, tile_heads: Ints, tiles: Ints,
) -> None:  # fmt: skip
    """Add one event to a key, whatever its time."""
    levels = len(hops)
    if keys[slot, LATEST] == NONE:
        keys[slot, LATEST] = time
        keys[slot, HEAD] = floor(time - keep, hops[0]) if levels else time - keep
    head = keys[slot, HEAD]
    if time < head:
        fold_late(keys, slot, time, value, hops, widths, tile_heads, tiles)
        return
    put_row(keys, slot, time, seq, value, row_heads, rows)
    if levels:
        place = tile_of(keys, slot, 0, floor(time, hops[0]), hops, widths, tile_heads, tiles)
        fold(place, 1, value >> 32, value & DIGITS, value, value, tiles)
    if time > keys[slot, LATEST]:
        keys[slot, LATEST] = time
        new = time - keep
        if not levels:
            keys[slot, HEAD] = max(head, new)
        elif new >= head + hops[0]:
            advance(keys, slot, floor(new, hops[0]), hops, widths, tile_heads, tiles)


@inlined
def warm(slots: Ints, start: Any, stop: Any, keys: Ints, levels: Any, rows: Ints, tiles: Ints) -> Any:
    """Touch what a block of events will need, in independent loads, so that the misses of many keys overlap."""
    touched = 0
    for i in range(start, stop):
        touched += keys[slots[i], LATEST] & keys[slots[i], TILES]
    for i in range(start, stop):
        slot = slots[i]
        n = keys[slot, ROWS + BEGIN] + keys[slot, ROWS + LENGTH]
        touched += rows[keys[slot, ROWS + OFFSET] + max(n - 1, 0), TIME] & 1
        if levels:
            n = keys[slot, TILES + BEGIN] + keys[slot, TILES + LENGTH]
            touched += tiles[keys[slot, TILES + OFFSET] + max(n - 1, 0), START] & 1
    return touched


@kernel
def add_many(
    slots: Ints, times: Ints, seqs: Ints, values: Ints, start: int, keys: Ints, keep: int, hops: Ints, widths: Ints,
    row_heads: Ints, rows: Ints, tile_heads: Ints, tiles: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Add events from `start`; returns where it stopped because an array may be too short, or their number.

    The second number is of no use, but what it is made of has to be loaded.
    """
    touched = 0
    for i in range(start, len(slots)):
        if (i - start) % BLOCK == 0 and i + 1 < len(slots):
            touched += warm(slots, i, min(i + BLOCK, len(slots)), keys, len(hops), rows, tiles)
        slot = slots[i]
        if row_heads[CLASSES] + 2 * keys[slot, ROWS + ROOM] + LEAST > len(rows):
            return i, touched
        rooms = 0
        for level in range(len(hops)):
            rooms += keys[slot, TILES + 4 * level + ROOM] + LEAST
        if tile_heads[CLASSES] + 8 * rooms > len(tiles):  # tiles of one level may all move to the next
            return i, touched
        add(keys, slot, times[i], seqs[i], values[i], keep, hops, widths, row_heads, rows, tile_heads, tiles)
        keys[slot, DIRTY] = 1
    return len(slots), touched
