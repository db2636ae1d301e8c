"""The verdict in words: what a person should conclude, and why, before any number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ab.effects import Effect
from ab.estimates import Estimate
from ab.power import normal_effect
from ab.trust import Check
from ab.wording import number, percent, words
from saima.routing.experiments import Experiment

CAUTIONS = ("Enough data", "Enough successes", "Finite values", "Unit ids")
"""Checks whose warning a verdict repeats."""

Code = Literal["no_data", "one_arm", "no_metric", "constant", "untrusted", "harmful", "better", "worse", "undecided"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to conclude. `headline` is one sentence; `because` a few more; arm is the one it is about, "" for none."""

    code: Code
    headline: str
    because: str
    arm: str = ""


def decide(
    experiment: Experiment,
    checks: Sequence[Check],
    effects: Sequence[Effect],
    counts: Sequence[int],
    *,
    days: int = 0,
    minimum_days: int = 0,
) -> Verdict:
    """The verdict of checks and effects; counts are units with an outcome by arm, in declared order.

    days of decisions that count, and how many the plan asks for before a winner or a loser is named.
    """
    names = list(experiment.arms)
    seen = [name for name, count in zip(names, counts, strict=True) if count]
    failed = [check for check in checks if check.status == "fail"]
    if not seen and failed:
        because = " ".join(check.sentence for check in failed)
        return Verdict("untrusted", "Do not trust this comparison.", f"{because} So there is nothing to compare.")
    if not seen:
        return Verdict("no_data", "No outcome yet.", "No decision of this experiment has an outcome that counts.")
    if len(seen) < 2:
        missing = ", ".join(name for name in names if name not in seen)
        because = f"Only {seen[0]} has outcomes; without {missing} there is nothing to compare it with."
        because = " ".join([because, *(check.sentence for check in failed)])
        return Verdict("one_arm", "Only one arm has outcomes.", because)
    primary = [effect for effect in effects if effect.declared.role == "primary"]
    if not primary:
        return Verdict(
            "no_metric",
            "There is no primary metric.",
            "Declare one with `role: primary` in the experiment's file; the effects below are exploration.",
        )
    if failed:
        because = " ".join(check.sentence for check in failed) + " Find the cause before reading the effects."
        return Verdict("untrusted", "Do not trust this comparison.", because)
    measured = [effect for effect in primary if effect.estimate is not None]
    if not measured:
        reasons = "; ".join(sorted({effect.reason for effect in primary}))
        return Verdict("constant", "The arms cannot be compared.", f"{_capital(reasons)}.")
    found = _measured(measured, effects, experiment.analysis.alpha)
    if found.code in ("better", "worse") and days < minimum_days:
        because = f"{found.because} That is {days} of the {minimum_days} days that the plan asks for."
        found = Verdict("undecided", "Too early to decide.", because, found.arm)
    cautions = [check.sentence for check in checks if check.status == "warn" and check.name in CAUTIONS]
    return replace(found, because=" ".join([found.because, *cautions]))


def _measured(primary: Sequence[Effect], effects: Sequence[Effect], alpha: float) -> Verdict:
    broken = [effect for effect in effects if effect.declared.role == "guardrail" and effect.outcome == "worse"]
    if broken:
        effect = broken[0]
        return Verdict("harmful", f"{_capital(effect.arm)} breaks a guardrail.", describe(effect, alpha), effect.arm)
    better = [effect for effect in primary if effect.outcome == "better"]
    worse = [effect for effect in primary if effect.outcome == "worse"]
    if better and not any(bad.arm == better[0].arm for bad in worse):
        best = max(better, key=lambda effect: abs(effect.estimate.relative_effect or 0) if effect.estimate else 0)
        return Verdict("better", f"{_capital(best.arm)} is better.", describe(best, alpha), best.arm)
    if worse and not better:
        return Verdict("worse", f"{_capital(worse[0].arm)} is worse.", describe(worse[0], alpha), worse[0].arm)
    if worse:
        because = " ".join(describe(effect, alpha) for effect in (*better, *worse))
        return Verdict("undecided", "The primary metrics disagree.", because)
    first = primary[0]
    because = f"{describe(first, alpha)} {sensitivity(first, alpha)}"
    return Verdict("undecided", "No difference beyond chance yet.", because, first.arm)


def describe(effect: Effect, alpha: float) -> str:
    """One sentence on an effect: means, direction, interval."""
    estimate = effect.estimate
    name = _capital(words(effect.metric))
    if estimate is None:
        return f"{name}: {effect.reason}."
    means = f"{name} {number(estimate.treatment)} against {number(estimate.control)}"
    level = percent(1 - alpha).replace(".0", "")
    if estimate.relative_effect is not None and estimate.relative_interval:
        size = f"{percent(abs(estimate.relative_effect))} {'lower' if estimate.effect < 0 else 'higher'}"
        interval = f"{percent(estimate.relative_lower, sign=True)} to {percent(estimate.relative_upper, sign=True)}"
    else:
        size = f"{number(abs(estimate.effect))} {'lower' if estimate.effect < 0 else 'higher'}"
        interval = f"{number(estimate.lower)} to {number(estimate.upper)}"
    return f"{means}: {size} ({level} interval {interval})."


def sensitivity(effect: Effect, alpha: float) -> str:
    """One sentence on what this much data would have found."""
    estimate = effect.estimate
    if not isinstance(estimate, Estimate) or not estimate.control:
        return ""
    found = normal_effect(estimate.se, alpha=alpha) / abs(estimate.control)
    return f"With this much data a true difference of {percent(found)} would be found four times in five."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
