"""Runs of events that the rows of a request log count."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass
class Runs:
    """What `n` rows count of one window: rows[i] counts the run [low[i], high[i]), which is not empty.

    `partial` rows count the listed events, others nothing. `totals` holds the runs' sums once they are known.
    """

    n: int
    rows: Ints
    low: Ints
    high: Ints
    partial: dict[int, Ints]
    totals: npt.NDArray[Any] | None = field(default=None)

    @cached_property
    def sizes(self) -> Ints:
        """Events of each run."""
        return self.high - self.low

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Rows that count at least one event."""
        valid = np.zeros(self.n, bool)
        valid[self.rows] = True
        valid[list(self.partial)] = True
        return valid

    def ends(self, first: bool) -> Ints:
        """Per row its first or its last event, -1 where it counts nothing."""
        at = np.full(self.n, -1, np.int64)
        at[self.rows] = self.low if first else self.high - 1
        for row, run in self.partial.items():
            at[row] = run[0 if first else -1]
        return at

    def lists(self, k: int, *, newest: bool) -> tuple[Ints, Ints]:
        """The first k events of every row, oldest first, or the last k, newest first: n + 1 starts, and the events."""
        counts = np.zeros(self.n, np.int64)
        counts[self.rows] = np.minimum(self.sizes, k)
        for row, run in self.partial.items():
            counts[row] = min(len(run), k)
        starts = np.zeros(self.n + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        sign = -1 if newest else 1
        at = np.repeat(self.ends(not newest), counts) + sign * (np.arange(starts[-1]) - np.repeat(starts[:-1], counts))
        for row, run in self.partial.items():
            at[starts[row] : starts[row + 1]] = run[: -k - 1 : -1] if newest else run[:k]
        return starts, at
