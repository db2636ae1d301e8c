"""What a report says, as one value; pages and metadata are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ab.effects import Effect
from ab.estimates import NoResult
from ab.penetration import Penetration
from ab.plan import Plan
from ab.segments import Segment
from ab.trend import Day, Novelty, Refresh
from ab.trust import Check, Difference
from ab.verdict import Verdict
from saima.routing.experiments import Experiment


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """An arm as declared; units exposed, units with a mature outcome, their samples, versions that answered."""

    name: str
    lineage: str
    parameters: Mapping[str, Any]
    weight: float
    exposed: int
    units: int
    samples: int
    versions: int


@dataclass(frozen=True, slots=True)
class DataPosition:
    """The data a report is made of: samples used, samples left out as not mature, decisions' first and last event time
    and the newest label's (int64 ms UTC), the log offset of the newest sample. None where there is no sample."""

    samples: int
    immature: int
    first: int | None
    last: int | None
    newest_label: int | None
    offset: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """The report of an experiment; `generated` is the wall clock in ms. penetration: of a joint layer, else None."""

    algorithm: str
    experiment: Experiment
    plan: Plan
    control: str
    verdict: Verdict
    checks: tuple[Check, ...]
    arms: tuple[ArmSummary, ...]
    effects: tuple[Effect, ...]
    primary: str
    days: tuple[Day, ...]
    novelty: Novelty | NoResult
    segments: tuple[Segment, ...]
    penetration: Penetration | None
    refreshes: tuple[Refresh, ...]
    differences: tuple[Difference, ...]
    position: DataPosition
    generated: int

    @property
    def trusted(self) -> bool:
        """Whether no trust check failed."""
        return all(check.status != "fail" for check in self.checks)
