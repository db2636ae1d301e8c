"""Means, ratios of sums and their covariate adjustment, compared between two arms by tea-tasting.

Delta method: Deng, Knoblich, Lu (2018), Applying the Delta Method in Metric Analytics. CUPED: Deng, Xu, Kohavi, Walker
(2013). A mean is the ratio whose denominator is 1; an unadjusted ratio is the adjusted one whose covariate is 1.
"""

from __future__ import annotations

import math
from typing import Literal

from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean

from ab.estimates import Alternative, Estimate, NoResult

_LARGEST = 1e75
"""Degrees of freedom take the standard error's fourth power, which ends at 1e308."""


def compare(
    control: Aggregates | NoResult,
    treatment: Aggregates | NoResult,
    value: str,
    denominator: str | None = None,
    covariate: str | None = None,
    covariate_denominator: str | None = None,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    distribution: Literal["t", "normal"] = "t",
) -> Estimate | NoResult:
    """Difference of two arms with its interval, by Welch's test (`t`) or by z (`normal`).

    The columns play the roles their parameters name. Fewer than two units in an arm, a negative variance, a standard
    error of 0 or a denominator that sums to 0 give NoResult, never NaN and never an exception.
    """
    for arm in (control, treatment):
        if isinstance(arm, NoResult):
            return arm
        if arm.count() < 2:
            return NoResult(f"an arm has {arm.count()} units; a variance needs at least 2")
        for name in (denominator, covariate_denominator):
            if name is not None and arm.mean(name) == 0:
                return NoResult(f"the denominator '{name}' sums to 0 in an arm")
    assert isinstance(control, Aggregates)
    assert isinstance(treatment, Aggregates)
    total = control + treatment
    if covariate_denominator is not None and total.mean(covariate_denominator) == 0:
        return NoResult(f"the denominator '{covariate_denominator}' sums to 0")
    roles = (value, denominator, covariate, covariate_denominator)
    theta = _theta(total, *roles)
    centre = _ratio(total, covariate, covariate_denominator)
    arms = [
        (
            _ratio(arm, value, denominator) - theta * (_ratio(arm, covariate, covariate_denominator) - centre),
            _unit_variance(arm, theta, *roles),
        )
        for arm in (control, treatment)
    ]
    return from_units(
        (control.count(), *arms[0]),
        (treatment.count(), *arms[1]),
        alpha=alpha,
        alternative=alternative,
        distribution=distribution,
        theta=theta,
    )


def from_units(
    control: tuple[int, float, float],
    treatment: tuple[int, float, float],
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    distribution: Literal["t", "normal"] = "t",
    theta: float = 0.0,
) -> Estimate | NoResult:
    """The same from (units, mean, variance of one unit) of each arm."""
    (n_control, mean_control, variance_control), (n_treatment, mean_treatment, variance_treatment) = control, treatment
    if min(n_control, n_treatment) < 2:
        return NoResult(f"an arm has {min(n_control, n_treatment)} units; a variance needs at least 2")
    if not all(map(math.isfinite, (mean_control, variance_control, mean_treatment, variance_treatment))):
        return NoResult("a mean or a variance is not a number")
    if min(variance_control, variance_treatment) < 0:
        return NoResult("a variance is negative; the sums do not belong together")
    se = math.sqrt(variance_control / n_control + variance_treatment / n_treatment)
    if se <= 1e-14 * max(abs(mean_control), abs(mean_treatment)):
        return NoResult("every unit has the same value; the standard error is 0")
    if se > _LARGEST:
        return NoResult("the values spread beyond what a number can hold when its variance is squared")
    metric = Mean("x", alternative=alternative, confidence_level=1 - alpha, use_t=distribution == "t", equal_var=False)
    arms = (n_control, mean_control, variance_control), (n_treatment, mean_treatment, variance_treatment)
    try:
        result = metric.analyze_aggregates(*(_moments(*arm) for arm in arms))
        relative = (result.rel_effect_size_ci_lower, result.rel_effect_size_ci_upper)
    except OverflowError:
        # A mean so near 0 that its interval on the log scale is beyond float64; the difference needs no 0.
        shift = 10 * se
        result = metric.analyze_aggregates(*(_moments(n, mean + shift, variance) for n, mean, variance in arms))
        relative = (-1.0 if alternative != "less" else -math.inf, math.inf)
    positive = min(mean_control, mean_treatment) > 0
    effect = mean_treatment - mean_control
    return Estimate(
        control=mean_control,
        treatment=mean_treatment,
        effect=effect,
        se=se,
        lower=_bound(result.effect_size_ci_lower),
        upper=_bound(result.effect_size_ci_upper),
        p_value=float(result.pvalue),
        statistic=effect / se,
        relative_effect=effect / abs(mean_control) if mean_control else None,
        relative_lower=_bound(relative[0]) if positive else None,
        relative_upper=_bound(relative[1]) if positive else None,
        n_control=n_control,
        n_treatment=n_treatment,
        variance_control=variance_control,
        variance_treatment=variance_treatment,
        theta=theta,
    )


def _ratio(arm: Aggregates, numerator: str | None, denominator: str | None) -> float:
    return float(arm.mean(numerator) / arm.mean(denominator))


def _theta(
    total: Aggregates, value: str, denominator: str | None, covariate: str | None, covariate_denominator: str | None
) -> float:
    if covariate is None:
        return 0.0
    variance = total.ratio_var(covariate, covariate_denominator)
    covariance = total.ratio_cov(value, denominator, covariate, covariate_denominator)
    return float(covariance / variance) if variance else 0.0


def _unit_variance(
    arm: Aggregates,
    theta: float,
    value: str,
    denominator: str | None,
    covariate: str | None,
    covariate_denominator: str | None,
) -> float:
    variance = float(arm.ratio_var(value, denominator))
    if covariate is None:
        return variance
    return float(
        variance
        + theta**2 * arm.ratio_var(covariate, covariate_denominator)
        - 2 * theta * arm.ratio_cov(value, denominator, covariate, covariate_denominator)
    )


def _moments(n: int, mean: float, variance: float) -> Aggregates:
    return Aggregates(count_=n, mean_={"x": mean}, var_={"x": variance})


def _bound(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
