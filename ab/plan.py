"""How an experiment is to be analysed beyond its metrics: covariates, caps, segments, ramp phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saima.features.durations import milliseconds
from saima.routing.experiments import Experiment

_DAY = 86_400_000

BEFORE = "before"
"""The covariate of a metric that is the metric itself, before the unit's first exposure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an analysis, made before the data are seen.

    covariates: by metric, `before` (the metric itself over the unit's samples before its first exposure) or an
    expression over the columns of the unit's first sample, which was known before the outcome. winsorise: by metric,
    the share of unit values (0.99) above which values are capped, pooled over arms. segments: columns of the first
    sample, each by value. phases: times (int64 ms) at which the coverage moved; none: those of a declared ramp.
    minimum_days: days of decisions before which a verdict is early.
    """

    covariates: Mapping[str, str] = field(default_factory=dict)
    winsorise: Mapping[str, float] = field(default_factory=dict)
    segments: Sequence[str] = ()
    phases: Sequence[int] = ()
    minimum_days: int = 0

    def __post_init__(self) -> None:
        for metric, share in self.winsorise.items():
            if not 0.5 <= share < 1:
                raise ValueError(f"winsorise.{metric}: {share} is not a share of units from 0.5 up to 1, as 0.99 is")


def declared(experiment: Experiment) -> Plan:
    """The plan that an experiment declares: what its `analysis` says of covariates, caps and segments."""
    analysis = experiment.analysis.model_dump()
    duration: str = experiment.model_dump().get("minimum_duration", "0s")
    return Plan(
        covariates=analysis.get("covariates", {}),
        winsorise=analysis.get("winsorise", {}),
        segments=analysis.get("segments", ()),
        minimum_days=-(-milliseconds(duration) // _DAY),
    )


def phases(experiment: Experiment, plan: Plan, started: int | None) -> Sequence[int]:
    """When the coverage moved; `started` is the first exposure."""
    ramp: Sequence[Any] = getattr(experiment, "ramp", ())
    return plan.phases or ([each.due(started) for each in ramp] if started is not None else [])
