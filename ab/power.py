"""Before an experiment: how many units, how small an effect, how much longer."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize, stats

from ab.estimates import NoResult
from ab.sequential import confidence_sequence


def normal_power(effect: float, se: float, *, alpha: float = 0.05) -> float:
    """Probability that a two-sided z test finds `effect`; both tails."""
    return _power(effect, se, float(stats.norm.isf(alpha / 2)) * se)


def normal_effect(se: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The effect that a two-sided z test with this standard error finds with `power`."""
    return float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power)) * se


def t_power(effect_size: float, n_control: float, ratio: float = 1.0, *, alpha: float = 0.05) -> float:
    """Power of the two-sample t test at Cohen's d; treatment has ratio * n_control units. Noncentral t, both tails."""
    n_treatment = ratio * n_control
    df = n_control + n_treatment - 2
    noncentrality = effect_size * math.sqrt(n_control * n_treatment / (n_control + n_treatment))
    critical = stats.t.isf(alpha / 2, df)
    # scipy's far tail is NaN for a large noncentrality; below 1e-15 it does not matter.
    far = stats.nct.cdf(-critical, df, noncentrality) if noncentrality < 6 else 0.0
    return float(stats.nct.sf(critical, df, noncentrality) + far)


def t_units(effect_size: float, ratio: float = 1.0, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Units of the control, not rounded, at which the t test reaches `power`."""
    size = abs(effect_size)
    if not size > 0:
        raise ValueError(f"an effect of {effect_size} is never found; give one that matters")
    smallest = max(2.0, 2.0 / ratio)
    return _root(lambda n: t_power(size, n, ratio, alpha=alpha) - power, smallest)


def total_units(variance: float, effect: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Units of two equal arms together, rounded up."""
    return math.ceil(2 * t_units(effect / math.sqrt(variance), power=power, alpha=alpha))


def smallest_effect(variance: float, units: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The effect that `units` in two equal arms find with `power`."""
    return _root(lambda size: t_power(size, units / 2, alpha=alpha) - power, 0.0) * math.sqrt(variance)


def proportion_units(
    share_control: float, share_treatment: float, *, power: float = 0.8, alpha: float = 0.05
) -> tuple[float, float]:
    """(Cohen's h, units of each arm, not rounded) of the normal test of two shares."""
    size = 2 * (math.asin(math.sqrt(share_treatment)) - math.asin(math.sqrt(share_control)))
    return size, _root(lambda n: normal_power(abs(size), math.sqrt(2 / n), alpha=alpha) - power, 2.0)


def additional(
    se: float, n: int, mde: float, *, power: float = 0.8, alpha: float = 0.05, tuning: float | None = None
) -> float:
    """Multiple of the present sample still to collect until `mde` is found with `power`; 0 if there is enough.

    With `tuning` the analysis is the confidence sequence's, so that its half-width at n (1 + k) decides.
    """

    def reached(multiple: float) -> float:
        error = se / math.sqrt(1 + multiple)
        if tuning is None:
            return normal_power(mde, error, alpha=alpha) - power
        look = confidence_sequence(mde, error, n * (1 + multiple), alpha=alpha, tuning=tuning)
        if isinstance(look, NoResult):
            raise ValueError(look.reason)
        return _power(mde, error, look.half_width) - power

    return 0.0 if reached(0.0) >= 0 else _root(reached, 0.0)


def _power(effect: float, se: float, half_width: float) -> float:
    return float(stats.norm.sf(half_width, effect, se) + stats.norm.cdf(-half_width, effect, se))


def _root(rises: Callable[[float], float], low: float) -> float:
    """Where a rising function crosses 0 above `low`; `low` if it has done so already."""
    if rises(low) >= 0:
        return low
    high = max(1e-3, low * 2)
    while rises(high) < 0:
        high *= 2
        if high > 1e15:
            raise ValueError("no sample is large enough for this power; give a larger effect")
    return float(optimize.brentq(rises, low, high, xtol=1e-12, rtol=1e-13))
