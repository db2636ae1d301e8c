"""States and edges of an automaton."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from saima.streams.matching.guards import NEVER, Guard, every, negate

Action = Literal["take", "ignore", "proceed"]
Kind = Literal["normal", "final", "stop", "pending"]


@dataclass
class Edge:
    """A transition; greedy steps tighten guards of edges that stand already."""

    action: Action
    source: State
    target: State
    guard: Guard


@dataclass(eq=False)
class State:
    """A state; `step` is the step whose events it takes, `gap` the time since the previous one that ends it."""

    name: str
    step: str
    kind: Kind
    gap: int | None = None
    start: bool = False
    edges: list[Edge] = field(default_factory=list)

    def add(self, action: Action, target: State, guard: Guard) -> None:
        """Add an edge; one that never holds is none."""
        if guard is not NEVER:
            self.edges.append(Edge(action, self, target, guard))

    def tighten(self, take: Guard) -> None:
        """Follow a greedy step: nothing leaves this state with an event that the step takes."""
        for edge in self.edges:
            edge.guard = every(edge.guard, negate(take))
