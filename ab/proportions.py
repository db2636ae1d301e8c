"""Shares of successes compared between two arms: z, chi-square and exact tests, by tea-tasting and scipy."""

from __future__ import annotations

import math
from typing import Literal

from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Proportion

from ab.estimates import Estimate, NoResult

Test = Literal["z_pooled", "fisher", "boschloo", "barnard", "pearson", "g"]
_METHODS: dict[Test, Literal["norm", "fisher", "boschloo", "barnard", "pearson", "log-likelihood"]] = {
    "z_pooled": "norm",
    "fisher": "fisher",
    "boschloo": "boschloo",
    "barnard": "barnard",
    "pearson": "pearson",
    "g": "log-likelihood",
}


def compare(
    control: tuple[int, int],
    treatment: tuple[int, int],
    *,
    test: Test = "z_pooled",
    correction: bool = False,
    alpha: float = 0.05,
) -> Estimate | NoResult:
    """Difference of two shares from (successes, units) of each arm; two-sided.

    The statistic is the z of the pooled standard error. Only `z_pooled` has intervals. `correction` (Yates) is of
    `pearson` and `g`. All or no successes in both arms, or an arm of fewer than two units, give NoResult.
    """
    (hits_control, n_control), (hits_treatment, n_treatment) = control, treatment
    if min(n_control, n_treatment) < 2:
        return NoResult(f"an arm has {min(n_control, n_treatment)} units; a variance needs at least 2")
    share_control, share_treatment = hits_control / n_control, hits_treatment / n_treatment
    pooled = (hits_control + hits_treatment) / (n_control + n_treatment)
    if not 0 < pooled < 1:
        return NoResult("every unit has the same value; the standard error is 0")
    se = math.sqrt(pooled * (1 - pooled) * (1 / n_control + 1 / n_treatment))
    metric = Proportion(
        "x",
        method=_METHODS[test],
        alternative="two-sided",
        confidence_level=1 - alpha,
        correction=correction and test in ("pearson", "g"),
        equal_var=True,
    )
    result = metric.analyze_aggregates(
        Aggregates(count_=n_control, mean_={"x": share_control}),
        Aggregates(count_=n_treatment, mean_={"x": share_treatment}),
    )
    effect = share_treatment - share_control
    return Estimate(
        control=share_control,
        treatment=share_treatment,
        effect=effect,
        se=se,
        lower=_bound(result.effect_size_ci_lower),
        upper=_bound(result.effect_size_ci_upper),
        p_value=float(result.pvalue),
        statistic=effect / se,
        relative_effect=effect / share_control if share_control else None,
        relative_lower=_bound(result.rel_effect_size_ci_lower) if hits_control and hits_treatment else None,
        relative_upper=_bound(result.rel_effect_size_ci_upper) if hits_control and hits_treatment else None,
        n_control=n_control,
        n_treatment=n_treatment,
        variance_control=share_control * (1 - share_control),
        variance_treatment=share_treatment * (1 - share_treatment),
    )


def _bound(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
