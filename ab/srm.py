"""Sample-ratio mismatch: do the arms' sizes fit the designed shares? If not, the split or the join is broken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from ab.estimates import NoResult
from saima.routing.evidence import of_ratio


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """A test of counts against shares; the statistic is chi-square, or log odds against the design, or None."""

    p_value: float
    statistic: float | None


def srm(
    counts: Sequence[int], weights: Sequence[float], *, test: Literal["chi2", "binomial"] = "chi2"
) -> RatioCheck | NoResult:
    """Counts by arm against their weights: chi-square, or the exact binomial of two arms.

    An arm of weight 0 is left out; counts in it are a mismatch beyond doubt (p 0).
    """
    kept = _kept(counts, weights)
    if not isinstance(kept, tuple):
        return kept
    counts, shares = kept
    total = sum(counts)
    if test == "binomial":
        if len(counts) != 2:
            return NoResult(f"the exact test compares 2 arms, not {len(counts)}")
        return RatioCheck(float(stats.binomtest(counts[0], total, shares[0]).pvalue), None)
    statistic, p_value = stats.chisquare(counts, [share * total for share in shares])
    return RatioCheck(float(p_value), float(statistic))


def srm_sequential(
    counts: Sequence[int], weights: Sequence[float], *, concentration: float = 100.0
) -> RatioCheck | NoResult:
    """The same, valid at every look: a multinomial against a Dirichlet mixture around the design.

    Lindon, Malek (2022), Anytime-Valid Inference for Multinomial Count Data. The statistic is the log odds.
    """
    kept = _kept(counts, weights)
    if not isinstance(kept, tuple):
        return kept
    odds = of_ratio(*kept, concentration)
    return RatioCheck(min(1.0, math.exp(-odds)) if odds > 0 else 1.0, odds)


def _kept(counts: Sequence[int], weights: Sequence[float]) -> tuple[list[int], list[float]] | RatioCheck | NoResult:
    if len(counts) != len(weights):
        return NoResult(f"{len(counts)} counts against {len(weights)} weights")
    if any(count > 0 and weight <= 0 for count, weight in zip(counts, weights, strict=True)):
        return RatioCheck(0.0, None)
    arms = [(count, weight) for count, weight in zip(counts, weights, strict=True) if weight > 0]
    if len(arms) < 2:
        return NoResult("fewer than two arms have a weight")
    if not sum(count for count, _ in arms):
        return NoResult("no unit has been seen")
    total = sum(weight for _, weight in arms)
    return [count for count, _ in arms], [weight / total for _, weight in arms]
