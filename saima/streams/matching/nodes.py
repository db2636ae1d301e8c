"""Nodes of a rule's conditions: values over the event and over what the partial match has accepted.

Conditions in JSON and expressions of the feature language become the same nodes; equal nodes have equal keys.
Missing (null, NaN, an absent field) follows the feature language: comparisons pass it on, `and`, `or`, `not` are
Kleene's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from saima.features.operators.base import Operator

ENVELOPE = ("key", "type", "time", "seq", "id")
"""Names that mean the event's own columns; every other name is a field of its payload."""

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

OTHER = object()
"""Stands for every event type that a rule does not name."""


@dataclass(frozen=True)
class Node:
    """A value; `key` identifies it by its structure."""

    key: str = field(compare=False, default="")


@dataclass(frozen=True)
class Constant(Node):
    """A literal."""

    value: Any = None


@dataclass(frozen=True)
class Field(Node):
    """A field of the event."""

    name: str = ""


@dataclass(frozen=True)
class Accepted(Node):
    """A value over what a step has accepted in this partial match: a sum, a count, a field of its first or last."""

    kind: Literal["sum", "count", "first", "last"] = "count"
    step: str = ""
    name: str = ""


@dataclass(frozen=True)
class Elapsed(Node):
    """Milliseconds since the last accepted event of this partial match."""


@dataclass(frozen=True)
class Apply(Node):
    """An operation on nodes: a comparison, `and`, `or`, `not`, `has`, `contains`, `starts`, `in`, `+`."""

    operation: str = ""
    args: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Call(Node):
    """An operator of the feature language on nodes, with its constant arguments."""

    operator: Operator | None = field(compare=False, default=None)
    args: tuple[Node, ...] = ()
    names: tuple[str, ...] = ()
    constants: dict[str, Any] = field(compare=False, default_factory=dict)


TRUE = Constant("true", True)
FALSE = Constant("false", False)
ELAPSED = Elapsed("elapsed")


def constant(value: Any) -> Constant:
    """Literal.

    >>> constant("a").key, constant(1).key == constant(True).key
    ("'a'", False)
    """
    if value is True or value is False:
        return TRUE if value else FALSE
    return Constant(repr(value), value)


def event_field(name: str) -> Field:
    """Field of the event."""
    return Field(f"get({name})", name)


def accepted(kind: Literal["sum", "count", "first", "last"], step: str, name: str = "") -> Accepted:
    """Number over a step's accepted events."""
    return Accepted(f"{kind}({step!r}.{name})", kind, step, name)


def apply(operation: str, *args: Node) -> Node:
    """An operation, simplified where constants decide it."""
    if operation in ("and", "or"):
        return _junction(operation, args)
    if operation == "not" and args[0] in (TRUE, FALSE):
        return FALSE if args[0] is TRUE else TRUE
    return Apply(f"{operation}({','.join(arg.key for arg in args)})", operation, args)


def _junction(operation: str, args: tuple[Node, ...]) -> Node:
    neutral, absorbing = (TRUE, FALSE) if operation == "and" else (FALSE, TRUE)
    flat: dict[str, Node] = {}
    for arg in args:
        parts = arg.args if isinstance(arg, Apply) and arg.operation == operation else (arg,)
        flat |= {part.key: part for part in parts if part is not neutral}
    if any(part is absorbing for part in flat.values()):
        return absorbing
    if not flat:
        return neutral
    if len(flat) == 1:
        return next(iter(flat.values()))
    return Apply(f"{operation}({','.join(sorted(flat))})", operation, tuple(flat.values()))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    if isinstance(node, Apply | Call):
        for arg in node.args:
            yield from walk(arg)


def of_event(node: Node) -> bool:
    """Whether the event alone decides the node."""
    return not any(isinstance(part, Accepted | Elapsed) for part in walk(node))


def fields(node: Node) -> set[str]:
    """Fields of the event that the node reads."""
    return {part.name for part in walk(node) if isinstance(part, Field)} | (
        {"time"} if any(isinstance(part, Elapsed) for part in walk(node)) else set()
    )


def types_named(node: Node) -> set[str]:
    """Event types that the node compares with."""
    return {text for part in walk(node) if isinstance(part, Apply) for text in _compared(part)}


def specialise(node: Node, event_type: Any) -> Node:
    """The node for events of one type (OTHER: of a type that no node names)."""
    if isinstance(node, Call):
        return node
    if not isinstance(node, Apply):
        return node
    if _compared(node):
        return _decided(node, event_type)
    return apply(node.operation, *(specialise(arg, event_type) for arg in node.args))


def _compared(node: Apply) -> tuple[str, ...]:
    """Texts that a node compares the event's type with; empty if it is no such comparison."""
    if len(node.args) != 2 or not isinstance(node.args[0], Field) or node.args[0].name != "type":
        return ()
    if not isinstance(node.args[1], Constant):
        return ()
    value = node.args[1].value
    if node.operation in ("==", "!=") and isinstance(value, str):
        return (value,)
    if node.operation == "in" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return ()


def _decided(node: Apply, event_type: Any) -> Node:
    found = event_type in _compared(node)
    return TRUE if found is (node.operation != "!=") else FALSE
