"""Experiments as declared, and what one decides for a unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from saima.errors import FieldError, suggest
from saima.features.durations import milliseconds
from saima.routing.arms import Split, ranges
from saima.routing.buckets import BUCKETS, SEPARATOR, Hash
from saima.routing.layout import Range, check_range

if TYPE_CHECKING:
    from pathlib import Path

Reason = Literal["hashed", "override", "not_eligible", "outside", "sticky", "penetrated", "holdout", "stale"]

EXPOSED = frozenset(["hashed", "sticky", "penetrated"])
"""Reasons of an exposure: the hash placed the unit, now or when its token was written."""


class Strict(BaseModel):
    """Unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(Strict):
    """A lineage with parameters, so that a refresh does not end the experiment; weight in percent.

    Without a lineage the arm only sets parameters.
    """

    lineage: str | None = None
    weight: float = Field(ge=0, le=100)
    parameters: dict[str, Any] = {}


class Metric(Strict):
    """What is compared: an expression over sample columns, per unit."""

    value: str
    kind: Literal["mean", "proportion", "ratio"] = "mean"
    denominator: str | None = None
    direction: Literal["lower", "higher"] = "higher"
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    margin: float | None = None


class Analysis(Strict):
    """How the report decides."""

    alpha: float = Field(0.05, gt=0, lt=1)
    method: Literal["fixed", "sequential"] = "sequential"
    covariates: dict[str, str] = Field(
        {}, description="By metric: `before`, the metric itself before the exposure, or an expression that was known."
    )
    winsorise: dict[str, float] = Field({}, description="By metric: share of unit values above which they are capped.")
    segments: list[str] = Field([], description="Columns of the first sample, by whose values effects are shown.")


class Phase(Strict):
    """A step of a ramp: the coverage (percent) from `after` the start on (`2d`), or from the time `at` on."""

    coverage: float = Field(ge=0, le=100)
    after: str | None = None
    at: datetime | None = None

    def due(self, started: int) -> int:
        """When the phase begins, ms UTC; a time without a zone is UTC."""
        if self.at is None:
            return started + milliseconds(self.after or "0s")
        moment = self.at if self.at.tzinfo else self.at.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)


