"""Which arm each layer gives a unit: compiled once a deployment, since every request asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xxhash import xxh64_intdigest

from saima.routing.buckets import BUCKETS, SEPARATOR, place
from saima.routing.experiments import Assignment, Eligible, Experiment

_SEPARATOR = SEPARATOR.encode()
_new = tuple.__new__  # half of the time of a named tuple's own


class Layers:
    """The experiments of an algorithm by layer, in order of the layers' names."""

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        found: dict[str, list[_Compiled]] = {}
        for experiment in experiments:
            found.setdefault(experiment.layer, []).append(_Compiled(experiment))
        self._layers = [found[name] for name in sorted(found)]

    def resolve(
        self,
        unit_of: Callable[[str], str | None],
        context: Mapping[str, Any] | None = None,
        eligible: Eligible | None = None,
    ) -> list[Assignment]:
        """One assignment a layer.

        `unit_of` gives the unit of a declared unit field; `context` is what eligibility may read; `eligible` judges an
        experiment that declares an eligibility and is never called for another.
        """
        units: dict[str, tuple[str, bytes]] = {}
        made: list[Assignment] = []
        for layer in self._layers:
            for one in layer:
                known = units.get(one.field)
                if known is None:
                    unit = unit_of(one.field) or ""
                    known = units[one.field] = (unit, _SEPARATOR + unit.encode())
                if not known[0]:
                    continue
                assigned = one.assign(known[0], known[1], context or {}, eligible)
                if assigned is not None:
                    made.append(assigned)
                    break
            else:
                first = layer[0]
                made.append(Assignment(*first.outside, "outside", 1.0, unit_of(first.field) or ""))
        return made


class _Compiled:
    """One experiment: salts as bytes, arms as ranges with all of an assignment but the unit."""

    __slots__ = ("_experiment", "_first", "_hash", "_last", "_layer", "_overrides", "_salt", "_text", "arms", "field",
                 "outside")  # fmt: skip

    def __init__(self, experiment: Experiment) -> None:
        split = experiment.split
        head = (experiment.layer, experiment.experiment)
        self.field = experiment.unit
        self.outside: tuple[str, str, str, Mapping[str, Any], None] = (*head, "", {}, None)
        self.arms = [
            (start, end, (*head, name, arm.parameters, arm.lineage, "hashed", arm.weight / 100))
            for (start, end), (name, arm) in zip(split.arms, experiment.arms.items(), strict=True)
        ]
        self._overrides = {unit: (*self.arms[index][2][:5], "override", 1.0) for unit, index in split.overrides.items()}
        self._experiment = experiment
        self._first, self._last = experiment.buckets
        self._hash, self._salt = split.hash, split.salt.encode()
        self._text, self._layer = split.salt, experiment.layer.encode()
        place(self._hash, self._text, "a")  # refuses a salt that holds the separator
        place("xxh64", experiment.layer, "a")

    def assign(
        self, unit: str, suffix: bytes, context: Mapping[str, Any], eligible: Eligible | None
    ) -> Assignment | None:
        """The unit's assignment; None where the layer's bucket of the unit is another experiment's."""
        if unit in self._overrides:
            return _new(Assignment, (*self._overrides[unit], unit))
        if not self._first <= xxh64_intdigest(self._layer + suffix) % BUCKETS < self._last:
            return None
        experiment = self._experiment
        if experiment.eligibility is not None and not (eligible and eligible(experiment, context)):
            return Assignment(*self.outside, "not_eligible", 1.0, unit)
        if self._hash == "xxh64":
            at = xxh64_intdigest(self._salt + suffix) % BUCKETS / BUCKETS
        else:
            at = place(self._hash, self._text, unit)
        for start, end, arm in self.arms:
            if start <= at < end:
                return _new(Assignment, (*arm, unit))
        return Assignment(*self.outside, "outside", 1.0, unit)
