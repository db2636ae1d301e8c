"""Whom a change of an experiment would move: as a share of all units, from the ranges; of units seen, one by one."""

from __future__ import annotations

from dataclasses import dataclass

from saima.routing.buckets import BUCKETS
from saima.routing.experiments import Arm, Experiment
from saima.routing.layout import Layout, overlap

_NOTHING = 1e-12


@dataclass(frozen=True)
class Moves:
    """Shares of all units that had an arm before: now in another one (or in one that means something else), in none."""

    between: float
    out: float

    @property
    def total(self) -> float:
        """Both."""
        return self.between + self.out

    def __str__(self) -> str:
        parts = [
            f"{share:.2%} of all units ({share * BUCKETS:,.0f} of {BUCKETS:,} buckets) {where}"
            for share, where in ((self.between, "would change arm"), (self.out, "would leave their arm for none"))
            if share > 0
        ]
        return " and ".join(parts) or "nobody would change arm"


def moves(before: Experiment | None, after: Experiment | None, old: Layout, new: Layout) -> Moves:
    """Shares of units that a change would move; overrides, eligibility and tokens aside.

    Buckets and positions are uniform. Where a salt, a hash or the unit changes, what it placed is as good as drawn
    anew.
    """
    if before is None:
        return Moves(0.0, 0.0)
    held, placed = _domain_share(before, old) * _length(before), _mass(before)
    had = held * placed
    if after is None:
        return Moves(0.0, _clean(had))
    meet, kept_domain = _meet(before, after, old, new)
    same_arms = (before.split.salt, before.hash, before.unit) == (after.split.salt, after.hash, after.unit)
    inside = kept_domain * meet
    if same_arms:
        stay = inside * sum(
            _shared(one, other) for (one, mine), (other, theirs) in _pairs(before, after) if _alike(mine, theirs)
        )
        still = inside * sum(_shared(one, other) for (one, _), (other, _) in _pairs(before, after))
    else:
        stay = inside * sum(
            (one[1] - one[0]) * (other[1] - other[0])
            for (one, mine), (other, theirs) in _pairs(before, after)
            if _alike(mine, theirs)
        )
        still = inside * placed * _mass(after)
    return Moves(_clean(still - stay), _clean(had - still))


def _alike(mine: tuple[str, Arm], theirs: tuple[str, Arm]) -> bool:
    (name, arm), (other, changed) = mine, theirs
    return name == other and (arm.lineage, arm.parameters) == (changed.lineage, changed.parameters)


def _pairs(
    before: Experiment, after: Experiment
) -> list[tuple[tuple[tuple[float, float], tuple[str, Arm]], tuple[tuple[float, float], tuple[str, Arm]]]]:
    mine = list(zip(before.split.arms, _arms(before), strict=True))
    theirs = list(zip(after.split.arms, _arms(after), strict=True))
    return [(one, other) for one in mine for other in theirs]


def _arms(experiment: Experiment) -> list[tuple[str, Arm]]:
    return [(name, experiment.arms[name]) for name in experiment.names]


def _shared(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(0.0, min(one[1], other[1], 1.0) - max(one[0], other[0]))


def _mass(experiment: Experiment) -> float:
    return sum(max(0.0, min(end, 1.0) - start) for start, end in experiment.split.arms)


def _length(experiment: Experiment) -> float:
    return (experiment.buckets[1] - experiment.buckets[0]) / BUCKETS


def _meet(before: Experiment, after: Experiment, old: Layout, new: Layout) -> tuple[float, float]:
    """Share of units whose bucket was and is the experiment's, and whose domain was and is its layer's."""
    same = (old.salt_of(before.layer), before.unit) == (new.salt_of(after.layer), after.unit)
    shared = overlap(before.buckets, after.buckets)
    met = ((shared[1] - shared[0]) / BUCKETS if shared else 0.0) if same else _length(before) * _length(after)
    if (old.salt, old.unit) == (new.salt, new.unit):
        return met, len(_open(before, old) & _open(after, new)) / BUCKETS
    return met, _domain_share(before, old) * _domain_share(after, new)


def _domain_share(experiment: Experiment, layout: Layout) -> float:
    return len(_open(experiment, layout)) / BUCKETS


def _open(experiment: Experiment, layout: Layout) -> set[int]:
    """Buckets of the domains' salt whose units the experiment's layer may have."""
    wanted = layout.layer(experiment.layer).domain
    if wanted is not None:
        return set(range(*layout.domains[wanted].buckets))
    closed = [domain.buckets for domain in layout.domains.values() if domain.holdout]
    return set(range(BUCKETS)).difference(*(range(*one) for one in closed))


def _clean(share: float) -> float:
    return share if share > _NOTHING else 0.0
