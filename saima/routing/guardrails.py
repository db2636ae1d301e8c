"""When a routed version must go back: one-sided, always-valid tests of what the hosts count. Pure functions.

Each rail bounds a share (errors of attempts, degraded answers, slow answers). The evidence against "at most the bound"
is a mixture of likelihood ratios against larger shares: a supermartingale while the share is at most the bound, so
however often anybody looks, it exceeds 1 / alpha with probability alpha at most (Ville). Source: Ramdas, Gruenwald,
Vovk, Shafer (2023), Game-Theoretic Statistics and Safe Anytime-Valid Inference, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saima.features.durations import milliseconds
from saima.routing.deployment import AlgorithmState, Deployment, Transition, rollback
from saima.routing.layout import Guardrails

MARK = "guardrail"
"""Kind of the registry's marks that are the evidence of breaches."""

_FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""How much larger than the bound the shares are that the evidence is against."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of how many."""

    bad: int
    of: int


@dataclass(frozen=True, slots=True)
class Breach:
    """A rail that a routed version has broken; evidence: the likelihood ratio's natural logarithm."""

    algorithm: str
    lineage: str
    publication: int
    rail: str
    bad: int
    of: int
    bound: float
    evidence: float

    @property
    def reason(self) -> str:
        """In words."""
        share = self.bad / self.of
        return f"guardrail {self.rail}: {self.bad:,} of {self.of:,} ({share:.2%}), at most {self.bound:.2%} allowed"


def evidence(counted: Counted, bound: float) -> float:
    """Logarithm of the evidence that the share is above `bound` (0 < bound < 1); 0 of nothing.

    >>> evidence(Counted(1, 100), 0.01) < 0 < evidence(Counted(30, 100), 0.01)
    True
    """
    shares = [share for factor in _FACTORS if (share := bound * factor) < 1] or [(1 + bound) / 2]
    good = counted.of - counted.bad
    ratios = [counted.bad * math.log(share / bound) + good * math.log((1 - share) / (1 - bound)) for share in shares]
    most = max(ratios)
    return most + math.log(sum(math.exp(ratio - most) for ratio in ratios) / len(ratios))


def counts(statuses: Iterable[Mapping[str, Any]], version: tuple[str, str, int], slow_ms: int) -> dict[str, Counted]:
    """What all hosts together have counted of a version (algorithm, lineage, publication), by rail.

    An attempt is an answer or an error; an answer is slow where it took longer than the histogram's bound at, or next
    above, `slow_ms`.
    """
    answers = errors = degraded = slow = 0
    for status in statuses:
        bounds = status.get("bounds", ())
        for row in status.get("traffic", ()):
            if (row["algorithm"], row["lineage"], row["publication"]) == version:
                answers += row["answers"]
                errors += row.get("errors", 0)
                degraded += row.get("degraded", 0)
                slow += _slower(row.get("buckets", ()), bounds, slow_ms)
    return {
        "errors": Counted(errors, answers + errors),
        "degraded": Counted(degraded, answers),
        "slow": Counted(slow, answers),
    }


def breaches(
    deployment: Deployment,
    statuses: Sequence[Mapping[str, Any]],
    marks: Sequence[Mapping[str, Any]],
    now: int,
) -> list[Breach]:
    """The first broken rail of every routed version; a lineage that is held, or cools down after a breach, has none.

    statuses: of the hosts; marks: of the kind `guardrail`, in order; now: ms UTC.
    """
    found = []
    for algorithm, state in deployment.algorithms.items():
        rails = state.layout.guardrails
        cooling = now - milliseconds(rails.cool_down)
        last = {mark["lineage"]: int(mark["at"]) for mark in marks if mark["algorithm"] == algorithm}
        for lineage, one in state.lineages.items():
            if one.routed is None or one.hold is not None or last.get(lineage, cooling) > cooling:
                continue
            version = (algorithm, lineage, one.routed)
            breach = judge(version, counts(statuses, version, rails.slow_ms), rails)
            if breach is not None:
                found.append(breach)
    return found


def judge(version: tuple[str, str, int], counted: Mapping[str, Counted], rails: Guardrails) -> Breach | None:
    """The broken rail with the most evidence, or None."""
    wanted = math.log(1 / rails.alpha)
    broken = [
        Breach(*version, rail, counted[rail].bad, counted[rail].of, bound, found)
        for rail, bound in rails.bounds.items()
        if (found := evidence(counted[rail], bound)) >= wanted
    ]
    return max(broken, key=lambda breach: breach.evidence, default=None)


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


def _slower(buckets: Sequence[int], bounds: Sequence[float], slow_ms: int) -> int:
    """Answers in the buckets above the first bound (s) that is at least `slow_ms`."""
    above = next((place for place, bound in enumerate(bounds) if bound * 1000 >= slow_ms), len(bounds))
    return sum(buckets[above + 1 :])
