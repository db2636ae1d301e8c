"""The deployment document: what every host should hold and route, changed by pure transitions under compare-and-set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from saima.errors import Conflict, SaimaError, StoreError
from saima.routing.composition import circle
from saima.routing.experiments import Experiment
from saima.routing.layers import Layers
from saima.routing.layout import Freed, Layout
from saima.stores.interfaces import DeploymentRow, Registry

STANDBYS = 1
"""How many earlier publications of a lineage stay warm."""


class Held(SaimaError):
    """A lineage that a rollback has put on hold: only a person or a declared rule routes something new on it."""


class Strict(BaseModel):
    """Unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LineageState(Strict):
    """What a lineage routes (a publication number), what stays warm (newest first), why it is held, what is barred."""

    routed: int | None = None
    standby: list[int] = []
    hold: str | None = None
    quarantined: list[int] = []

    @property
    def wanted(self) -> list[int]:
        """Publications that a host must hold."""
        return ([self.routed] if self.routed is not None else []) + self.standby


class LaneSettings(Strict):
    """Bounded queue and threads of an algorithm, and the deadline of a request that names none."""

    threads: int = Field(1, ge=1, le=64)
    queue: int = Field(64, ge=1, le=100_000)
    deadline_ms: int = Field(1000, ge=1, le=60_000)


class Fallback(Strict):
    """What answers when the routed version cannot: another lineage, else a rule, else a constant score.

    A rule is an expression of the feature language over the fields that the caller sends. The answer is degraded.
    """

    lineage: str | None = None
    rule: str | None = None
    constant: float | None = None


class AlgorithmState(Strict):
    """Routing of one algorithm."""

    lineages: dict[str, LineageState] = {}
    experiments: list[Experiment] = []
    layout: Layout = Layout()
    started: dict[str, int] = Field({}, description="When each experiment started, ms UTC.")
    freed: list[Freed] = Field([], description="Buckets that stay empty for a while after their experiment.")
    default_lineage: str | None = None
    shadow: str | None = Field(None, description="Lineage that gets a copy of every request, after the answer.")
    fallback: Fallback = Fallback()
    lane: LaneSettings = LaneSettings()
    allow_request_time: bool = False

    @cached_property
    def layers(self) -> Layers:
        """The experiments as requests are routed by them."""
        return Layers(self.experiments, self.layout)


class Deployment(Strict):
    """The document; `digest` is the SHA-256 of the rest in canonical JSON."""

    algorithms: dict[str, AlgorithmState] = {}
    digest: str = ""

    def sealed(self) -> dict[str, Any]:
        """The document as JSON data with its digest."""
        body = self.model_dump(mode="json", exclude={"digest"})
        return {**body, "digest": _digest(body)}

    def lineage(self, algorithm: str, lineage: str) -> LineageState:
        """State of a lineage, empty where it has none."""
        return self.algorithms.get(algorithm, AlgorithmState()).lineages.get(lineage, LineageState())


def read_document(document: Mapping[str, Any]) -> Deployment:
    """A deployment from a stored document; {} is the empty one. Raises StoreError for a wrong field or digest."""
    if not document:
        return Deployment()
    try:
        found = Deployment.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"deployment document: {where}: {first['msg']}; the last good epoch stays in force") from error
    body = {key: value for key, value in document.items() if key != "digest"}
    if found.digest != _digest(body):
        raise StoreError("deployment document: its digest does not fit its content; the last good epoch stays in force")
    return found


Transition = Callable[[Deployment], Deployment]


def refresh(algorithm: str, lineage: str, publication: int, standbys: int = STANDBYS) -> Transition:
    """Route a new bundle of a lineage; the one before it stays as standby. Raises Held on a held lineage.

    An older publication than the routed one changes nothing, so that two writers may finish in any order.
    """

    def transition(current: Deployment) -> Deployment:
        state = current.lineage(algorithm, lineage)
        _refuse_held(algorithm, lineage, state, publication)
        if state.routed is not None and publication <= state.routed:
            return current
        return _route(current, algorithm, lineage, state, publication, standbys)

    return transition


def release(algorithm: str, lineage: str, publication: int, standbys: int = STANDBYS) -> Transition:
    """Route any bundle of a lineage, an older one too. Raises Held on a held lineage or a quarantined bundle."""

    def transition(current: Deployment) -> Deployment:
        state = current.lineage(algorithm, lineage)
        _refuse_held(algorithm, lineage, state, publication)
        return _route(current, algorithm, lineage, state, publication, standbys)

    return transition


def rollback(algorithm: str, lineage: str, reason: str) -> Transition:
    """Route the newest standby, quarantine what was routed, and hold the lineage.

    Raises SaimaError where there is nothing to go back to.
    """

    def transition(current: Deployment) -> Deployment:
        state = current.lineage(algorithm, lineage)
        if state.routed is None or not state.standby:
            raise SaimaError(
                f"{algorithm}/{lineage} has no standby to roll back to; `saima status` shows what is routed, "
                "and `saima deploy` routes any published bundle"
            )
        back, *rest = state.standby
        after = LineageState(
            routed=back, standby=rest, hold=reason or "rolled back", quarantined=[*state.quarantined, state.routed]
        )
        return _with_lineage(current, algorithm, lineage, after)

    return transition


