"""The routing table: an immutable value that one attribute store replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from saima.host.lease import Slot
from saima.routing.deployment import AlgorithmState, Deployment


@dataclass(frozen=True)
class Route:
    """Routing of one algorithm: its state in the document and the slot that answers for each lineage."""

    state: AlgorithmState
    slots: Mapping[str, Slot]

    @property
    def default(self) -> Slot | None:
        """Slot of the default lineage, or of any that has one."""
        wanted = self.slots.get(self.state.default_lineage or "")
        return wanted or next(iter(self.slots.values()), None)


@dataclass(frozen=True)
class RoutingTable:
    """Which version answers, by algorithm, under one epoch."""

    epoch: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)

    def routed(self) -> set[Slot]:
        """Slots that answer."""
        return {slot for route in self.routes.values() for slot in route.slots.values()}


def build(epoch: int, desired: Deployment, slots: Iterable[Slot], before: RoutingTable) -> RoutingTable:
    """The table that the ready slots allow.

    A lineage is answered by its routed version; until that is ready by the one that answered before, else by the newest
    ready standby, else by nothing.
    """
    ready = {(s.algorithm, s.lineage, s.publication): s for s in slots if s.state == "ready"}
    routes: dict[str, Route] = {}
    for name, state in desired.algorithms.items():
        earlier = before.routes.get(name)
        chosen: dict[str, Slot] = {}
        for lineage, wanted in state.lineages.items():
            held = [ready.get((name, lineage, publication)) for publication in wanted.wanted]
            kept = earlier.slots.get(lineage) if earlier else None
            if wanted.routed is None:
                continue
            candidates = [held[0], kept if kept and kept.state == "ready" else None, *held[1:]]
            slot = next((candidate for candidate in candidates if candidate), None)
            if slot:
                chosen[lineage] = slot
        routes[name] = Route(state, chosen)
    return RoutingTable(epoch, routes)
