"""PlanOut's random operators over its hash, for experiments that migrate from it (Bakshy et al., WWW 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from saima.routing.buckets import place, planout

T = TypeVar("T")


def uniform_choice(salt: str, unit: str, choices: Sequence[T]) -> T:
    """One of the choices, each alike.

    >>> uniform_choice("test_salt.foo", "4", ["a", "b"])
    'b'
    """
    return choices[planout(salt, unit) % len(choices)]


def weighted_choice(salt: str, unit: str, choices: Sequence[T], weights: Sequence[float]) -> T:
    """The first choice whose cumulative weight reaches the unit's position."""
    stop = place("planout", salt, unit) * sum(weights)
    total = 0.0
    for choice, weight in zip(choices, weights, strict=True):
        total += weight
        if stop <= total:
            return choice
    return choices[-1]


def bernoulli(salt: str, unit: str, p: float) -> int:
    """1 with probability p."""
    return int(place("planout", salt, unit) <= p)


def sample(salt: str, unit: str, choices: Sequence[T], draws: int) -> list[T]:
    """`draws` of the choices without replacement, in the order of a Fisher-Yates shuffle."""
    pool = list(choices)
    for i in range(len(pool) - 1, 0, -1):
        j = planout(salt, f"{unit}.{i}") % (i + 1)
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:draws]
