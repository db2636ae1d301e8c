"""Experiments as declared, and what one decides for a unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saima.errors import DeclarationError, Place
from saima.routing.arms import Split, ranges
from saima.routing.buckets import BUCKETS, Hash

Reason = Literal["hashed", "override", "not_eligible", "outside", "sticky", "penetrated", "holdout", "stale"]


class Strict(BaseModel):
    """Unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(Strict):
    """A lineage with parameters, so that a refresh does not end the experiment; weight in percent."""

    lineage: str
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


class Experiment(Strict):
    """An experiment of one layer.

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
    buckets: tuple[int, int] = (0, BUCKETS)
    arms: dict[str, Arm] = Field(min_length=1)
    coverage: float = Field(100, ge=0, le=100)
    eligibility: str | None = None
    overrides: dict[str, str] = {}
    metrics: dict[str, Metric] = {}
    analysis: Analysis = Analysis()

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        total = sum(arm.weight for arm in self.arms.values())
        if not 99 <= total <= 101:
            raise ValueError(f"weights of the arms sum to {total:g}, not to 100")
        unknown = sorted(set(self.overrides.values()) - set(self.arms))
        if unknown:
            raise ValueError(f"overrides name unknown arms {', '.join(unknown)}; known: {', '.join(self.arms)}")
        first, last = self.buckets
        if not 0 <= first < last <= BUCKETS:
            raise ValueError(f"buckets {list(self.buckets)} are not a range inside 0..{BUCKETS}")
        return self

    @cached_property
    def split(self) -> Split:
        """The arms as a split, in declared order."""
        names = list(self.arms)
        return Split(
            salt=self.salt or self.experiment,
            hash=self.hash,
            arms=tuple(ranges([arm.weight / 100 for arm in self.arms.values()], self.coverage / 100)),
            overrides={unit: names.index(arm) for unit, arm in self.overrides.items()},
        )


class Assignment(NamedTuple):
    """What one layer decided for a unit; lineage None and arm "" where the unit is in no arm."""

    layer: str
    experiment: str
    arm: str
    parameters: Mapping[str, Any]
    lineage: str | None
    reason: Reason
    propensity: float
    unit: str

    @property
    def exposure(self) -> bool:
        """Whether the hash decided, so that the answer counts in the analysis."""
        return self.reason == "hashed"


Eligible = Callable[[Experiment, Mapping[str, Any]], bool]


def load_experiments(directory: Path) -> list[Experiment]:
    """Experiments of `<directory>/experiments/*.yaml`, in order of the files.

    Raises DeclarationError naming the file and the field.
    """
    found: list[Experiment] = []
    for path in sorted((directory / "experiments").glob("*.yaml")):
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path), 1, 1)
            raise DeclarationError(f"not YAML: {error.problem}", place) from error
        try:
            found.append(Experiment.model_validate(document))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DeclarationError(f"{where or 'experiment'}: {first['msg']}", Place(str(path), 1, 1)) from error
    return found
