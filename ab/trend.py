"""The primary metric day by day: is the effect stable, or was it novelty?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from scipy import stats
from tea_tasting.aggr import Aggregates

from ab import moments
from ab.cube import Columns, Cube
from ab.effects import compare
from ab.estimates import Estimate, NoResult
from saima.routing.experiments import Analysis

DAYS = 60
"""Days shown at most; the newest ones."""

_LARGEST = 1e150
"""A mean beyond it has no square, so no effect, and no axis can show it."""


@dataclass(frozen=True, slots=True)
class ArmDay:
    """One arm on one day: its mean over samples, None without one that can be shown, and how many samples that is."""

    arm: str
    mean: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Day:
    """One day (`2013-04-01`, UTC): the arms, the effect of the data up to that day's end, and of that day alone; None
    while there are too few."""

    day: str
    arms: tuple[ArmDay, ...]
    so_far: Estimate | None
    alone: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Novelty:
    """How the effect moves: its slope a day, weighted by precision, with standard error and two-sided p-value."""

    slope: float
    se: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Refresh:
    """A bundle that started to answer in an arm: its publication and the event time of its first decision (ms)."""

    arm: str
    version: str
    time: int


def by_day(sums: pl.LazyFrame, cube: Cube, metric: str, arms: tuple[str, str], analysis: Analysis) -> list[Day]:
    """Days of (control, treatment) from unit sums by day, and their cube, whose looks they share."""
    columns = Columns(f"{metric}:value", f"{metric}:denominator", None, None)
    grown, days = cube.by_day(metric), []
    alone = moments.from_frame(
        sums.filter(pl.col(f"{metric}:denominator") != 0), ["day", "arm"], [columns.value, str(columns.denominator)]
    )
    for day in cube.days()[-DAYS:]:
        so_far = compare(grown.get((day, arms[0])), grown.get((day, arms[1])), cube.metrics[metric], analysis)
        single = compare(alone.get((day, arms[0])), alone.get((day, arms[1])), columns, Analysis(method="fixed"))
        shown = tuple(_arm_day(arm, alone.get((day, arm)), columns) for arm in arms)
        days.append(
            Day(
                day,
                shown,
                so_far if isinstance(so_far, Estimate) else None,
                single if isinstance(single, Estimate) else None,
            )
        )
    return days


def novelty(days: Sequence[Day]) -> Novelty | NoResult:
    """Slope of the effect of each day alone over the days, by weighted least squares."""
    known = [(index, day.alone) for index, day in enumerate(days) if day.alone is not None]
    if len(known) < 3:
        return NoResult("fewer than three days can be compared")
    weights = [1 / each.se**2 for _, each in known]
    total = sum(weights)
    centre = sum(w * index for w, (index, _) in zip(weights, known, strict=True)) / total
    mean = sum(w * each.effect for w, (_, each) in zip(weights, known, strict=True)) / total
    spread = sum(w * (index - centre) ** 2 for w, (index, _) in zip(weights, known, strict=True))
    leaning = sum(w * (i - centre) * (each.effect - mean) for w, (i, each) in zip(weights, known, strict=True))
    slope, se = leaning / spread, spread**-0.5
    return Novelty(slope, se, float(2 * stats.norm.sf(abs(slope) / se)))


def refreshes(samples: pl.LazyFrame) -> list[Refresh]:
    """Every version of every arm with its first decision, oldest first; samples have arm, version, time."""
    found = (
        samples.filter(pl.col("version").is_not_null())
        .group_by("arm", "version")
        .agg(pl.col("time").min())
        .sort("time", "arm")
        .collect(engine="in-memory")
    )
    return [Refresh(arm, str(version), int(time)) for arm, version, time in found.iter_rows()]


def _arm_day(arm: str, seen: Aggregates | None, columns: Columns) -> ArmDay:
    if seen is None or not seen.mean(columns.denominator):
        return ArmDay(arm, None, 0)
    mean = float(seen.mean(columns.value) / seen.mean(columns.denominator))
    return ArmDay(arm, mean if abs(mean) < _LARGEST else None, round(seen.mean(columns.denominator) * seen.count()))
