"""Adjusted p-values of a family of comparisons: Holm for decisions, Benjamini-Hochberg for exploration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

Method = Literal["holm", "bh", "by", "bonferroni", "holm_sidak", "hochberg_sidak"]


def adjust(p_values: Sequence[float], method: Method = "holm") -> list[float]:
    """Adjusted p-values in the order given.

    >>> adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(p_values)
    harmonic = sum(1 / i for i in range(1, m + 1))
    one: dict[Method, Callable[[float, int], float]] = {
        "holm": lambda p, i: p * (m - i + 1),
        "bonferroni": lambda p, _: p * m,
        "holm_sidak": lambda p, i: 1 - (1 - p) ** (m - i + 1),
        "hochberg_sidak": lambda p, i: 1 - (1 - p) ** (m - i + 1),
        "bh": lambda p, i: p * m / i,
        "by": lambda p, i: p * m * harmonic / i,
    }
    ascending = sorted(range(m), key=lambda index: p_values[index])
    raw = [min(1.0, one[method](p_values[index], rank)) for rank, index in enumerate(ascending, start=1)]
    if method in ("holm", "holm_sidak"):
        for rank in range(1, m):
            raw[rank] = max(raw[rank], raw[rank - 1])
    elif method != "bonferroni":
        for rank in range(m - 2, -1, -1):
            raw[rank] = min(raw[rank], raw[rank + 1])
    adjusted = [0.0] * m
    for rank, index in enumerate(ascending):
        adjusted[index] = raw[rank]
    return adjusted
