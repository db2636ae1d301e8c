"""Which arm each layer gives a unit: compiled once a deployment, since every request asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xxhash import xxh64_intdigest

from saima.routing.buckets import BUCKETS, PLACES, SEPARATOR, place
from saima.routing.experiments import Assignment, Eligible, Experiment, Reason, Token
from saima.routing.layout import Layout

_SEPARATOR = SEPARATOR.encode()
_new = tuple.__new__  # half of the time of a named tuple's own

UnitOf = Callable[[str], str | None]
Head = tuple[str, str, str, Mapping[str, Any], str | None]
Decided = tuple[str, str, str, Mapping[str, Any], str | None, Reason, float, str]


class Layers:
    """The experiments of an algorithm by layer, in order of the layers' names."""

    def __init__(self, experiments: Sequence[Experiment], layout: Layout | None = None) -> None:
        self._layout = layout = layout or Layout()
        found: dict[str, list[Experiment]] = {}
        for experiment in experiments:
            found.setdefault(experiment.layer, []).append(experiment)
        self._layers = [_Layer(name, found[name], layout) for name in sorted(found)]
        self._steps = [(layer, *layer.plain) for layer in self._layers]
        fields = {layer.plain[0] for layer in self._layers}
        self._pairs = [(salt, arms) for _, salt, arms in (layer.plain for layer in self._layers) if arms is not None]
        self._alike = fields.pop() if len(fields) == 1 and len(self._pairs) == len(self._layers) else None
        self.tokens = any(layer.hands_tokens for layer in self._layers)
        """Whether any experiment takes tokens, so that a caller's are worth reading."""
        place("xxh64", layout.salt, "a")  # refuses a salt that holds the separator
        self._salt = layout.salt.encode()
        outside: list[Reason | None] = [
            None if layout.layer(one.name).domain is None else "outside" for one in self._layers
        ]
        self._blocked = [outside] * BUCKETS if layout.domains else []
        for name, domain in layout.domains.items():
            blocked: list[Reason | None] = [
                "holdout" if domain.holdout else None if layout.layer(one.name).domain in (None, name) else "outside"
                for one in self._layers
            ]
            self._blocked[domain.buckets[0] : domain.buckets[1]] = [blocked] * (domain.buckets[1] - domain.buckets[0])
        self._no_domain = outside

    def resolve(
        self,
        unit_of: UnitOf,
        context: Mapping[str, Any] | None = None,
        eligible: Eligible | None = None,
        tokens: Sequence[Token] = (),
    ) -> list[Assignment]:
        """One assignment a layer.

        `unit_of` gives the unit of a declared unit field; `context` is what eligibility may read; `eligible` judges an
        experiment that declares an eligibility and is never called for another. An override wins over everything, a
        holdout and the domains over a token, a token over the hash.
        """
        units: dict[str, tuple[str, bytes]] = {}
        if not self._blocked and not tokens:
            if self._alike is not None:
                unit = unit_of(self._alike) or ""
                if unit:
                    suffix = _SEPARATOR + unit.encode()
                    return [
                        _new(Assignment, (*arms[xxh64_intdigest(salt + suffix) % BUCKETS], unit))
                        for salt, arms in self._pairs
                    ]
            made: list[Assignment] = []
            last, unit, suffix = None, "", b""
            for layer, field, salt, arms in self._steps:
                if arms is None:
                    made.append(layer.resolve(unit_of, units, context, eligible))
                    continue
                if field != last:
                    last, (unit, suffix) = field, units.get(field) or _unit(unit_of, units, field)
                arm = arms[xxh64_intdigest(salt + suffix) % BUCKETS] if unit else arms[-1]
                made.append(_new(Assignment, (*arm, unit)))
            return made
        blocked = self._domain(unit_of) if self._blocked else [None] * len(self._layers)
        held = {(token[0], token[1]): token for token in tokens}
        return [
            layer.stand(unit_of, reason)
            if reason is not None
            else (layer.keep(unit_of, held, context, eligible) if held else None)
            or layer.resolve(unit_of, units, context, eligible)
            for layer, reason in zip(self._layers, blocked, strict=True)
        ]

    def tokens_of(self, assignments: Sequence[Assignment]) -> list[Token]:
        """What the caller gets to send again: tokens of units in arms of sticky experiments, of joint layers all."""
        kept = ("hashed", "sticky", "penetrated")
        return [
            Token(one.layer, one.experiment, one.arm, one.version)
            for layer, one in zip(self._layers, assignments, strict=True)
            if one.version and (one.reason in kept or (layer.joint and one.reason == "outside"))
            if layer.joint or (one.arm and layer.sticky(one.experiment))
        ]

    def _domain(self, unit_of: UnitOf) -> list[Reason | None]:
        unit = unit_of(self._layout.unit)
        if not unit:
            return self._no_domain
        return self._blocked[xxh64_intdigest(self._salt + _SEPARATOR + unit.encode()) % BUCKETS]


