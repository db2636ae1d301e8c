"""How long a read stays the same: the times q in [low, high) at which equal bytes give equal values."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.lookups import RowReader
    from saima.features.windows import Window
    from saima.features.windows.codec import Packed

Span = tuple[int, int]

ALWAYS: Span = (-(2**62), 2**62)


def meet(a: Span, b: Span) -> Span:
    """Times in both.

    >>> meet((0, 10), (5, 20))
    (5, 10)
    """
    return max(a[0], b[0]), min(a[1], b[1])


def row_span(reader: RowReader, opened: tuple[int, list[list[Any]]] | None, q: int) -> Span:
    """Span of the row of a key at q: to its next version, to the end of its ttl, not before the kept head."""
    if opened is None:
        return ALWAYS
    latest, rows = opened
    low, high = max(ALWAYS[0], latest - reader.source.keep), ALWAYS[1]
    for valid_from, known_at, *_ in reversed(rows):
        start = max(valid_from, known_at)
        if start > q:
            high = min(high, start)
            continue
        low = max(low, start)
        if reader.ttl is not None:
            end = valid_from + reader.ttl + 1
            low, high = (low, min(high, end)) if q < end else (max(low, end), high)
        break
    return low, high


def window_span(packed: Packed, slide: int, windows: Iterable[Window], q: int) -> Span:
    """Span of windows over one entity at q: between two events of the head, and two hops of every tail.

    slide: width of the group's widest window with hop 0, ms.
    """
    times = packed.times
    stop = bisect_left(times, q)
    low = max(ALWAYS[0], packed.head + slide)
    high = ALWAYS[1]
    if stop:
        low = max(low, times[stop - 1] + 1)
    if stop < len(times):
        high = times[stop] + 1
    for window in windows:
        tail = window.tail(q)
        if window.hop:
            low, high = max(low, tail + window.width), min(high, tail + window.width + window.hop)
            continue
        start = bisect_left(times, tail)
        if start:
            low = max(low, times[start - 1] + window.width + 1)
        if start < len(times):
            high = min(high, times[start] + window.width + 1)
    return low, high
