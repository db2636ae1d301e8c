"""A ring of arrays that are used again as soon as nobody holds them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLOTS = 8
_BUSY = 3
"""References to a buffer that is in use: besides the taker's own and that of the count itself, a view of it."""


class Buffers:
    """Buffers by dtype and width; several threads may take.

    A fresh array of some 100 kB costs its page faults each time, more than what is written into it.
    """

    def __init__(self) -> None:
        self._rings: dict[tuple[Any, ...], list[NDArray[Any]]] = {}

    def take(self, shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
        """A C-ordered array of a shape, its contents anything; the caller's until the last reference to it is gone."""
        ring = self._rings.setdefault((dtype, shape[1]), [])
        for _ in range(len(ring)):
            try:
                buffer = ring.pop(0)  # one operation: no other thread gets the same
            except IndexError:
                break
            if sys.getrefcount(buffer) >= _BUSY:
                ring.append(buffer)
            elif len(buffer) >= shape[0]:
                ring.append(buffer)
                return buffer[: shape[0]]
        made = np.empty((max(shape[0], 16), shape[1]), dtype)
        if len(ring) < _SLOTS:
            ring.append(made)
        return made[: shape[0]]