def _unit(unit_of: UnitOf, units: dict[str, tuple[str, bytes]], field: str) -> tuple[str, bytes]:
    unit = unit_of(field) or ""
    known = units[field] = (unit, _SEPARATOR + unit.encode())
    return known


class _Layer:
    """The experiments of one layer.

    plain: unit field, salt and arms by bucket of the only experiment, where hashing it once says everything; the last
    one is that of no unit. Arms are None where it does not.
    """

    __slots__ = ("_experiments", "_named", "_salt", "hands_tokens", "joint", "name", "plain")

    def __init__(self, name: str, experiments: Sequence[Experiment], layout: Layout) -> None:
        self.name = name
        self.joint = layout.layer(name).joint
        salt = layout.salt_of(name)
        place("xxh64", salt, "a")
        self._salt = salt.encode()
        self._experiments = [_Compiled(one, salt) for one in experiments]
        self._named = {one.name: one for one in self._experiments}
        self.hands_tokens = self.joint or any(one.sticky for one in experiments)
        only = self._experiments[0]
        plain = len(experiments) == 1 and only.plain
        self.plain: tuple[str, bytes, list[Decided] | None] = (
            (only.field, *only.by_bucket()) if plain else (only.field, b"", None)
        )

    def sticky(self, experiment: str) -> bool:
        """Whether an experiment's units keep their arms by their tokens."""
        return self._named[experiment].experiment.sticky

    def resolve(
        self,
        unit_of: UnitOf,
        units: dict[str, tuple[str, bytes]],
        context: Mapping[str, Any] | None,
        eligible: Eligible | None,
    ) -> Assignment:
        """By override, else by hash; `units` keeps units and their bytes between layers."""
        field, bucket = "", -1
        for one in self._experiments:
            if one.field != field:
                field, bucket = one.field, -1
                unit, suffix = units.get(field) or _unit(unit_of, units, field)
            if not unit:
                continue
            if one.overrides and unit in one.overrides:
                return _new(Assignment, (*one.overrides[unit], unit))
            if bucket < 0:
                bucket = xxh64_intdigest(self._salt + suffix) % BUCKETS
            if one.first <= bucket < one.last:
                return one.assign(unit, suffix, context, eligible)
        first = self._experiments[0]
        return first.decided(first.outside, "outside", unit_of(first.field) or "")

    def stand(self, unit_of: UnitOf, reason: Reason) -> Assignment:
        """Outside for a reason of the domains, but for an override."""
        for one in self._experiments:
            unit = unit_of(one.field)
            if unit and unit in one.overrides:
                return _new(Assignment, (*one.overrides[unit], unit))
        first = self._experiments[0]
        return Assignment(*first.outside, reason, 1.0, first.version, unit_of(first.field) or "")

    def keep(
        self,
        unit_of: UnitOf,
        held: Mapping[tuple[str, str], Token],
        context: Mapping[str, Any] | None,
        eligible: Eligible | None,
    ) -> Assignment | None:
        """By override, else by the caller's token; None where it has none of this layer that counts."""
        for one in self._experiments:
            token, unit = held.get((self.name, one.name)), unit_of(one.field)
            if not unit or (token is None and unit not in one.overrides):
                continue
            if unit in one.overrides:
                return _new(Assignment, (*one.overrides[unit], unit))
            if token is not None and (self.joint or one.experiment.sticky):
                return one.honour(token, unit, self.joint, context, eligible)
        return None


