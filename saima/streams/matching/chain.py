"""The chain of a rule's steps, as the automaton is built from: the last step, each with the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saima.streams.matching import nodes
from saima.streams.matching.conditions import Reader
from saima.streams.matching.errors import Problems
from saima.streams.matching.grammar import Element, Group, Rule, Step
from saima.streams.matching.nodes import Node

Contiguity = Literal["strict", "relaxed", "any", "not_next", "not_followed_by"]

CONTIGUITY: dict[str, Contiguity] = {
    "next": "strict",
    "followed_by": "relaxed",
    "followed_by_any": "any",
    "not_next": "not_next",
    "not_followed_by": "not_followed_by",
}


@dataclass(frozen=True, eq=False)
class Link:
    """A step or a group.

    least, most: repetitions; most None for a loop without end. gap: milliseconds since the previous accepted event
    below which this step accepts; `condition` holds its lower bound. group: last link of the group's own chain.
    """

    name: str
    condition: Node
    contiguity: Contiguity
    inner: Contiguity
    least: int
    most: int | None
    optional: bool
    greedy: bool
    until: Node | None
    gap: int | None
    previous: Link | None
    group: Link | None = None

    @property
    def repeats(self) -> bool:
        """Whether a number of repetitions is declared other than one."""
        return self.most is None or self.most > 1 or self.least > 1


def make_chain(rule: Rule, problems: Problems, fields: frozenset[str] | None) -> Link:
    """Chain of a rule whose shape is right; mistakes in its conditions go to `problems`."""
    reader = _Chain(problems, fields)
    link = reader.chain(rule.pattern, "$.pattern")
    assert link is not None
    return link


class _Chain:
    def __init__(self, problems: Problems, fields: frozenset[str] | None) -> None:
        self.problems = problems
        self.fields = fields
        self.steps: list[str] = []
        self.groups = 0

    def chain(self, elements: list[Element], path: str) -> Link | None:
        last: Link | None = None
        for i, element in enumerate(elements):
            place = f"{path}[{i}]"
            last = self.group(element, place, last) if isinstance(element, Group) else self.step(element, place, last)
        return last

    def step(self, step: Step, path: str, previous: Link | None) -> Link:
        self.steps.append(step.name)
        reader = Reader(self.problems, step.name, list(self.steps), self.fields)
        condition = reader.condition(step.where, f"{path}.where")
        least_gap, gap = step.gap_ms if isinstance(step.gap_ms, tuple) else (0, step.gap_ms)
        if least_gap:
            condition = nodes.apply("and", condition, nodes.apply(">=", nodes.ELAPSED, nodes.constant(least_gap)))
        until = reader.condition(step.until, f"{path}.until") if step.until is not None else None
        return self.link(step, step.name, condition, until, gap, previous, None)

    def group(self, group: Group, path: str, previous: Link | None) -> Link:
        self.groups += 1
        name = group.name or f"group {self.groups}"
        inside = self.chain(group.group, f"{path}.group")
        reader = Reader(self.problems, name, list(self.steps), self.fields)
        until = reader.condition(group.until, f"{path}.until") if group.until is not None else None
        return self.link(group, name, nodes.TRUE, until, None, previous, inside)

    def link(
        self,
        element: Element,
        name: str,
        condition: Node,
        until: Node | None,
        gap: int | None,
        previous: Link | None,
        group: Link | None,
    ) -> Link:
        least, most = repetitions(element)
        return Link(
            name,
            condition,
            CONTIGUITY[element.after] if element.after else "strict",
            element.inner or "relaxed",
            max(least, 1),
            most,
            element.optional or least == 0,
            isinstance(element, Step) and element.greedy,
            until,
            gap,
            previous,
            group,
        )


def repetitions(element: Element) -> tuple[int, int | None]:
    """Least and greatest number of repetitions of a step or group."""
    if element.times is None:
        return 1, 1
    return element.times if isinstance(element.times, tuple) else (element.times, element.times)
