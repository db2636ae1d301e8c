"""May the comparison be believed? Asked first; a failed check is the report's headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import polars as pl

from ab import means, multiplicity, srm
from ab.cube import Cube
from ab.estimates import NoResult
from ab.exposure import Units
from ab.penetration import Penetration
from ab.wording import moment, number, p_value, percent, words
from saima.routing.experiments import Experiment

Status = Literal["pass", "warn", "fail", "unknown"]

SUSPICION = 0.001
"""A trust check fails below this p-value: it is asked of every report, so a twentieth would cry wolf."""

ENOUGH = 100
"""Units of the smallest arm below which a result is called early."""

ALIKE = 0.1
"""Standardised difference above which groups are called unlike."""

JOINED = 0.5
"""Share of mature exposures with an outcome below which an analysis is of the few that came back."""

LOST = 0.01
"""Share of units in several arms, of nameless exposures, of infinite values, of decisions with two arms, above which a
check fails."""


@dataclass(frozen=True, slots=True)
class Check:
    """One trust check: its name, how it ended, and a sentence that says what was seen."""

    name: str
    status: Status
    sentence: str
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Standardised difference of one quantity before exposure, treatment against control."""

    name: str
    arm: str
    value: float
    p_adjusted: float


def check_ratio(experiment: Experiment, counts: Sequence[int], counted: str) -> Check:
    """Sample-ratio mismatch: do the arms' sizes fit their weights? `counted` says what was counted."""
    test = srm.srm_sequential if experiment.analysis.method == "sequential" else srm.srm
    result = test(counts, [arm.weight for arm in experiment.arms.values()])
    total = sum(counts)
    if isinstance(result, NoResult):
        return Check("Sample ratio", "unknown", f"Cannot be tested: {result.reason}.")
    sizes = ", ".join(
        f"{name} {count:,} ({percent(count / total)}, designed {arm.weight:g} %)"
        for (name, arm), count in zip(experiment.arms.items(), counts, strict=True)
    )
    if result.p_value < SUSPICION:
        sentence = f"The arms' sizes do not fit the design, by {counted}: {sizes}; p {p_value(result.p_value)}."
        return Check("Sample ratio", "fail", sentence, result.p_value)
    return Check("Sample ratio", "pass", f"As designed, by {counted}: {sizes}.", result.p_value)


def check_phases(experiment: Experiment, units: Units, starts: Sequence[int]) -> Check:
    """Sample ratio of the units first exposed in each phase of the ramp: a phase must not hide behind the others.

    starts: when the coverage moved, int64 ms. p-values are adjusted by Holm over the phases.
    """
    edges, arms = sorted(starts), list(experiment.arms)
    weights = [arm.weight for arm in experiment.arms.values()]
    test = srm.srm_sequential if experiment.analysis.method == "sequential" else srm.srm
    bounds = [None, *edges, None]
    tested: list[tuple[int, float]] = []
    for index, (start, end) in enumerate(pairwise(bounds)):
        inside = pl.lit(True) if start is None else pl.col("time") >= start
        inside = inside if end is None else inside & (pl.col("time") < end)
        result = test(Units(units.frame.filter(inside), 0).counts(arms), weights)
        if not isinstance(result, NoResult):
            tested.append((index, result.p_value))
    adjusted = multiplicity.adjust([p for _, p in tested])
    if not tested:
        return Check("Sample ratio by phase", "unknown", "No phase of the ramp has a unit.")
    p, phase = min((p, index) for p, (index, _) in zip(adjusted, tested, strict=True))
    if p >= SUSPICION:
        return Check("Sample ratio by phase", "pass", f"As designed in each of {len(tested)} phases of the ramp.", p)
    since = f"since {moment(bounds[phase])}" if bounds[phase] is not None else f"before {moment(bounds[phase + 1])}"
    sentence = f"In the phase {since} the arms' sizes do not fit the design; p {p_value(p)} over {len(tested)} phases."
    return Check("Sample ratio by phase", "fail", sentence, p)


