"""From a position in [0, 1) to an arm: ranges that a ramp widens without moving anyone, gates, overrides, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from saima.routing.buckets import place

Range = tuple[float, float]


def ranges(weights: Sequence[float], coverage: float = 1.0) -> list[Range]:
    """Half-open range of each arm: it starts at the sum of the earlier weights and is `coverage * weight` long.

    So coverage moves no arm's start, and a ramp changes nobody's arm. Raises ValueError for a coverage outside 0..1,
    a negative weight, no weights, or a sum outside 0.99..1.01.
    """
    if not 0 <= coverage <= 1:
        raise ValueError(f"coverage {coverage} is outside 0..1")
    if not weights or min(weights) < 0:
        raise ValueError(f"weights {list(weights)} must be one number >= 0 or more")
    if not 0.99 <= sum(weights) <= 1.01:
        raise ValueError(f"weights {list(weights)} sum to {sum(weights)}, not to 1")
    starts = [sum(weights[:index]) for index in range(len(weights))]
    return [(start, start + coverage * weight) for start, weight in zip(starts, weights, strict=True)]


def choose(arms: Sequence[Range], n: float) -> int | None:
    """Index of the first range [a, b) that holds n, or None."""
    return next((index for index, (start, end) in enumerate(arms) if start <= n < end), None)


@dataclass(frozen=True)
class Gate:
    """A unit is inside when its position under this gate's own salt lies in `[range[0], range[1])`."""

    salt: str
    range: Range
    hash: str = "xxh64"

    def holds(self, unit: str) -> bool:
        """Whether the unit is inside."""
        return self.range[0] <= place(self.hash, self.salt, unit) < self.range[1]


@dataclass(frozen=True)
class Choice:
    """What a split decided: the arm's index (None: outside) and whether it came from the hash, so is an exposure."""

    arm: int | None
    exposed: bool
    reason: str


@dataclass(frozen=True)
class Split:
    """A division of units into arms."""

    salt: str
    arms: tuple[Range, ...]
    hash: str = "xxh64"
    gates: tuple[Gate, ...] = ()
    force: int | None = None
    overrides: Mapping[str, int] = field(default_factory=dict)

    def assign(self, unit: str | None) -> Choice:
        """Arm of a unit; an override wins over everything, gates over the hash, and no unit is outside."""
        if not unit:
            return Choice(None, False, "outside")
        if unit in self.overrides:
            return Choice(self.overrides[unit], False, "override")
        if not all(gate.holds(unit) for gate in self.gates):
            return Choice(None, False, "outside")
        arm = choose(self.arms, place(self.hash, self.salt, unit))
        if arm is None:
            return Choice(None, False, "outside")
        if self.force is not None:
            return Choice(self.force, False, "override")
        return Choice(arm, True, "hashed")


Stored = Mapping[str, Mapping[str, int]]
"""Arms by experiment version, by `attribute||value`: what a caller keeps for stickiness and sends again."""


@dataclass(frozen=True)
class Sticky:
    """Outcome of a sticky assignment: the arm, the unit's position, whether the stored arm was used, what to store."""

    arm: int | None
    place: float | None
    used: bool
    stored: Stored


@dataclass(frozen=True)
class Stickiness:
    """Where a unit comes from and which stored versions still count."""

    attribute: str
    fallback: str | None = None
    version: int = 0
    least: int = 0
    enabled: bool = True


def stick(split: Split, rule: Stickiness, attributes: Mapping[str, str], stored: Stored) -> Sticky:
    """The stored arm where one of this version is stored, else the hashed one and the document that remembers it."""
    names = [name for name in (rule.attribute, rule.fallback) if name and attributes.get(name)]
    if not names:
        return Sticky(None, None, False, stored)
    unit = attributes[names[0]]
    known: dict[str, int] = {}
    for name in reversed(names):
        known |= stored.get(f"{name}||{attributes[name]}", {})
    n = place(split.hash, split.salt, unit)
    if not rule.enabled:
        return Sticky(split.assign(unit).arm, n, False, stored)
    if any(int(version) < rule.least for version in known):
        return Sticky(None, None, False, stored)
    used = str(rule.version) in known
    arm = known[str(rule.version)] if used else split.assign(unit).arm
    if arm is None:
        return Sticky(None, n, False, stored)
    document = f"{names[0]}||{unit}"
    kept = {**stored, document: {**stored.get(document, {}), str(rule.version): arm}}
    return Sticky(arm, n, used, kept)