def lift_hold(algorithm: str, lineage: str) -> Transition:
    """Let a held lineage take new bundles again."""

    def transition(current: Deployment) -> Deployment:
        state = current.lineage(algorithm, lineage)
        return _with_lineage(current, algorithm, lineage, state.model_copy(update={"hold": None}))

    return transition


def configure(algorithm: str, experiments: Sequence[Experiment] | None = None, **settings: Any) -> Transition:
    """Set fields of an algorithm's state: experiments, layout, default_lineage, shadow, fallback, lane."""

    def transition(current: Deployment) -> Deployment:
        state = current.algorithms.get(algorithm, AlgorithmState())
        changes = settings if experiments is None else {**settings, "experiments": list(experiments)}
        body = state.model_dump(mode="json") | {
            key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for key, value in changes.items()
        }
        return _with_algorithm(current, algorithm, AlgorithmState.model_validate(body))

    return transition


def chain(*transitions: Transition) -> Transition:
    """Several transitions as one epoch."""

    def transition(current: Deployment) -> Deployment:
        for each in transitions:
            current = each(current)
        return current

    return transition


def write(registry: Registry, transition: Transition, author: str, reason: str, attempts: int = 16) -> DeploymentRow:
    """Apply a transition to the newest document and write it; on a lost race it is applied again to what won.

    A transition that changes nothing writes nothing. Raises SaimaError where algorithms would call each other in a
    circle, Conflict after `attempts` lost races, and what the
    transition raises (Held).
    """
    for _ in range(attempts):
        row = registry.deployment()
        before = read_document(row.document)
        after = transition(before)
        if after.sealed() == before.sealed() and row.epoch:
            return row
        refuse_circles(registry, after)
        document = after.sealed()
        try:
            epoch = registry.deploy(row.epoch, document, author, reason)
        except Conflict:
            continue
        return DeploymentRow(epoch, document, author, reason, 0)
    raise Conflict(f"the deployment changed {attempts} times while '{reason}' was being written; try again")


def refuse_circles(registry: Registry, wanted: Deployment) -> None:
    """Raise SaimaError where the wanted versions call each other in a circle."""
    calls: dict[str, set[str]] = {}
    published = {row.publication: row for name in wanted.algorithms for row in registry.bundles(name)}
    for name, state in wanted.algorithms.items():
        for publication in {number for one in state.lineages.values() for number in one.wanted}:
            if publication in published:
                calls.setdefault(name, set()).update(published[publication].manifest.get("calls") or ())
    found = circle(calls)
    if found:
        raise SaimaError(f"algorithms would call each other in a circle: {' -> '.join(found)}; nothing was deployed")


def restore(registry: Registry, author: str) -> DeploymentRow:
    """Write the newest whole document anew, above a damaged one. Raises StoreError where no epoch is whole."""
    whole = next(iter(registry.deployments(1000)), None)
    if whole is None:
        raise StoreError("no epoch of the deployment is whole; deploy a published bundle to start anew")
    reason = f"restores epoch {whole.epoch}"
    for expected in range(whole.epoch, whole.epoch + 1000):
        try:
            epoch = registry.deploy(expected, whole.document, author, reason)
        except Conflict:
            continue
        return DeploymentRow(epoch, whole.document, author, reason, 0)
    raise Conflict("the deployment changes faster than it can be restored; try again")


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_held(algorithm: str, lineage: str, state: LineageState, publication: int) -> None:
    if state.hold is not None:
        raise Held(f"{algorithm}/{lineage} is on hold ({state.hold}); `saima rollback {algorithm} --lift` lifts it")
    if publication in state.quarantined:
        raise Held(f"publication {publication} of {algorithm}/{lineage} is quarantined")


def _route(
    current: Deployment, algorithm: str, lineage: str, state: LineageState, publication: int, standbys: int
) -> Deployment:
    before = [p for p in state.wanted if p != publication]
    after = state.model_copy(update={"routed": publication, "standby": before[:standbys]})
    return _with_lineage(current, algorithm, lineage, after)


def _with_lineage(current: Deployment, algorithm: str, lineage: str, state: LineageState) -> Deployment:
    owner = current.algorithms.get(algorithm, AlgorithmState())
    changed = owner.model_copy(
        update={
            "lineages": {**owner.lineages, lineage: state},
            "default_lineage": owner.default_lineage or lineage,
        }
    )
    return _with_algorithm(current, algorithm, changed)


def _with_algorithm(current: Deployment, algorithm: str, state: AlgorithmState) -> Deployment:
    return Deployment(algorithms={**current.algorithms, algorithm: state})