class Experiment(Strict):
    """An experiment of one layer.

    Arms lie in the order of their names, however a file or a stored document orders them.

    The layer's hash maps a unit to one of 10,000 buckets and so to the experiment whose `buckets` [a, b) hold it;
    the experiment's own salt maps it to an arm. A ramp moves `coverage` (percent), never weights.
    """

    experiment: str
    hypothesis: str = ""
    owner: str = "team:saima"
    layer: str
    unit: str = Field("trace", description="`trace`, or a field of the request or the user.")
    salt: str = Field("", description="Salt of the arms; empty: the experiment's name.")
    hash: Hash = "xxh64"
    buckets: Range = (0, BUCKETS)
    arms: dict[str, Arm] = Field(min_length=1)
    control: str = Field("", description="What other arms are compared with; absent: `control`, `champion`, the first.")
    coverage: float = Field(100, ge=0, le=100, description="Percent of its buckets' units; that of the first phase.")
    ramp: list[Phase] = Field([], description="Later phases, each of more coverage than the one before.")
    minimum_duration: str = Field("0s", description="How long it runs at least before anybody decides by it.")
    eligibility: str | None = None
    overrides: dict[str, str] = {}
    sticky: bool = Field(False, description="A unit that sends its token again keeps its arm.")
    honours: list[str] = Field([], description="Earlier versions of the split whose tokens still count.")
    metrics: dict[str, Metric] = {}
    analysis: Analysis = Analysis()

    @model_validator(mode="before")
    @classmethod
    def _with_control(cls, data: Any) -> Any:
        """The first arm is the first that was declared: a stored document does not keep that."""
        if not isinstance(data, dict) or data.get("control") or not isinstance(data.get("arms"), dict):
            return data
        arms = data["arms"]
        named = [name for name in ("control", "champion") if name in arms]
        return {**data, "control": next(iter([*named, *arms]), "")}

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        for field in ("experiment", "layer"):
            if not getattr(self, field):
                raise FieldError(f"'{field}' may not be empty", field)
        for field in ("experiment", "layer", "salt"):
            if SEPARATOR in getattr(self, field):
                raise FieldError(f"'{field}' holds U+001F, which separates salt and unit", field)
        total = sum(arm.weight for arm in self.arms.values())
        if not 99 <= total <= 101:
            raise FieldError(f"weights of the arms sum to {total:g}, not to 100", "arms")
        if self.control not in self.arms:
            raise FieldError(
                f"the control is the unknown arm '{self.control}'{suggest(self.control, self.arms)}; "
                f"known: {', '.join(self.arms)}", "control",
            )  # fmt: skip
        if "" in self.arms:
            raise FieldError("an arm's name may not be empty", "arms")
        for unit, arm in self.overrides.items():
            if arm not in self.arms:
                raise FieldError(
                    f"an override names the unknown arm '{arm}'{suggest(arm, self.arms)}; "
                    f"known: {', '.join(self.arms)}", "overrides", unit,
                )  # fmt: skip
        check_range(self.buckets, "buckets")
        try:
            milliseconds(self.minimum_duration)
        except ValueError as error:
            raise FieldError(str(error), "minimum_duration") from error
        for field in ("covariates", "winsorise"):
            for metric in getattr(self.analysis, field):
                if metric not in self.metrics:
                    known = ", ".join(self.metrics) or "none is declared"
                    raise FieldError(f"unknown metric '{metric}'; known: {known}", "analysis", field, metric)
        for metric, share in self.analysis.winsorise.items():
            if not 0.5 <= share < 1:
                raise FieldError(
                    f"{share:g} is not a share of units from 0.5 up to 1, as 0.99 is", "analysis", "winsorise", metric
                )
        self._check_ramp()
        return self

    def _check_ramp(self) -> None:
        before, begun = self.coverage, 0
        for place, phase in enumerate(self.ramp):
            if (phase.after is None) == (phase.at is None):
                raise FieldError("a phase begins `after` a duration or `at` a time, one of the two", "ramp", place)
            try:
                begins = phase.due(0)
            except ValueError as error:
                raise FieldError(str(error), "ramp", place, "after") from error
            if phase.coverage <= before:
                raise FieldError(
                    f"a phase of {phase.coverage:g} % follows one of {before:g} %: a ramp only grows, or it would take "
                    "units out of their arms",
                    "ramp", place, "coverage",
                )  # fmt: skip
            if (phase.at is None) == (self.ramp[place - 1].at is None) and begins <= begun and place:
                raise FieldError("a phase begins after the one before it", "ramp", place)
            before, begun = phase.coverage, begins

    @cached_property
    def split(self) -> Split:
        """The arms as a split, in the order of `names`."""
        names = self.names
        return Split(
            salt=self.salt or self.experiment,
            hash=self.hash,
            arms=tuple(ranges([self.arms[name].weight / 100 for name in names], self.coverage / 100)),
            overrides={unit: names.index(arm) for unit, arm in self.overrides.items()},
        )

    @property
    def names(self) -> list[str]:
        """Names of the arms as they lie beside each other."""
        return sorted(self.arms)

    def version(self, layer_salt: str = "") -> str:
        """What decides who is in which arm, as 8 hex digits; coverage is no part of it, since it moves nobody."""
        arms = [[name, self.arms[name].weight] for name in self.names]
        what = [self.layer, layer_salt or self.layer, self.experiment, self.unit, self.split.salt, self.hash,
                self.buckets, arms]  # fmt: skip
        return hashlib.sha256(json.dumps(what, ensure_ascii=False).encode()).hexdigest()[:8]


class Token(NamedTuple):
    """What the first resolver hands on, and a caller sends again to stay in its arm; arm "" is outside."""

    layer: str
    experiment: str
    arm: str
    version: str


class Assignment(NamedTuple):
    """What one layer decided for a unit; lineage None and arm "" where the unit is in no arm.

    version: of the split that decided.
    """

    layer: str
    experiment: str
    arm: str
    parameters: Mapping[str, Any]
    lineage: str | None
    reason: Reason
    propensity: float
    version: str
    unit: str

    @property
    def exposure(self) -> bool:
        """Whether the hash decided, so that the answer counts in the analysis."""
        return self.reason in EXPOSED and self.arm != ""


Eligible = Callable[[Experiment, Mapping[str, Any]], bool]


def load_experiments(directory: Path) -> list[Experiment]:
    """Experiments of `<directory>/experiments/*.yaml`, in order of the files; see `declared.read_experiments`.

    Raises DeclarationError naming file, line and column.
    """
    from saima.routing.declared import read_experiments

    return [each.experiment for each in read_experiments(directory).experiments]
