"""What the arms did: one effect a metric and arm, against the control."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tea_tasting.aggr import Aggregates

from ab import means, multiplicity
from ab.cube import Columns, Cube
from ab.estimates import Estimate, NoResult
from ab.sequential import confidence_sequence
from saima.routing.experiments import Analysis, Experiment, Metric

Outcome = Literal["better", "worse", "unclear", "safe", "none"]


@dataclass(frozen=True, slots=True)
class Effect:
    """A metric of one arm against the control's; `estimate` None: `reason` says why there is nothing to say.

    The estimate's interval and p-value are of the declared method. outcome: better and worse are beyond chance after
    the correction for many comparisons; safe is a guardrail whose worst plausible value is within its margin.
    saved: share of the variance that the covariate took away; None without one.
    """

    metric: str
    arm: str
    declared: Metric
    estimate: Estimate | None
    reason: str = ""
    p_adjusted: float | None = None
    outcome: Outcome = "none"
    saved: float | None = None


def control_of(experiment: Experiment) -> str:
    """The arm that others are compared with: `control` or `champion` where declared, else the first."""
    return next((name for name in ("control", "champion") if name in experiment.arms), next(iter(experiment.arms)))


def compare(
    control: Aggregates | None, treatment: Aggregates | None, columns: Columns, analysis: Analysis
) -> Estimate | NoResult:
    """One metric of two arms from the moments of unit sums, by the declared method; None: the arm has no unit.

    A mean over samples is the ratio of unit sums whose denominator counts samples: units, not samples, are independent.
    """
    if control is None or treatment is None or not control.count() or not treatment.count():
        return NoResult("an arm has no unit with a value")
    if not all(math.isfinite(arm.mean(name)) for arm in (control, treatment) for name in columns.present()):
        return NoResult("a sum is beyond what a number can hold")
    adjusted = _varies(control, treatment, columns)
    estimate = means.compare(
        control,
        treatment,
        columns.value,
        columns.denominator,
        columns.covariate if adjusted else None,
        columns.covariate_denominator if adjusted else None,
        alpha=analysis.alpha,
    )
    if isinstance(estimate, NoResult) or analysis.method == "fixed":
        return estimate
    return always_valid(estimate, analysis.alpha)


def always_valid(estimate: Estimate, alpha: float) -> Estimate | NoResult:
    """The estimate with the confidence sequence's interval and p-value; the relative one on the log scale."""
    n = estimate.n_control + estimate.n_treatment
    look = confidence_sequence(estimate.effect, estimate.se, n, alpha=alpha)
    if isinstance(look, NoResult):
        return look
    relative: tuple[float | None, float | None] = (None, None)
    if min(estimate.control, estimate.treatment) > 0:
        logarithm = math.log(estimate.treatment / estimate.control)
        se = math.sqrt(
            estimate.variance_control / estimate.n_control / estimate.control**2
            + estimate.variance_treatment / estimate.n_treatment / estimate.treatment**2
        )
        ratio = confidence_sequence(logarithm, se, n, alpha=alpha)
        if not isinstance(ratio, NoResult) and ratio.half_width < 500:
            relative = (
                math.expm1(logarithm - ratio.half_width),
                math.expm1(logarithm + ratio.half_width),
            )
    return replace(
        estimate,
        lower=look.lower,
        upper=look.upper,
        p_value=look.p_value,
        relative_lower=relative[0],
        relative_upper=relative[1],
    )


def effects(cube: Cube, experiment: Experiment) -> list[Effect]:
    """Every metric of every arm against the control, in declared order.

    p-values are adjusted by Holm among primary metrics and guardrails (decisions), by Benjamini-Hochberg among the
    secondary ones (exploration).
    """
    control, analysis = control_of(experiment), experiment.analysis
    moments = {metric: cube.total(metric) for metric in experiment.metrics}
    compared: dict[tuple[str, str], Estimate | NoResult] = {
        (metric, arm): compare(moments[metric].get(control), moments[metric].get(arm), cube.metrics[metric], analysis)
        for metric in experiment.metrics
        for arm in experiment.arms
        if arm != control
    }
    adjusted = _adjusted(compared, experiment.metrics)
    return [
        Effect(metric, arm, experiment.metrics[metric], None, result.reason)
        if isinstance(result, NoResult)
        else Effect(
            metric,
            arm,
            experiment.metrics[metric],
            result,
            "",
            adjusted[metric, arm],
            outcome(result, adjusted[metric, arm], experiment.metrics[metric], experiment.analysis.alpha),
            _saved(result, moments[metric][control], moments[metric][arm], cube.metrics[metric]),
        )
        for (metric, arm), result in compared.items()
    ]


def outcome(estimate: Estimate, p_adjusted: float, declared: Metric, alpha: float) -> Outcome:
    """What a person may conclude; a guardrail's margin is in the metric's own unit."""
    good = estimate.effect > 0 if declared.direction == "higher" else estimate.effect < 0
    if p_adjusted < alpha:
        return "better" if good else "worse"
    if declared.role == "guardrail" and declared.margin is not None:
        harm = estimate.upper if declared.direction == "lower" else _minus(estimate.lower)
        if harm is not None and harm <= declared.margin:
            return "safe"
    return "unclear"


def _varies(control: Aggregates, treatment: Aggregates, columns: Columns) -> bool:
    """Whether the covariate can adjust anything: it is there in both arms, and not the same everywhere."""
    by = columns.covariate_denominator
    if columns.covariate is None or (by is not None and not (control.mean(by) and treatment.mean(by))):
        return False
    return bool((control + treatment).ratio_var(columns.covariate, by) > 0)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _saved(estimate: Estimate, control: Aggregates, treatment: Aggregates, columns: Columns) -> float | None:
    if columns.covariate is None:
        return None
    plain = means.compare(control, treatment, columns.value, columns.denominator)
    return None if isinstance(plain, NoResult) else 1 - (estimate.se / plain.se) ** 2


def _adjusted(
    compared: Mapping[tuple[str, str], Estimate | NoResult], metrics: Mapping[str, Metric]
) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for decisive in (True, False):
        family = [
            (key, result.p_value)
            for key, result in compared.items()
            if isinstance(result, Estimate) and (metrics[key[0]].role != "secondary") == decisive
        ]
        method: multiplicity.Method = "holm" if decisive else "bh"
        p_values = multiplicity.adjust([p for _, p in family], method)
        found |= {key: p for (key, _), p in zip(family, p_values, strict=True)}
    return found
