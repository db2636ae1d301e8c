"""How long an experiment must run to find an effect, from the variance of the past and the arrival of new units."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from ab import power as powers
from ab.effects import control_of
from ab.estimates import NoResult
from ab.sequential import confidence_sequence
from ab.units import past
from saima.routing.buckets import BUCKETS
from saima.routing.experiments import Experiment

SHOWN = (1, 3, 7, 14, 28, 56)
_LONGEST = 730


@dataclass(frozen=True, slots=True)
class Duration:
    """What a metric can show: the smallest relative effect by days of running, and days until `effect` is found.

    baseline, variance: of one unit; units: of the past; share: of all units that the experiment gets. An effect is None
    where there are too few units, the days where two years do not do.
    """

    metric: str
    method: str
    power: float
    baseline: float
    variance: float
    units: int
    share: float
    smallest: dict[int, float | None]
    effect: float | None
    days: int | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.metric}: {self.reason}"
        shown = ", ".join(
            f"{days} d {'–' if found is None else f'{found:.2%}'}" for days, found in self.smallest.items()
        )
        text = (
            f"{self.metric}: mean {self.baseline:.6g}, {self.share:.1%} of {self.units:,} past units; smallest "
            f"relative effect found with chance {self.power:.0%} ({self.method}): {shown}"
        )
        if self.effect is None:
            return text
        said = "more than two years" if self.days is None else f"{self.days} days"
        return f"{text}; an effect of {self.effect:.2%} takes {said}"


def duration(
    experiment: Experiment, metric: str, samples: pl.LazyFrame, *, power: float = 0.8, effect: float | None = None
) -> Duration:
    """What a metric of an experiment can find, its smallest arm against the control.

    Raises SaimaError where there are no outcomes, ValueError for an effect that is not positive.
    """
    if effect is not None and not effect > 0:
        raise ValueError(f"a relative effect is a number above 0, such as 0.02, not {effect}")
    seen = past(experiment, samples)
    moments = seen.moments(metric)
    value, divisor = f"{metric}:value", f"{metric}:denominator"
    full = (experiment.ramp[-1].coverage if experiment.ramp else experiment.coverage) / 100
    share = (experiment.buckets[1] - experiment.buckets[0]) / BUCKETS * full
    known = (metric, experiment.analysis.method, power)
    if moments.count() < 2 or not moments.mean(divisor) or not math.isfinite(moments.mean(value)):
        why = f"{moments.count()} past units with a value; nothing to plan with"
        return Duration(*known, 0.0, 0.0, moments.count(), share, {}, effect, None, why)
    mean = moments.mean(divisor)
    ratio = moments.mean(value) / mean
    variance = moments.var(value) - 2 * ratio * moments.cov(value, divisor) + ratio**2 * moments.var(divisor)
    variance /= mean**2
    if not variance > 0 or not ratio:
        why = "every past unit has the same value" if not variance > 0 else "the mean is 0: no effect is relative to it"
        return Duration(*known, ratio, 0.0, moments.count(), share, {}, effect, None, why)
    arrived = _arrivals(seen.frame["day"].to_numpy(), seen.days) * share * _balance(experiment)

    def smallest(days: int) -> float | None:
        found = _smallest(experiment, variance, int(arrived[days - 1]), power)
        return None if found is None else found / abs(ratio)

    days = None
    if effect is not None:
        days = next((n for n in range(1, _LONGEST + 1) if (found := smallest(n)) is not None and found <= effect), None)
    shown = {n: smallest(n) for n in SHOWN}
    return Duration(*known, ratio, variance, moments.count(), share, shown, effect, days)


def _arrivals(first: NDArray[np.int64], days: int) -> NDArray[np.float64]:
    """Units that have come by the end of each day; beyond the past at the rate of its later half."""
    curve = np.cumsum(np.bincount(first, minlength=days)).astype(np.float64)
    half = days // 2
    rate = (curve[-1] - curve[half - 1]) / (days - half) if half else curve[-1] / days
    return np.concatenate([curve, curve[-1] + rate * np.arange(1, _LONGEST + 1)])[:_LONGEST]


def _balance(experiment: Experiment) -> float:
    """Units of two equal arms that tell as much as one unit of all arms: control against the smallest other one."""
    weights = {name: arm.weight / 100 for name, arm in experiment.arms.items()}
    control = weights.pop(control_of(experiment))
    least = min((weight for weight in weights.values() if weight > 0), default=0.0)
    return 4 / (1 / control + 1 / least) if control and least else 0.0


def _smallest(experiment: Experiment, variance: float, units: int, power: float) -> float | None:
    alpha = experiment.analysis.alpha
    if units < 4:
        return None
    if experiment.analysis.method == "fixed":
        return powers.smallest_effect(variance, units, power=power, alpha=alpha)
    se = math.sqrt(4 * variance / units)
    look = confidence_sequence(0.0, se, units, alpha=alpha)
    return None if isinstance(look, NoResult) else look.half_width + float(stats.norm.ppf(power)) * se