def check_arms(units: Units) -> Check:
    """Units that saw several arms."""
    total = units.frame.height + units.mixed
    if not units.mixed:
        return Check("One arm a unit", "pass", f"None of {total:,} units saw two arms.")
    share = units.mixed / total
    sentence = f"{units.mixed:,} of {total:,} units ({percent(share)}) saw several arms and are left out."
    return Check("One arm a unit", "fail" if share > LOST else "warn", sentence)


def check_names(unfit: int | str, exposures: int) -> Check:
    """Exposures whose unit is no name. unfit: how many, beside `exposures` that have one, or why none of them has."""
    if isinstance(unfit, str):
        return Check("Unit ids", "fail", f"No unit can be told from another: {unfit}.")
    if not unfit:
        return Check("Unit ids", "pass", "Every exposure names its unit.")
    share = unfit / (unfit + exposures)
    sentence = f"{unfit:,} exposures ({percent(share)}) have no unit and are left out."
    return Check("Unit ids", "fail" if share > LOST else "warn", sentence)


def check_finite(infinite: Mapping[str, int], samples: int) -> Check:
    """Samples whose metric is infinite, by metric; they are left out of it."""
    worst = max(infinite, key=lambda name: infinite[name], default="")
    if not worst or not infinite[worst]:
        return Check("Finite values", "pass", "No metric is infinite in any sample.")
    share = infinite[worst] / samples
    sentence = f"{words(worst).capitalize()} is infinite in {infinite[worst]:,} of {samples:,} samples, left out."
    return Check("Finite values", "fail" if share > LOST else "warn", sentence)


def check_penetration(found: Penetration) -> Check:
    """Do device and cloud use the same arm?"""
    if not found.decisions:
        return Check("Penetration", "unknown", "No decision says which arm its device used.")
    share = found.failures / found.decisions
    if not found.failures:
        return Check("Penetration", "pass", f"Device and cloud used the same arm in all {found.decisions:,} decisions.")
    sentence = f"Device and cloud used different arms in {found.failures:,} of {found.decisions:,} decisions"
    return Check("Penetration", "fail" if share > LOST else "warn", f"{sentence} ({percent(share)}).")


def check_rarity(experiment: Experiment, cube: Cube) -> Check | None:
    """Are there enough successes of the primary shares? None where no primary metric is a share."""
    shares = [n for n, each in experiment.metrics.items() if each.role == "primary" and each.kind == "proportion"]
    rows = []
    for metric in shares:
        columns = cube.metrics[metric]
        found = cube.total(metric)
        for arm, moments in ((arm, found[arm]) for arm in experiment.arms if arm in found):
            hits = round(moments.count() * moments.mean(columns.value)) if moments.count() else 0
            tried = moments.count() * moments.mean(columns.denominator) if moments.count() else 0
            rows.append((min(hits, round(tried - hits)), metric, arm))
    if not rows:
        return None
    least, metric, _ = min(rows)
    if least >= ENOUGH:
        return Check("Enough successes", "pass", f"Every arm has {least:,} or more of the rarer outcome.")
    counts = ", ".join(f"{arm} {count:,}" for count, name, arm in rows if name == metric)
    sentence = (
        f"Rare: {words(metric)} happened so seldom ({counts}) that only large differences can be seen, intervals are "
        f"rough, and a handful of outcomes would change the answer; {ENOUGH} an arm are the least to rely on."
    )
    return Check("Enough successes", "warn", sentence)


