"""Before an experiment: a salt whose arms were alike in the past, and AA tests replayed over many salts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from ab import means
from ab.effects import control_of
from ab.estimates import NoResult
from ab.moments import from_moments
from ab.units import Past, past
from saima.routing.batch import assigned
from saima.routing.experiments import Experiment
from saima.routing.layout import altered

SUSPICION = 0.001
"""AA p-values are called not uniform below this p of the Kolmogorov-Smirnov test."""


@dataclass(frozen=True, slots=True)
class Search:
    """The best salt, its greatest standardised difference of any metric and arm, the median salt's, and where its
    distance of all metrics together lies among the other salts: the share of them that is at least as far."""

    salt: str
    difference: float
    metric: str
    median: float
    joint_p: float
    salts: int
    units: int

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"salt: '{self.salt}' of {self.salts}, over {self.units:,} past units: the arms differ by "
            f"{self.difference:.4f} standard deviations at most ({self.metric}; the median salt by {self.median:.4f}); "
            f"{self.joint_p:.0%} of the salts are as far or farther in all metrics together"
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """AA tests of a metric and an arm: how many, the share below 0.05, the test of their p-values' uniformity."""

    metric: str
    arm: str
    tests: int
    below: float
    p_value: float
    uniform: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.metric}, {self.arm}: no AA test: {self.reason}"
        said = "uniform" if self.uniform else "NOT UNIFORM: this test would not keep its level"
        return (
            f"{self.metric}, {self.arm}: {self.tests} AA tests, {self.below:.1%} below 0.05, p-values {said} "
            f"(p {self.p_value:.3g})"
        )


def search(experiment: Experiment, samples: pl.LazyFrame, salts: Sequence[str]) -> Search:
    """The salt with the smallest maximal standardised difference of the metrics, over the samples there are.

    Raises SaimaError where there are no outcomes.
    """
    seen = past(experiment, samples)
    names = list(experiment.metrics)
    values = np.column_stack([_unit_values(seen, name) for name in names])
    scale = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    whiten = np.linalg.pinv(np.atleast_2d(np.cov(scaled, rowvar=False)))
    control = list(experiment.arms).index(control_of(experiment))
    worst: list[float] = []
    joint: list[float] = []
    which: list[int] = []
    for salt in salts:
        codes = _codes(experiment, seen, salt)
        counts = np.array([(codes == arm).sum() for arm in range(len(experiment.arms))])
        if (counts == 0).any():
            worst, joint, which = [*worst, np.inf], [*joint, np.inf], [*which, 0]
            continue
        centres = np.array([scaled[codes == arm].mean(axis=0) for arm in range(len(counts))])
        gaps = np.delete(centres - centres[control], control, axis=0)
        worst.append(float(np.abs(gaps).max()) if gaps.size else 0.0)
        which.append(int(np.abs(gaps).max(axis=0).argmax()) if gaps.size else 0)
        joint.append(float(np.einsum("am,mn,an->a", gaps, whiten, gaps).max()) if gaps.size else 0.0)
    best = int(np.argmin(worst))
    farther = float(np.mean(np.array(joint) >= joint[best]))
    median = float(np.median(worst))
    return Search(salts[best], worst[best], names[which[best]], median, farther, len(salts), seen.frame.height)


def replayed(experiment: Experiment, samples: pl.LazyFrame, salts: Sequence[str]) -> list[Replayed]:
    """AA tests of every metric over past units, one a salt: the arms are split as declared, and nothing was done to
    them, so the p-values must be uniform."""
    seen = past(experiment, samples)
    control, arms = control_of(experiment), list(experiment.arms)
    columns = {
        name: seen.frame.select(f"{name}:value", f"{name}:denominator").to_numpy().astype(np.float64)
        for name in experiment.metrics
    }
    found: dict[tuple[str, str], list[float]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for salt in salts:
        codes = _codes(experiment, seen, salt)
        for name, pair in columns.items():
            moments = [_moments(pair[codes == arm]) for arm in range(len(arms))]
            for place, arm in enumerate(arms):
                if arm == control:
                    continue
                result = means.compare(moments[arms.index(control)], moments[place], "v", "d", distribution="normal")
                if isinstance(result, NoResult):
                    reasons[name, arm] = result.reason
                else:
                    found.setdefault((name, arm), []).append(result.p_value)
    return [
        _judged(name, arm, found.get((name, arm), []), reasons.get((name, arm), ""))
        for name in columns
        for arm in arms
        if arm != control
    ]


def _judged(metric: str, arm: str, p_values: list[float], reason: str) -> Replayed:
    if not p_values:
        return Replayed(metric, arm, 0, 0.0, 1.0, True, reason or "no unit")
    p_value = float(stats.kstest(p_values, "uniform").pvalue)
    below = float(np.mean(np.array(p_values) < 0.05))
    return Replayed(metric, arm, len(p_values), below, p_value, p_value >= SUSPICION)


def _codes(experiment: Experiment, seen: Past, salt: str) -> NDArray[np.int64]:
    """Arm of each unit by a salt, at full coverage of all buckets."""
    whole = altered(experiment, salt=salt, coverage=100, ramp=[], buckets=(0, 10_000), overrides={})
    names = {name: code for code, name in enumerate(experiment.arms)}
    arms = assigned(whole, seen.frame["unit"])
    return arms.replace_strict(names, default=-1, return_dtype=pl.Int64).to_numpy()


def _unit_values(seen: Past, metric: str) -> NDArray[np.float64]:
    """Each unit's value over the metric's mean denominator, about its ratio: what the delta method averages."""
    value, divisor = (seen.frame[f"{metric}:{part}"].to_numpy().astype(np.float64) for part in ("value", "denominator"))
    total = divisor.sum()
    return value - (value.sum() / total if total else 0.0) * divisor


def _moments(pair: NDArray[np.float64]) -> Any:
    n = len(pair)
    if n < 2:
        return NoResult(f"an arm has {n} units; a variance needs at least 2")
    spread = np.cov(pair, rowvar=False)
    middle = pair.mean(axis=0)
    return from_moments(
        n,
        {"v": float(middle[0]), "d": float(middle[1])},
        {"v": float(spread[0, 0]), "d": float(spread[1, 1])},
        {"d*v": float(spread[0, 1])},
    )
