"""Guards of an automaton's edges: true or false, never missing. A condition that is missing does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from saima.streams.matching import nodes
from saima.streams.matching.closures import Shared, Test
from saima.streams.matching.nodes import Node


@dataclass(frozen=True)
class Guard:
    """A boolean over the event and the partial match."""

    key: str = field(default="")


@dataclass(frozen=True)
class Holds(Guard):
    """A condition holds."""

    node: Node = field(compare=False, default=nodes.TRUE)


@dataclass(frozen=True)
class Joined(Guard):
    """All (or any) of several guards."""

    every: bool = True
    parts: tuple[Guard, ...] = field(compare=False, default=())


@dataclass(frozen=True)
class Inverse(Guard):
    """A guard does not hold."""

    inner: Guard = field(compare=False, default_factory=Guard)


ALWAYS = Guard("always")
NEVER = Guard("never")


def holds(node: Node) -> Guard:
    """The guard of a condition."""
    if isinstance(node, nodes.Constant):
        return ALWAYS if node.value is True else NEVER
    return Holds(node.key, node)


def negate(guard: Guard) -> Guard:
    """The opposite guard."""
    if guard is ALWAYS:
        return NEVER
    if guard is NEVER:
        return ALWAYS
    if isinstance(guard, Inverse):
        return guard.inner
    return Inverse(f"!{guard.key}", guard)


def every(*guards: Guard) -> Guard:
    """All guards hold."""
    return _join(True, guards, ALWAYS, NEVER)


def either(*guards: Guard) -> Guard:
    """At least one guard holds."""
    return _join(False, guards, NEVER, ALWAYS)


def _join(all_: bool, guards: tuple[Guard, ...], neutral: Guard, absorbing: Guard) -> Guard:
    parts: dict[str, Guard] = {}
    for guard in guards:
        inner = guard.parts if isinstance(guard, Joined) and guard.every is all_ else (guard,)
        parts |= {part.key: part for part in inner if part is not neutral}
    if any(part is absorbing or negate(part).key in parts for part in parts.values()):
        return absorbing
    if len(parts) <= 1:
        return next(iter(parts.values()), neutral)
    sign = "&" if all_ else "|"
    return Joined(f"({sign.join(parts)})", all_, tuple(parts.values()))


def specialised(guard: Guard, event_type: Any) -> Guard:
    """The guard for events of one type."""
    match guard:
        case Holds():
            return holds(nodes.specialise(guard.node, event_type))
        case Inverse():
            return negate(specialised(guard.inner, event_type))
        case Joined():
            parts = [specialised(part, event_type) for part in guard.parts]
            return every(*parts) if guard.every else either(*parts)
    return guard


def conditions(guard: Guard) -> Iterator[Node]:
    """Conditions below a guard."""
    match guard:
        case Holds():
            yield guard.node
        case Inverse():
            yield from conditions(guard.inner)
        case Joined():
            for part in guard.parts:
                yield from conditions(part)


def compiled(guard: Guard, shared: Shared) -> Test | None:
    """Closure of a guard; None if it always holds. A guard that never holds has no edge."""
    match guard:
        case Holds():
            return shared.test(guard.node)
        case Inverse():
            inner = compiled(guard.inner, shared)
            assert inner is not None
            return lambda facts, cell: not inner(facts, cell)
        case Joined():
            parts = [test for part in guard.parts if (test := compiled(part, shared)) is not None]
            if guard.every:
                return lambda facts, cell: all(part(facts, cell) for part in parts)
            return lambda facts, cell: any(part(facts, cell) for part in parts)
    assert guard is ALWAYS
    return None
