"""Lateness, decided row by row against the greatest time seen before the row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BEGINNING = -(2**62)
"""A time before every event: the clock of a source that has seen nothing."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The event-time clock of one source in one partition.

    newest: greatest time seen, ms UTC; lateness: how far behind it an event may still come, ms; floor: where the
    stream begins, ms UTC: what happened before it belongs to history, and is late however early it comes.
    """

    lateness: int
    newest: int = BEGINNING
    floor: int = BEGINNING

    @property
    def watermark(self) -> int:
        """Every event with a smaller time that comes from now on is late."""
        return self.floor if self.newest == BEGINNING else max(self.newest - self.lateness, self.floor)

    def judge(self, times: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Clock]:
        """Verdict per row (True: late), and the clock after the last row.

        A row is compared with the rows before it only, so any split of a stream gives the same verdicts.

        >>> late, clock = Clock(10).judge(np.array([100, 95, 120, 109, 110]))
        >>> late.tolist(), clock.newest
        ([False, False, False, True, False], 120)
        """
        if not len(times):
            return np.zeros(0, dtype=np.bool_), self
        running = np.maximum.accumulate(np.concatenate(([self.newest], times)))
        late = times < np.maximum(running[:-1] - self.lateness, self.floor)
        return late, replace(self, newest=int(running[-1]))

    def see(self, time: int) -> tuple[bool, Clock]:
        """The verdict and the clock after one row."""
        late = time < self.watermark
        return late, Clock(self.lateness, time, self.floor) if time > self.newest else self
