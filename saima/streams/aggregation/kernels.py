"""The accumulator of `saima.features.windows.entity` over arrays, for measures that are exact in any order.

Per key: words for its newest time, its head, the run of its newest events (time, seq, value), and per level the run of
its tiles (start, count, high and low digits of the sum, least and greatest value). Level 0 has tiles of the events that
are still kept, too, so that a read merges tiles and the events of one hop. What has left a run is dropped when the
run is full or packed (`trim`); then its geometry is that of the entity. Floats are held as ordered whole numbers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from saima.streams.aggregation.regions import BEGIN, LENGTH, OFFSET, ROOM, give, room_for, take

Ints = npt.NDArray[np.int64]

LATEST, HEAD, DIRTY, ROWS, TILES = 0, 1, 2, 4, 8
"""Words of a key; a run of events and then one of tiles a level, of four words each."""

START, COUNT, HIGH, LOW, LEAST_VALUE, GREATEST_VALUE = range(6)
"""Words of a tile; TIME, SEQ, VALUE those of an event."""
TIME, SEQ, VALUE = range(3)

NONE = -(2**63)
"""`LATEST` of a key without events."""

DIGITS = 2**32 - 1

inlined = numba.njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@inlined
def floor(time: Any, hop: Any) -> Any:
    """Start of the hop that holds a time."""
    return time // hop * hop


@inlined
def reach(head: Any, i: Any, hops: Ints, widths: Ints) -> Any:
    """Start of the oldest tile that a level needs, as the accumulator has it."""
    start = floor(head - widths[i], hops[i])
    return min(start, floor(head, hops[i + 1])) if i + 1 < len(hops) else start


@inlined
def trim(keys: Ints, slot: Any, run: Any, oldest: Any, table: Ints) -> None:
    """Drop what lies before a time from a run."""
    first = keys[slot, run + OFFSET]
    while keys[slot, run + LENGTH] and table[first + keys[slot, run + BEGIN], 0] < oldest:
        keys[slot, run + BEGIN] += 1
        keys[slot, run + LENGTH] -= 1


@kernel
def trim_all(keys: Ints, slot: Any, hops: Ints, widths: Ints, rows: Ints, tiles: Ints) -> None:
    """Drop what a key no longer needs from all of its runs."""
    head = keys[slot, HEAD]
    trim(keys, slot, ROWS, head, rows)
    for i in range(len(hops)):
        trim(keys, slot, TILES + 4 * i, reach(head, i, hops, widths), tiles)


@kernel
def widen(keys: Ints, slot: Any, run: Any, oldest: Any, heads: Ints, table: Ints) -> None:
    """Make room for one more row of a full run, whose rows before `oldest` have left."""
    trim(keys, slot, run, oldest, table)
    offset, room = keys[slot, run + OFFSET], keys[slot, run + ROOM]
    first, n = offset + keys[slot, run + BEGIN], keys[slot, run + LENGTH]
    start = offset
    if 4 * n >= 3 * room:
        size = room_for(max(2 * room, 1))
        start = take(heads, table, size)
        keys[slot, run + OFFSET], keys[slot, run + ROOM] = start, size
    for j in range(n):
        for word in range(table.shape[1]):
            table[start + j, word] = table[first + j, word]
    keys[slot, run + BEGIN] = 0
    if start != offset and room:
        give(heads, table, offset, room)


@inlined
def put_row(keys: Ints, slot: Any, time: Any, seq: Any, value: Any, heads: Ints, rows: Ints) -> None:
    """Keep an event of a key, in the order of (time, seq, value)."""
    if keys[slot, ROWS + BEGIN] + keys[slot, ROWS + LENGTH] == keys[slot, ROWS + ROOM]:
        widen(keys, slot, ROWS, keys[slot, HEAD], heads, rows)
    first = keys[slot, ROWS + OFFSET] + keys[slot, ROWS + BEGIN]
    at = first + keys[slot, ROWS + LENGTH]
    while at > first:
        before = at - 1
        if rows[before, TIME] < time or (
            rows[before, TIME] == time
            and (rows[before, SEQ] < seq or (rows[before, SEQ] == seq and rows[before, VALUE] <= value))
        ):
            break
        rows[at, TIME], rows[at, SEQ], rows[at, VALUE] = rows[before, TIME], rows[before, SEQ], rows[before, VALUE]
        at = before
    rows[at, TIME], rows[at, SEQ], rows[at, VALUE] = time, seq, value
    keys[slot, ROWS + LENGTH] += 1


@kernel
def new_tile(keys: Ints, slot: Any, run: Any, place: Any, start: Any, oldest: Any, heads: Ints, tiles: Ints) -> Any:
    """Place of a new, empty tile that belongs before `place`."""
    behind = keys[slot, run + OFFSET] + keys[slot, run + BEGIN] + keys[slot, run + LENGTH] - place
    if keys[slot, run + BEGIN] + keys[slot, run + LENGTH] == keys[slot, run + ROOM]:
        widen(keys, slot, run, oldest, heads, tiles)
    n = keys[slot, run + LENGTH]
    at = keys[slot, run + OFFSET] + keys[slot, run + BEGIN] + n
    for _ in range(min(behind, n)):
        for word in range(6):
            tiles[at, word] = tiles[at - 1, word]
        at -= 1
    tiles[at, START], tiles[at, COUNT], tiles[at, HIGH], tiles[at, LOW] = start, 0, 0, 0
    keys[slot, run + LENGTH] += 1
    return at


@inlined
def tile_of(keys: Ints, slot: Any, i: Any, start: Any, hops: Ints, widths: Ints, heads: Ints, tiles: Ints) -> Any:
    """Place of a level's tile, an empty one if it is new."""
    run = TILES + 4 * i
    first = keys[slot, run + OFFSET] + keys[slot, run + BEGIN]
    at = first + keys[slot, run + LENGTH]
    while at > first and tiles[at - 1, START] > start:
        at -= 1
    if at > first and tiles[at - 1, START] == start:
        return at - 1
    return new_tile(keys, slot, run, at, start, reach(keys[slot, HEAD], i, hops, widths), heads, tiles)