def check_join(arms: Sequence[str], exposed: Sequence[int], joined: Sequence[int]) -> Check:
    """Did outcomes reach their decisions equally in every arm? Counts of mature exposures, and of those joined."""
    if not sum(exposed):
        return Check("Join rate", "unknown", "No exposure is old enough for its outcome to be known.")
    if not sum(joined):
        return Check("Join rate", "unknown", "No exposure has an outcome yet.")
    rates = ", ".join(
        f"{arm} {percent(hits / seen) if seen else '–'}" for arm, seen, hits in zip(arms, exposed, joined, strict=True)
    )
    rows = [
        (seen, hits / seen, hits / seen * (1 - hits / seen))
        for seen, hits in zip(exposed, joined, strict=True)
        if seen > 1
    ]
    p_values = [
        result.p_value
        for row in rows[1:]
        if not isinstance(result := means.from_units(rows[0], row, distribution="normal"), NoResult)
    ]
    worst = min(multiplicity.adjust(p_values), default=None)
    share = sum(joined) / sum(exposed)
    if share < JOINED:
        sentence = f"Only {percent(share)} of mature exposures have an outcome ({rates}); the rest may be different."
        return Check("Join rate", "fail", sentence, worst)
    if worst is not None and worst < SUSPICION:
        sentence = f"Outcomes are missing unequally: {rates} of mature exposures have one; p {p_value(worst)}."
        return Check("Join rate", "fail", sentence, worst)
    return Check("Join rate", "pass", f"Mature exposures with an outcome: {rates}.", worst)


def check_size(arms: Sequence[str], counts: Sequence[int]) -> Check:
    """Is there enough to say anything?"""
    least = min(counts, default=0)
    smallest = arms[list(counts).index(least)] if counts else ""
    if least < 2:
        return Check("Enough data", "unknown", f"Arm {smallest} has {least} units with an outcome.")
    if least < ENOUGH:
        return Check("Enough data", "warn", f"Early: arm {smallest} has {least} units with an outcome so far.")
    return Check("Enough data", "pass", f"The smallest arm, {smallest}, has {least:,} units with an outcome.")


def differences(units: pl.DataFrame, arms: Sequence[str]) -> list[Difference]:
    """Standardised differences of every quantity of every arm against the first, greatest first; p adjusted by Holm.

    `units` has arm and one column a quantity, one row a unit; a missing value leaves its unit out of that quantity.
    """
    names = [name for name in units.columns if name != "arm"]
    moments = {
        row["arm"]: row
        for row in units.group_by("arm")
        .agg(
            *(pl.col(name).count().alias(f"n:{name}") for name in names),
            *(pl.col(name).mean().alias(f"mean:{name}") for name in names),
            *(pl.col(name).var().alias(f"var:{name}") for name in names),
        )
        .to_dicts()
    }
    found: list[tuple[str, str, float, float]] = []
    for arm in arms[1:]:
        if not {arms[0], arm} <= set(moments):
            continue
        for name in names:
            control, treatment = (
                (moments[each][f"n:{name}"], moments[each][f"mean:{name}"] or 0.0, moments[each][f"var:{name}"] or 0.0)
                for each in (arms[0], arm)
            )
            result = means.from_units(control, treatment)
            if isinstance(result, NoResult):
                continue
            pooled = ((result.variance_control + result.variance_treatment) / 2) ** 0.5
            found.append((name, arm, result.effect / pooled, result.p_value))
    adjusted = multiplicity.adjust([row[3] for row in found])
    rows = [Difference(name, arm, value, p) for (name, arm, value, _), p in zip(found, adjusted, strict=True)]
    return sorted(rows, key=lambda row: -abs(row.value))


def check_balance(found: Sequence[Difference]) -> Check:
    """Were the groups alike before they were treated differently?"""
    if not found:
        return Check("Alike before", "unknown", "There is nothing from before the exposure to compare.")
    first, worst = found[0], min(row.p_adjusted for row in found)
    largest = f"{first.name} by {number(abs(first.value), 2)} standard deviations"
    if worst < SUSPICION:
        culprit = min(found, key=lambda row: row.p_adjusted)
        sentence = f"The groups differ before exposure: {culprit.name}, p {p_value(worst)} after Holm's correction."
        return Check("Alike before", "fail", sentence, worst)
    if abs(first.value) > ALIKE:
        return Check("Alike before", "warn", f"Of {len(found)} compared the most unlike is {largest}.", worst)
    return Check("Alike before", "pass", f"{len(found)} compared; the most unlike is {largest}.", worst)
