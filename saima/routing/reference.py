"""Where the scores of a version are looked for: the band of an earlier version's scores. A pure function."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def band(scores: NDArray[np.float64], bound: float, alpha: float) -> tuple[float, float] | None:
    """The narrowest band outside of which new scores of the same distribution lie with a share of `bound` at most, but
    for a chance of `alpha`; None where there are too few scores to say so.

    Each end leaves out as many scores. The share outside of the r-th smallest and the r-th largest of n is
    Beta(2 r, n + 1 - 2 r), whatever the distribution. Source: Wilks (1941), Determination of Sample Sizes for Setting
    Tolerance Limits.
    """
    known = np.sort(scores[np.isfinite(scores)])
    left, rank = _below(len(known), bound, alpha), 0
    while 2 * (rank + 1) - 1 < left:
        rank += 1
    return (float(known[rank - 1]), float(known[-rank])) if rank else None


def _below(count: int, share: float, alpha: float) -> int:
    """How many values from 0 on a binomial has that together have a probability of `alpha` at most."""
    total, found = 0.0, 0
    for value in range(count + 1):
        chances = math.lgamma(count + 1) - math.lgamma(value + 1) - math.lgamma(count - value + 1)
        total += math.exp(chances + value * math.log(share) + (count - value) * math.log1p(-share))
        if total > alpha:
            break
        found = value + 1
    return found