@inlined
def fold(place: Any, count: Any, high: Any, low: Any, least: Any, greatest: Any, tiles: Ints) -> None:
    """Merge a partial into a tile; the sum's digits stay normal: 0 <= low < 2**32."""
    if tiles[place, COUNT] == 0:
        tiles[place, LEAST_VALUE], tiles[place, GREATEST_VALUE] = least, greatest
    else:
        tiles[place, LEAST_VALUE] = min(tiles[place, LEAST_VALUE], least)
        tiles[place, GREATEST_VALUE] = max(tiles[place, GREATEST_VALUE], greatest)
    tiles[place, COUNT] += count
    digits = tiles[place, LOW] + low
    tiles[place, HIGH] += high + (digits >> 32)
    tiles[place, LOW] = digits & DIGITS


@kernel
def advance(keys: Ints, slot: Any, new: Any, hops: Ints, widths: Ints, heads: Ints, tiles: Ints) -> None:
    """Move a key's head: tiles that close with it merge into the coarser levels."""
    old = keys[slot, HEAD]
    for i in range(1, len(hops)):
        low, high = floor(old, hops[i]), floor(new, hops[i])
        if high <= low:
            break  # the hops of a group divide one another
        finer = TILES + 4 * (i - 1)
        first = keys[slot, finer + OFFSET] + keys[slot, finer + BEGIN]
        end = first + keys[slot, finer + LENGTH]
        at = end
        while at > first and tiles[at - 1, START] >= low:
            at -= 1
        while at < end and tiles[at, START] < high:
            place = tile_of(keys, slot, i, floor(tiles[at, START], hops[i]), hops, widths, heads, tiles)
            fold(
                place, tiles[at, COUNT], tiles[at, HIGH], tiles[at, LOW], tiles[at, LEAST_VALUE],
                tiles[at, GREATEST_VALUE], tiles,
            )  # fmt: skip
            at += 1
    keys[slot, HEAD] = new  # not before: what is trimmed meanwhile may still have to be merged


@kernel
def fold_late(keys: Ints, slot: Any, time: Any, value: Any, hops: Ints, widths: Ints, heads: Ints, tiles: Ints) -> None:
    """Add an event from before the head to the closed tiles that still reach back to it."""
    head = keys[slot, HEAD]
    for i in range(len(hops)):
        start = floor(time, hops[i])
        if reach(head, i, hops, widths) <= start < floor(head, hops[i]):
            place = tile_of(keys, slot, i, start, hops, widths, heads, tiles)
            fold(place, 1, value >> 32, value & DIGITS, value, value, tiles)


@kernel
def accumulate(slots: Ints, values: Ints, tiles: Ints) -> None:
    """Fold values into one tile a slot."""
    for i in range(len(slots)):
        value = values[i]
        fold(slots[i], 1, value >> 32, value & DIGITS, value, value, tiles)
