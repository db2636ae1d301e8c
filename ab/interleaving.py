"""Interleaving: one list drafted from two rankings in turns, credited by clicks; needs far fewer users than arms do.

Radlinski, Kurup, Joachims (2008), How Does Clickthrough Data Reflect Retrieval Quality?
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import polars as pl

from ab import means
from ab.estimates import Estimate, NoResult


@dataclass(frozen=True, slots=True)
class Draft:
    """The list shown, and which ranking each item counts for ("a" or "b")."""

    items: tuple[Hashable, ...]
    teams: tuple[str, ...]

    def credit(self, clicked: Collection[Hashable]) -> int:
        """Clicks of team b less those of team a."""
        return sum(
            1 if team == "b" else -1 for item, team in zip(self.items, self.teams, strict=True) if item in clicked
        )


def team_draft(a: Sequence[Hashable], b: Sequence[Hashable], k: int, salt: str) -> Draft:
    """The first k items drafted from two rankings: in each round both teams pick their best item left, in an order
    that a coin of the salt (the trace) decides, so that the same request gets the same list."""
    teams: list[str] = []
    items: list[Hashable] = []
    taken: set[Hashable] = set()
    rest = {"a": list(reversed(a)), "b": list(reversed(b))}
    coins = _coins(salt)
    while len(items) < k and (rest["a"] or rest["b"]):
        first = next(coins)
        for team in (first, "b" if first == "a" else "a"):
            left = rest[team]
            while left and left[-1] in taken:
                left.pop()
            if left and len(items) < k:
                items.append(left.pop())
                teams.append(team)
                taken.add(items[-1])
    return Draft(tuple(items), tuple(teams))


def compare(lists: pl.LazyFrame, *, alpha: float = 0.05) -> Estimate | NoResult:
    """Preference of users for b over a: mean over users of the sign of their credit, -1 to 1, against 0.

    lists: unit, credit; one row a list. Users are independent, their lists are not: a user has one vote. The normal
    test of users' votes; `control` is 0 and `treatment` the mean vote.
    """
    votes = lists.group_by("unit").agg(pl.col("credit").sum().sign().cast(pl.Float64)).collect()["credit"]
    n, mean, variance = len(votes), votes.mean(), votes.var()
    if n < 2 or not isinstance(mean, float) or not isinstance(variance, float):
        return NoResult(f"{n} users have voted; a variance needs at least 2")
    if variance == 0:
        return NoResult("every user has voted the same; the standard error is 0")
    return means.from_units((n, 0.0, 0.0), (n, mean, variance), alpha=alpha, distribution="normal")


def _coins(salt: str) -> Iterator[str]:
    """Fair coins by hash, as many as are asked for."""
    for toss in count():
        digest = hashlib.blake2b(f"{salt}\x1f{toss}".encode(), digest_size=1).digest()
        yield "ab"[digest[0] & 1]
