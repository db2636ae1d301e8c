"""Keys' arrays as the words of packed entities (`saima.features.windows.codec`), many at once, and back."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from saima.features.windows.codec import FORMAT
from saima.streams.aggregation.kernels import (
    DIGITS,
    DIRTY,
    HEAD,
    LATEST,
    LEAST_VALUE,
    ROWS,
    TILES,
    floor,
    fold,
    inlined,
    kernel,
    put_row,
    tile_of,
    trim_all,
)
from saima.streams.aggregation.regions import BEGIN, LENGTH, OFFSET

Ints = npt.NDArray[np.int64]

SIGN = 2**63 - 1


def whole(numbers: list[int]) -> Ints:
    """Whole numbers as an array. Raises OverflowError for one that int64 does not hold."""
    return np.frombuffer(array("q", numbers), np.int64)


def ordered(floats: npt.NDArray[np.float64]) -> Ints:
    """Floats as whole numbers in the same order; -0.0 and NaN do not occur.

    >>> ordered(np.array([-2.0, -1.0, 0.0, 1.5])).argsort().tolist()
    [0, 1, 2, 3]
    """
    words = floats.view(np.int64)
    return words ^ ((words >> 63) & SIGN)


def floats_of(words: Ints) -> npt.NDArray[np.float64]:
    """The floats that `ordered` made words of."""
    return (words ^ ((words >> 63) & SIGN)).view(np.float64)


@inlined
def plain(word: Any, is_float: Any) -> Any:
    """The bits of a value, from its ordered word, or back."""
    return word ^ ((word >> 63) & SIGN) if is_float else word


@inlined
def closed(keys: Ints, slot: Any, i: Any, tiles: Ints) -> Any:
    """How many tiles of a level are closed: those of level 0 before the head, all of the coarser ones."""
    run = TILES + 4 * i
    n = keys[slot, run + LENGTH]
    if i == 0:
        first = keys[slot, run + OFFSET] + keys[slot, run + BEGIN]
        while n and tiles[first + n - 1, 0] >= keys[slot, HEAD]:
            n -= 1
    return n


@kernel
def mark(slots: Ints, keys: Ints, changed: Ints, count: Any) -> Any:
    """Note slots whose entities change, each once; returns how many are noted."""
    for i in range(len(slots)):
        if keys[slots[i], DIRTY] == 0:
            keys[slots[i], DIRTY] = 1
            changed[count] = slots[i]
            count += 1
    return count


@kernel
def measure(
    slots: Ints, keys: Ints, columns: Any, per_row: Any, hops: Ints, widths: Ints, rows: Ints, tiles: Ints, out: Ints
) -> None:
    """Start of every entity's words, and their end: n + 1 numbers."""
    out[0] = 0
    for i in range(len(slots)):
        slot = slots[i]
        trim_all(keys, slot, hops, widths, rows, tiles)
        words = 6 + len(hops) + per_row * keys[slot, ROWS + LENGTH]
        for level in range(len(hops)):
            words += columns * closed(keys, slot, level, tiles)
        out[i + 1] = out[i] + words


@kernel
def pack(
    slots: Ints, keys: Ints, levels: Any, kinds: Ints, valued: Any, is_float: Any, rows: Ints, tiles: Ints,
    starts: Ints, out: Ints,
) -> None:  # fmt: skip
    """Words of entities at `starts`; `kinds` are the words of a tile that are packed."""
    for i in range(len(slots)):
        slot, at = slots[i], starts[i]
        n, head = keys[slot, ROWS + LENGTH], starts[i] + 5
        out[at], out[at + 1], out[at + 2] = FORMAT, keys[slot, LATEST], keys[slot, HEAD]
        out[at + 3], out[at + 4], out[head + levels] = n, levels, 0
        for level in range(levels):
            out[head + level] = closed(keys, slot, level, tiles)
        at = head + 1 + levels
        first = keys[slot, ROWS + OFFSET] + keys[slot, ROWS + BEGIN]
        if valued:
            for j in range(n):
                out[at + j], out[at + n + j] = rows[first + j, 0], rows[first + j, 1]
                out[at + 2 * n + j] = plain(rows[first + j, 2], is_float)
            at += 3 * n
        else:
            for j in range(n):
                out[at + j], out[at + n + j] = rows[first + j, 0], rows[first + j, 1]
            at += 2 * n
        for level in range(levels):
            m, run = out[head + level], TILES + 4 * level
            first = keys[slot, run + OFFSET] + keys[slot, run + BEGIN]
            for j in range(m):
                out[at + j] = tiles[first + j, 0]
            at += m
            for kind in kinds:
                for j in range(m):
                    out[at + j] = plain(tiles[first + j, kind], is_float and kind >= LEAST_VALUE)
                at += m


@kernel
def unpack(
    slots: Ints, keys: Ints, words: Ints, entities: Ints, kinds: Ints, valued: Any, is_float: Any, hops: Ints,
    widths: Ints, row_heads: Ints, rows: Ints, tile_heads: Ints, tiles: Ints,
) -> None:  # fmt: skip
    """Fill new keys from the words of entities."""
    for i in range(len(slots)):
        slot, start = slots[i], entities[i]
        n, levels = words[start + 3], words[start + 4]
        keys[slot, LATEST], keys[slot, HEAD] = words[start + 1], words[start + 2]
        at = start + 6 + levels + 2 * n + (n if valued else 0)
        for level in range(levels):
            m = words[start + 5 + level]
            for j in range(m):
                place = tile_of(keys, slot, level, words[at + j], hops, widths, tile_heads, tiles)
                column = at + m
                for kind in kinds:
                    tiles[place, kind] = plain(words[column + j], is_float and kind >= LEAST_VALUE)
                    column += m
            at += m * (1 + len(kinds))
        at = start + 6 + levels
        for j in range(n):
            value = plain(words[at + 2 * n + j], is_float) if valued else 0
            put_row(keys, slot, words[at + j], words[at + n + j], value, row_heads, rows)
            if levels:
                place = tile_of(keys, slot, 0, floor(words[at + j], hops[0]), hops, widths, tile_heads, tiles)
                fold(place, 1, value >> 32, value & DIGITS, value, value, tiles)
