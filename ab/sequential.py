"""Intervals that may be looked at every day: the asymptotic confidence sequence and the mixture sequential test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ab.estimates import Alternative, NoResult


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """An always-valid interval of one look; None is unbounded. rho tunes its width and never changes."""

    rho: float
    half_width: float
    lower: float | None
    upper: float | None
    p_value: float


def confidence_sequence(
    estimate: float,
    se: float,
    n: float,
    *,
    alpha: float = 0.05,
    tuning: float = 5000,
    alternative: Alternative = "two-sided",
) -> ConfidenceSequence | NoResult:
    """Always-valid interval of an estimate with standard error `se` from `n` units; narrowest near `tuning` units.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central limit theory, eq. 9, and one-sided.
    """
    one_sided = alternative != "two-sided"
    if not (se > 0 and n > 0 and math.isfinite(estimate) and math.isfinite(se)):
        return NoResult("the standard error is 0 or not a number")
    level = 2 * alpha if one_sided else alpha
    if not 0 < level < 1:
        return NoResult(f"a level of {alpha} leaves nothing to test")
    rho = math.sqrt((-2 * math.log(level) + math.log(1 - 2 * math.log(level))) / tuning)
    grown = n * rho**2 + 1
    inside = math.log(1 + math.sqrt(grown) / (2 * alpha)) if one_sided else math.log(math.sqrt(grown) / alpha)
    half_width = se * math.sqrt(n) * math.sqrt(2 * grown * inside / (n * rho) ** 2)
    z = estimate / se
    exponent = rho**2 * z**2 * n / (2 * grown)
    if one_sided:
        ahead = z if alternative == "greater" else -z
        p_value = 0.5 if ahead <= 0 else min(0.5, _one_sided_p(math.sqrt(grown), exponent))
    else:
        p_value = min(1.0, math.exp(0.5 * math.log(grown) - exponent))
    return ConfidenceSequence(
        rho=rho,
        half_width=half_width,
        lower=None if alternative == "less" else estimate - half_width,
        upper=None if alternative == "greater" else estimate + half_width,
        p_value=p_value,
    )


def _one_sided_p(root: float, exponent: float) -> float:
    """The level at which the one-sided bound touches 0, with rho kept."""
    return 0.0 if exponent > 700 else root / (2 * math.expm1(exponent)) if exponent > 0 else 0.5


@dataclass(frozen=True, slots=True)
class MixtureTest:
    """The mixture sequential probability ratio test over its looks; half_width is of the last look."""

    likelihood_ratios: tuple[float, ...]
    p_values: tuple[float, ...]
    half_width: float


def mixture_test(
    looks: Sequence[tuple[float, float]], mixing_variance: float, *, alpha: float = 0.05
) -> MixtureTest | NoResult:
    """mSPRT of (estimate, variance of the estimate) at each look; p never rises.

    Johari, Koomen, Pekelis, Walsh (2017), Peeking at A/B Tests.
    """
    if not looks or mixing_variance <= 0 or any(variance <= 0 for _, variance in looks):
        return NoResult("no look, or a variance that is not positive")
    ratios, p_values, p = [], [], 1.0
    for estimate, variance in looks:
        total = variance + mixing_variance
        logarithm = 0.5 * math.log(variance / total) + mixing_variance * estimate**2 / (2 * variance * total)
        p = min(p, math.exp(-logarithm))
        ratios.append(math.exp(min(logarithm, 700.0)))
        p_values.append(p)
    variance = looks[-1][1]
    total = variance + mixing_variance
    half_width = math.sqrt(2 * variance * total / mixing_variance * math.log(math.sqrt(total / variance) / alpha))
    return MixtureTest(tuple(ratios), tuple(p_values), half_width)
