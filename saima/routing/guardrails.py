"""When a routed version must go back, and an experiment must end: one-sided, always-valid tests. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saima.features.durations import milliseconds
from saima.routing.deployment import AlgorithmState, Deployment, Transition, rollback
from saima.routing.evidence import Counted, of_ratio
from saima.routing.experiments import Experiment
from saima.routing.rails import Guardrails
from saima.routing.running import stop
from saima.routing.watch import Found, Watch, found, of_counts

MARK = "guardrail"
"""Kind of the registry's marks that are the evidence of breaches."""

Version = tuple[str, str, int]
"""Algorithm, lineage and publication."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rail that a routed version has broken; evidence: natural logarithm. bad: how many, or a sum of errors."""

    algorithm: str
    lineage: str
    publication: int
    rail: str
    bad: float
    of: int
    bound: float
    evidence: float

    @property
    def reason(self) -> str:
        """In words."""
        share = self.bad / self.of
        if self.rail == "calibration":
            return (
                f"guardrail calibration: label less score is {share:+.4g} on average of {self.of:,} matured decisions, "
                f"from {-self.bound:g} to {self.bound:g} is allowed"
            )
        return f"guardrail {self.rail}: {self.bad:,} of {self.of:,} ({share:.2%}), at most {self.bound:.2%} allowed"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An experiment whose arms' sizes do not fit its weights: units by arm, against the shares; evidence as above."""

    algorithm: str
    experiment: str
    counts: Mapping[str, int]
    shares: Mapping[str, float]
    evidence: float

    @property
    def reason(self) -> str:
        """In words."""
        total = sum(self.counts.values())
        sizes = ", ".join(
            f"{arm} {count:,} ({count / total:.2%}, designed {self.shares[arm]:.2%})"
            for arm, count in self.counts.items()
        )
        return f"guardrail srm: the arms' sizes do not fit the design: {sizes}"


def counts(statuses: Iterable[Mapping[str, Any]], version: Version, slow_ms: int) -> dict[str, Counted]:
    """What all hosts together have counted of a version, by rail.

    An attempt is an answer or an error; what is rejected is of the attempts and of itself. An answer is slow where it
    took longer than the histogram's bound at, or next above, `slow_ms`.
    """
    answers = errors = rejected = degraded = slow = 0
    for status in statuses:
        bounds = status.get("bounds", ())
        for row in status.get("traffic", ()):
            if (row["algorithm"], row["lineage"], row["publication"]) == version:
                answers += row["answers"]
                errors += row.get("errors", 0)
                rejected += row.get("rejected", 0)
                degraded += row.get("degraded", 0)
                slow += _slower(row.get("buckets", ()), bounds, slow_ms)
    return {
        "errors": Counted(errors, answers + errors),
        "rejected": Counted(rejected, answers + errors + rejected),
        "degraded": Counted(degraded, answers),
        "slow": Counted(slow, answers),
    }


def breaches(
    deployment: Deployment,
    statuses: Sequence[Mapping[str, Any]],
    marks: Sequence[Mapping[str, Any]],
    now: int,
    watches: Mapping[tuple[str, str], Watch] | None = None,
) -> list[Breach]:
    """The first broken rail of every routed version; a lineage that is held, or cools down after a breach, has none.

    The versions of an algorithm share its lane: of them only the one with the most evidence is blamed for what the
    lane rejects, and after that nobody until it has cooled down.
    statuses: of the hosts; marks: of the kind `guardrail`, in order; now: ms UTC; watches: by algorithm and lineage.
    """
    broken = []
    for algorithm, state in deployment.algorithms.items():
        rails = state.layout.guardrails
        cooling = now - milliseconds(rails.cool_down)
        recent = [mark for mark in marks if mark["algorithm"] == algorithm and int(mark["at"]) > cooling]
        cool = {mark.get("lineage") for mark in recent}
        blamed = any(mark["rail"] == "rejected" for mark in recent)
        told: dict[Version, list[Found]] = {}
        for lineage, one in state.lineages.items():
            if one.routed is None or one.hold is not None or lineage in cool:
                continue
            version = (algorithm, lineage, one.routed)
            watch = (watches or {}).get((algorithm, lineage))
            told[version] = over(counts(statuses, version, rails.slow_ms), rails)
            if watch is not None and watch.publication == one.routed:
                told[version] += _broken(found(watch, rails))
        lane = [each.evidence for rows in told.values() for each in rows if each.rail == "rejected"]
        for version, rows in told.items():
            kept = [row for row in rows if row.rail != "rejected" or (not blamed and row.evidence == max(lane))]
            breach = worst(version, kept)
            if breach is not None:
                broken.append(breach)
    return broken


def over(counted: Mapping[str, Counted], rails: Guardrails) -> list[Found]:
    """The broken ones of the rails that hosts count."""
    wanted = math.log(1 / rails.alpha)
    return _broken(
        of_counts(rail, counted[rail], bound, wanted) for rail, bound in rails.bounds.items() if rail in counted
    )


def worst(version: Version, rows: Iterable[Found]) -> Breach | None:
    """The broken rail with the most evidence beyond what is wanted, or None."""
    most = max(rows, key=lambda row: row.evidence - row.wanted, default=None)
    return None if most is None else Breach(*version, most.rail, most.bad, most.of, most.bound, most.evidence)


def mismatch(algorithm: str, experiment: Experiment, units: Mapping[str, int], rails: Guardrails) -> Mismatch | None:
    """Whether an experiment's units by arm do not fit its weights. An experiment of one arm has no ratio."""
    weights = {name: experiment.arms[name].weight for name in experiment.names if experiment.arms[name].weight > 0}
    if len(weights) < 2:
        return None
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    seen = {name: units.get(name, 0) for name in weights}
    evidence = of_ratio(list(seen.values()), list(shares.values()))
    if evidence < math.log(1 / rails.alpha):
        return None
    return Mismatch(algorithm, experiment.experiment, seen, shares, evidence)


def back(breach: Breach) -> Transition:
    """Route the last good standby instead of the version, quarantine it and hold the lineage, in one epoch.

    It changes nothing where another version is routed by now, or the lineage has no standby.
    """

    def transition(current: Deployment) -> Deployment:
        state = current.algorithms.get(breach.algorithm, AlgorithmState())
        lineage = state.lineages.get(breach.lineage)
        if lineage is None or lineage.routed != breach.publication or not lineage.standby:
            return current
        return rollback(breach.algorithm, breach.lineage, breach.reason)(current)

    return transition


def ended(wrong: Mismatch, started: int | None, now: int) -> Transition:
    """End the experiment, as `saima ab stop` does. It changes nothing where another one of its name runs by now.

    started: when the experiment started that was looked at (ms UTC).
    """

    def transition(current: Deployment) -> Deployment:
        state = current.algorithms.get(wrong.algorithm, AlgorithmState())
        runs = any(one.experiment == wrong.experiment for one in state.experiments)
        if not runs or state.started.get(wrong.experiment) != started:
            return current
        return stop(wrong.algorithm, wrong.experiment, now)(current)

    return transition


def _broken(rows: Iterable[Found]) -> list[Found]:
    return [row for row in rows if row.evidence >= row.wanted and row.of]


def _slower(buckets: Sequence[int], bounds: Sequence[float], slow_ms: int) -> int:
    """Answers in the buckets above the first bound (s) that is at least `slow_ms`."""
    above = next((place for place, bound in enumerate(bounds) if bound * 1000 >= slow_ms), len(bounds))
    return sum(buckets[above + 1 :])
