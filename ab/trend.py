"""The primary metric day by day: is the effect stable, or was it novelty?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from ab.effects import compare
from ab.estimates import Estimate
from saima.routing.experiments import Analysis

DAYS = 60
"""Days shown at most; the newest ones."""


@dataclass(frozen=True, slots=True)
class ArmDay:
    """One arm on one day: its mean over samples, None without one, and how many samples that is."""

    arm: str
    mean: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Day:
    """One day (`2013-04-01`, UTC): the arms, and the effect of the data up to that day's end, None while too few."""

    day: str
    arms: tuple[ArmDay, ...]
    so_far: Estimate | None


@dataclass(frozen=True, slots=True)
class Refresh:
    """A bundle that started to answer in an arm: its publication and the event time of its first decision (ms)."""

    arm: str
    version: str
    time: int


def by_day(sums: pl.LazyFrame, metric: str, arms: tuple[str, str], analysis: Analysis) -> list[Day]:
    """Days of (control, treatment) from unit sums by day: unit, arm, day, `<metric>:value`, `<metric>:denominator`."""
    frame = sums.select("unit", "arm", "day", f"{metric}:value", f"{metric}:denominator").collect()
    daily = {
        (day, arm): (value, count)
        for day, arm, value, count in frame.group_by("day", "arm")
        .agg(pl.col(f"{metric}:value").sum(), pl.col(f"{metric}:denominator").sum())
        .iter_rows()
    }
    days = []
    for day in sorted({day for day, _ in daily})[-DAYS:]:
        estimate = compare(frame.lazy().filter(pl.col("day") <= day), metric, arms, analysis)
        shown = tuple(_arm_day(arm, *daily.get((day, arm), (0.0, 0.0))) for arm in arms)
        days.append(Day(day, shown, estimate if isinstance(estimate, Estimate) else None))
    return days


def refreshes(samples: pl.LazyFrame) -> list[Refresh]:
    """Every version of every arm with its first decision, oldest first; samples have arm, version, time."""
    found = (
        samples.filter(pl.col("version").is_not_null())
        .group_by("arm", "version")
        .agg(pl.col("time").min())
        .sort("time", "arm")
        .collect()
    )
    return [Refresh(arm, str(version), int(time)) for arm, version, time in found.iter_rows()]


def _arm_day(arm: str, value: float, count: float) -> ArmDay:
    mean = value / count if count else None
    return ArmDay(arm, mean if mean is not None and math.isfinite(mean) else None, int(count))
