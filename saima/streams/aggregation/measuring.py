"""Reads of keys' arrays: a window is the tiles from its tail to the hop that holds q, and the events there before q."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from saima.streams.aggregation.kernels import (
    COUNT,
    DIGITS,
    GREATEST_VALUE,
    HEAD,
    HIGH,
    LATEST,
    LEAST_VALUE,
    LOW,
    NONE,
    ROWS,
    TILES,
    VALUE,
    floor,
    inlined,
    kernel,
)
from saima.streams.aggregation.regions import BEGIN, LENGTH, OFFSET

Ints = npt.NDArray[np.int64]


@inlined
def first_at(table: Ints, low: Any, high: Any, time: Any) -> Any:
    """First place in table[low:high] that is not before a time."""
    while low < high:
        middle = (low + high) // 2
        if table[middle, 0] < time:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def put(window: Any, count: Any, high: Any, low: Any, least: Any, greatest: Any, totals: Ints) -> None:
    """Add a partial to a window's total: count, digits of the sum, least and greatest."""
    if totals[window, 0] == 0:
        totals[window, 3], totals[window, 4] = least, greatest
    else:
        totals[window, 3] = min(totals[window, 3], least)
        totals[window, 4] = max(totals[window, 4], greatest)
    totals[window, 0] += count
    totals[window, 1] += high
    totals[window, 2] += low


@kernel
def read(
    keys: Ints, slot: Any, q: Any, windows: Ints, slide: Any, hops: Ints, rows: Ints, tiles: Ints, totals: Ints
) -> bool:
    """Totals of windows (width, hop, level) as of q; False if the events that q needs are no longer kept one by one."""
    totals[:] = 0
    if keys[slot, LATEST] == NONE:
        return True
    head = keys[slot, HEAD]
    if q < head + slide:
        return False
    first = keys[slot, ROWS + OFFSET] + keys[slot, ROWS + BEGIN]
    stop = first_at(rows, first, first + keys[slot, ROWS + LENGTH], q)
    for w in range(len(windows)):
        width, hop, level = windows[w, 0], windows[w, 1], windows[w, 2]
        since = q - width
        if hop:
            tail, base = floor(since, hop), floor(q, hops[0])
            since = max(tail, base)
            for i in range(level, -1, -1):
                run = TILES + 4 * i
                low = keys[slot, run + OFFSET] + keys[slot, run + BEGIN]
                high = low + keys[slot, run + LENGTH]
                oldest = tail if i == level else max(tail, floor(head, hops[i + 1]))
                for j in range(first_at(tiles, low, high, oldest), high):
                    if tiles[j, 0] >= base:
                        break
                    put(
                        w, tiles[j, COUNT], tiles[j, HIGH], tiles[j, LOW], tiles[j, LEAST_VALUE],
                        tiles[j, GREATEST_VALUE], totals,
                    )  # fmt: skip
        for j in range(first_at(rows, first, stop, since), stop):
            value = rows[j, VALUE]
            put(w, 1, value >> 32, value & DIGITS, value, value, totals)
    return True


@kernel
def read_many(
    slots: Ints, q: Ints, keys: Ints, windows: Ints, slide: Any, hops: Ints, rows: Ints, tiles: Ints, totals: Ints
) -> int:
    """The same for many keys (slot -1 is one without events); returns the first that is behind, or their number."""
    for i in range(len(slots)):
        if slots[i] < 0:
            totals[i] = 0
        elif not read(keys, slots[i], q[i], windows, slide, hops, rows, tiles, totals[i]):
            return i
    return len(slots)
