"""Posteriors for those who want to bet rather than to test: chance to win and expected loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import integrate, special, stats


@dataclass(frozen=True, slots=True)
class Posterior:
    """Normal posterior of an effect; risk is the expected loss of choosing control and of choosing treatment."""

    effect: float
    lower: float
    upper: float
    chance_to_win: float
    risk: tuple[float, float]


def posterior(
    estimate: float,
    se: float,
    *,
    prior_mean: float = 0.0,
    prior_variance: float = math.inf,
    alpha: float = 0.05,
) -> Posterior:
    """Posterior of (estimate, se) under a flat prior, or a normal one where `prior_variance` is finite."""
    precision = 1 / se**2 + (0.0 if math.isinf(prior_variance) else 1 / prior_variance)
    weighted = estimate / se**2 + (0.0 if math.isinf(prior_variance) else prior_mean / prior_variance)
    mean, spread = weighted / precision, math.sqrt(1 / precision)
    half = float(stats.norm.isf(alpha / 2)) * spread
    win = float(stats.norm.cdf(mean / spread))
    gain = mean * win + spread * float(stats.norm.pdf(mean / spread))
    return Posterior(mean, mean - half, mean + half, win, (gain, gain - mean))


def probability_better(control: tuple[float, float], treatment: tuple[float, float]) -> float:
    """P(treatment > control) of two independent Beta posteriors (a, b); exact for a whole `a` of treatment."""
    (a, b), (c, d) = control, treatment
    if float(c).is_integer() and c <= 10_000:
        return math.fsum(
            math.exp(special.betaln(a + i, b + d) - math.log(d + i) - special.betaln(1 + i, d) - special.betaln(a, b))
            for i in range(int(c))
        )
    one, other = stats.beta(a, b), stats.beta(c, d)
    low, high = other.ppf(1e-14), other.isf(1e-14)
    value, _ = integrate.quad(lambda x: other.pdf(x) * one.cdf(x), low, high, epsabs=1e-10, points=[other.mean()])
    return float(value)
