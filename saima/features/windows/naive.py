"""The specification of a window as a program: what every fast path is compared with, in tests and by the doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from saima.features.types.decimals import decimal_text
from saima.features.windows.component import Row
from saima.features.windows.definition import Window, percent
from saima.features.windows.measure import empty, fit


def naive(events: Iterable[Row], measure: str, window: Window, q: int, k: int = 10, digits: int = 0) -> Any:
    """A measure over all events (time, seq, value) of one key, in any order, as of q.

    Values of a decimal are its `digits` after the point and all before. Sketches are answered without their error.

    >>> naive([(1, 0, 5), (2, 0, 7), (3, 0, 9)], "mean", Window("2ms", 2, 0), 3)
    6.0
    """
    tail = q - window.width if window.hop == 0 else (q - window.width) // window.hop * window.hop
    inside = sorted(event for event in events if tail <= event[0] < q)
    values = [value for _, _, value in inside]
    if not values:
        return empty(measure)
    exact = not isinstance(values[0], float | str)
    match measure:
        case "count":
            return len(values)
        case "sum":
            return fit(sum(values)) if exact else sum(values)
        case "mean":
            return float(sum(values)) / (len(values) * 10**digits)
        case "variance":
            mean = Fraction(sum(map(Fraction, values)), len(values))
            return float(sum((Fraction(value) - mean) ** 2 for value in values) / len(values) / 10 ** (2 * digits))
        case "min" | "max":
            return min(values) if measure == "min" else max(values)
        case "first" | "last":
            return values[0] if measure == "first" else values[-1]
        case "first_k":
            return values[:k]
        case "last_k":
            return values[::-1][:k]
        case "top_k":
            return sorted(values, reverse=True)[:k]
        case "distinct" | "approx_distinct":
            return len(set(values))
        case "histogram":
            counts = sorted(Counter(values).items())
            return {decimal_text(value, digits) if digits else str(value): count for value, count in counts}
    asked = percent(measure)
    return sorted(values)[asked * (len(values) - 1) // 100] / 10**digits if asked else None
