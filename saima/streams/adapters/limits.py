"""What an event may be at most: its time, its key, its record."""

from __future__ import annotations

from typing import Any

import numpy as np

AHEAD = 86_400_000
"""Least bound of how far an event's time may lie ahead of the wall clock, ms: one day of a wrong clock or zone."""

MAX_KEY = 1024
"""Bytes of a key's or an id's UTF-8."""

MAX_RECORD = 4 * 2**20
"""Bytes of a record that is read; a longer one is kept as a dead letter unread."""


def implausible(
    times: np.ndarray[Any, np.dtype[np.int64]], appended: np.ndarray[Any, np.dtype[np.int64]], ahead: int = AHEAD
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where a time is before 1970 or more than `ahead` ms after the wall clock when the row was appended.

    One such event would move the watermark, and every event after it would be late. The verdict is of the row alone, so
    a replay of the log gives it again.

    >>> implausible(np.array([-1, 5, 7258118400000]), np.array([0, 0, 0])).tolist()
    [True, False, True]
    """
    return (times < 0) | (times > appended + ahead)
