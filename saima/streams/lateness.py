"""Lateness, decided row by row against the greatest time seen before the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BEGINNING = -(2**62)
"""A time before every event: the clock of a source that has seen nothing."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The event-time clock of one source in one partition.

    newest: greatest time seen, ms UTC; lateness: how far behind it an event may still come, ms.
    """

    lateness: int
    newest: int = BEGINNING

    @property
    def watermark(self) -> int:
        """Every event with a smaller time that comes from now on is late."""
        return BEGINNING if self.newest == BEGINNING else self.newest - self.lateness

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
        return times < running[:-1] - self.lateness, Clock(self.lateness, int(running[-1]))

    def see(self, time: int) -> tuple[bool, Clock]:
        """The verdict and the clock after one row."""
        if time > self.newest:
            return False, Clock(self.lateness, time)
        return time < self.newest - self.lateness, self
