"""Whether kept rows still hold, without an array made for the question."""

from __future__ import annotations

from typing import Any

import numba


@numba.njit("b1(i8[:,::1],i8[::1],i8,i8)", cache=True, nogil=True)
def hold(first: Any, places: Any, q: int, epoch: int) -> bool:
    """Whether rows, whose first cells are low, high and epoch, hold at q under an epoch."""
    good = True
    for place in places:
        good &= (first[place, 0] <= q) & (q < first[place, 1]) & (first[place, 2] == epoch)
    return good