class _Compiled:
    """One experiment: salts as bytes, arms as ranges with all of an assignment but unit and version."""

    __slots__ = ("_arms", "_hash", "_named", "_salt", "_stale", "_text", "_versions", "experiment", "field", "first",
                 "last", "name", "outside", "overrides", "version")  # fmt: skip

    def __init__(self, experiment: Experiment, layer_salt: str) -> None:
        split = experiment.split
        head = (experiment.layer, experiment.experiment)
        self.experiment = experiment
        self.name, self.field = experiment.experiment, experiment.unit
        self.version = experiment.version(layer_salt)
        self._versions = {self.version, *experiment.honours}
        self.outside: Head = (*head, "", {}, None)
        self._named: dict[str, tuple[Head, float]] = {
            name: ((*head, name, arm.parameters, arm.lineage), arm.weight / 100)
            for name, arm in experiment.arms.items()
        }
        self._stale = self._named[experiment.control][0]
        self._arms: list[tuple[float, float, Decided]] = [
            (start, end, (*self._named[name][0], "hashed", self._named[name][1], self.version))
            for (start, end), name in zip(split.arms, experiment.names, strict=True)
        ]
        self.overrides = {
            unit: (*self._named[arm][0], "override", 1.0, self.version) for unit, arm in experiment.overrides.items()
        }
        self.first, self.last = experiment.buckets
        self._hash, self._salt, self._text = split.hash, split.salt.encode(), split.salt
        place(self._hash, self._text, "a")

    @property
    def plain(self) -> bool:
        """Whether a unit's bucket of the arms' salt alone decides."""
        whole = (self.first, self.last) == (0, BUCKETS)
        return whole and self._hash == "xxh64" and not self.overrides and self.experiment.eligibility is None

    def by_bucket(self) -> tuple[bytes, list[Decided]]:
        """The arms' salt, and what each bucket of it decides."""
        outside: Decided = (*self.outside, "outside", 1.0, self.version)
        arms = [outside] * BUCKETS
        for start, end, arm in reversed(self._arms):
            first, last = bisect_left(PLACES, start), bisect_left(PLACES, end)
            arms[first:last] = [arm] * (last - first)
        return self._salt, [*arms, outside]

    def decided(self, head: Head, reason: Reason, unit: str, propensity: float = 1.0) -> Assignment:
        """An assignment of this experiment."""
        return _new(Assignment, (*head, reason, propensity, self.version, unit))

    def assign(
        self, unit: str, suffix: bytes, context: Mapping[str, Any] | None, eligible: Eligible | None
    ) -> Assignment:
        """The assignment of a unit whose bucket is this experiment's."""
        if not self._may_enter(context, eligible):
            return self.decided(self.outside, "not_eligible", unit)
        if self._hash == "xxh64":
            at = xxh64_intdigest(self._salt + suffix) % BUCKETS / BUCKETS
        else:
            at = place(self._hash, self._text, unit)
        for start, end, arm in self._arms:
            if start <= at < end:
                return _new(Assignment, (*arm, unit))
        return self.decided(self.outside, "outside", unit)

    def honour(
        self, token: Token, unit: str, joint: bool, context: Mapping[str, Any] | None, eligible: Eligible | None
    ) -> Assignment:
        """What a token says; of a version or an arm that is not known, the default arm."""
        if not joint and not self._may_enter(context, eligible):
            return self.decided(self.outside, "not_eligible", unit)
        reason: Reason = "penetrated" if joint else "sticky"
        if token[3] in self._versions:
            if joint and not token[2]:
                return self.decided(self.outside, reason, unit)
            if token[2] in self._named:
                head, propensity = self._named[token[2]]
                return self.decided(head, reason, unit, propensity)
        return self.decided(self._stale, "stale", unit)

    def _may_enter(self, context: Mapping[str, Any] | None, eligible: Eligible | None) -> bool:
        return self.experiment.eligibility is None or bool(eligible and eligible(self.experiment, context or {}))
