"""How long to wait before the next attempt: full jitter over a doubling pause, inside the budget."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 0.02
"""Longest pause before the second attempt, seconds."""

LONGEST = 1.0


@dataclass(frozen=True)
class Pause:
    """A decision: wait `seconds`, then try again; None: the budget does not allow it."""

    seconds: float | None


def retryable(status: int) -> bool:
    """Whether an answer of this status is worth another attempt: a full lane, or a failure of the host.

    >>> [retryable(status) for status in (422, 429, 500, 503, 504)]
    [False, True, True, True, True]
    """
    return status == 429 or status >= 500


def pause(attempt: int, left: float, draw: float) -> Pause:
    """Pause before attempt `attempt + 1` with `left` seconds of budget; `draw` is uniform in [0, 1)."""
    seconds = draw * min(LONGEST, FIRST * 2 ** (attempt - 1))
    return Pause(seconds if seconds < left else None)
