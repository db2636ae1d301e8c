"""When the request that this thread works on must be answered: what a remote model and a called algorithm inherit."""

from __future__ import annotations

from contextvars import ContextVar

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)
"""Moment in monotonic seconds; None outside a request, as while a bundle is loaded."""


def left(now: float, most: float) -> float:
    """Seconds that a part of the work may take: `most`, or what the request has left, never below 0."""
    deadline = DEADLINE.get()
    return most if deadline is None else max(0.0, min(most, deadline - now))
