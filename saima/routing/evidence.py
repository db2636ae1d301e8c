"""Evidence that a bound is broken, valid however often anybody looks. Pure functions; a logarithm each, 0 of nothing.

Each is a test martingale (or a mean of some): while the bound is kept, the evidence exceeds log(1 / alpha) at any time
with probability alpha at most (Ville). Source: Ramdas, Gruenwald, Vovk, Shafer (2023), Game-Theoretic Statistics and
Safe Anytime-Valid Inference, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""How much larger than the bound the shares are that the evidence is against."""

_BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the largest bet that cannot lose everything."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of how many."""

    bad: int
    of: int


def of_share(counted: Counted, bound: float) -> float:
    """That a share is above `bound` (0 < bound < 1): a mixture of likelihood ratios against larger shares.

    >>> of_share(Counted(1, 100), 0.01) < 0 < of_share(Counted(30, 100), 0.01)
    True
    """
    shares = [share for factor in _FACTORS if (share := bound * factor) < 1] or [(1 + bound) / 2]
    good = counted.of - counted.bad
    return _mixed(
        [counted.bad * math.log(share / bound) + good * math.log((1 - share) / (1 - bound)) for share in shares]
    )


def of_ratio(counts: Sequence[int], shares: Sequence[float], concentration: float = 100.0) -> float:
    """That counts are not drawn with `shares` (each > 0, of sum 1): a multinomial against a Dirichlet mixture around.

    Lindon, Malek (2022), Anytime-Valid Inference for Multinomial Count Data.

    >>> of_ratio([500, 500], [0.5, 0.5]) < 0 < of_ratio([600, 400], [0.5, 0.5])
    True
    """
    prior = [concentration * share for share in shares]
    return (
        _log_beta([a + count for a, count in zip(prior, counts, strict=True)])
        - _log_beta(prior)
        - sum(count * math.log(share) for count, share in zip(counts, shares, strict=True))
    )


def bets(errors: NDArray[np.float64], margin: float) -> list[float]:
    """Logarithms of what bets on errors (each in [-1, 1]) have won: on a mean above `margin`, then on one below its
    negative. Wins of more errors add up.

    Waudby-Smith, Ramdas (2024), Estimating Means of Bounded Random Variables by Betting, with fixed bets.
    """
    most = 1 / (1 + margin)
    beyond = [errors - margin, -errors - margin]
    return [float(np.log1p(bet * most * side).sum()) for side in beyond for bet in _BETS]


def of_bets(won: Sequence[float]) -> float:
    """That a mean is farther than the margin from 0, on either side: the mean of what all bets have won.

    >>> of_bets(bets(np.full(400, 0.01), 0.05)) < 0 < of_bets(bets(np.full(400, 0.2), 0.05))
    True
    """
    return _mixed(won) if won else 0.0


def _mixed(logarithms: Sequence[float]) -> float:
    most = max(logarithms)
    return most + math.log(sum(math.exp(each - most) for each in logarithms) / len(logarithms))


def _log_beta(alphas: Sequence[float]) -> float:
    return sum(math.lgamma(a) for a in alphas) - math.lgamma(sum(alphas))
