"""Least and greatest values of many runs of an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BITS = 4
BLOCK = 1 << BITS
CHUNK = 1 << 11


class Extremes:
    """Extremes of runs: from running extremes inside blocks, and a sparse table over whole blocks.

    Twice the array's room, not log n times; a run costs constant time unless it lies inside one block
    (Bender and Farach-Colton, 2000, without their tables for equal blocks).
    """

    def __init__(self, values: npt.NDArray[Any], pick: Callable[..., Any]) -> None:
        """`values` are numbers without NaN; `pick` is np.minimum or np.maximum."""
        self._values, self._pick = values, pick
        size = -(-len(values) // BLOCK) * BLOCK
        padded = values if size == len(values) else np.append(values, np.repeat(values[-1:], size - len(values)))
        blocks = padded.reshape(-1, BLOCK)
        until, since = blocks.copy(), blocks.copy()
        for start in range(0, len(blocks), CHUNK):  # column by column, while the chunk is in the cache
            up, down = until[start : start + CHUNK], since[start : start + CHUNK]
            for place in range(1, BLOCK):
                pick(up[:, place - 1], up[:, place], out=up[:, place])
                pick(down[:, -place], down[:, -place - 1], out=down[:, -place - 1])
        self._until, self._since = until.ravel(), since.ravel()
        self._levels = [self._until[BLOCK - 1 :: BLOCK].copy()]

    def of(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        """Extremes of the runs [low, high), none of them empty."""
        end = high - 1
        first, last = low >> BITS, end >> BITS
        out: npt.NDArray[Any] = self._pick(self._since[low], self._until[end])
        inside = np.flatnonzero(first == last)
        out[inside] = self._short(low[inside], high[inside])
        over = np.flatnonzero(last - first > 1)
        out[over] = self._pick(out[over], self._long(first[over] + 1, last[over]))
        return out

    def _short(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        out = self._values[low]
        at = np.arange(len(low))
        for step in range(1, BLOCK):
            at = at[low[at] + step < high[at]]
            if not len(at):
                break
            out[at] = self._pick(out[at], self._values[low[at] + step])
        return out

    def _long(self, low: Ints, high: Ints) -> npt.NDArray[Any]:
        """Extremes of runs of whole blocks."""
        level = np.frexp((high - low).astype(np.float64))[1] - 1  # floor(log2(size))
        for _ in range(len(self._levels), int(level.max(initial=0)) + 1):
            last, step = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(np.concatenate([self._pick(last[:-step], last[step:]), last[-step:]]))
        out = np.empty(len(low), self._values.dtype)
        for depth in map(int, np.unique(level)):
            at = level == depth
            table = self._levels[depth]
            out[at] = self._pick(table[low[at]], table[high[at] - (1 << depth)])
        return out
