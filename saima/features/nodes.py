"""Typed, sided nodes of a compiled expression: literals, columns and calls of operators."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from saima.features.types import Type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saima.features.operators.base import Operator

Side = Literal["const", "request", "item", "cross"]
"""Where a value lives: nowhere, on the one row of request and user, on each candidate, or on their cross."""

TAME_BITS = 100.0
"""Floats of a frame are tame if none exceeds 2**100 in magnitude; then most overflows are ruled out beforehand."""

RESOURCE = Type("resource")


def join_sides(sides: Iterator[Side] | list[Side]) -> Side:
    """Side of an expression over sides.

    >>> join_sides(["const", "request", "item"])
    'cross'
    """
    found = set(sides) - {"const"}
    if not found:
        return "const"
    if found == {"request"}:
        return "request"
    return "item" if found == {"item"} else "cross"


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A typed value; `key` identifies it by its structure, `bits` bounds log2 of its magnitude in a tame frame."""

    type: Type
    side: Side
    key: str
    bits: float = math.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Constant(Node):
    """A literal, or a resource (a vocabulary, boundaries)."""

    value: Any


@dataclass(frozen=True, eq=False, kw_only=True)
class Column(Node):
    """A column of the inputs, or of another feature where `feature` is true."""

    name: str
    feature: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Call(Node):
    """An operator on nodes, with its constant arguments by name.

    names: the parameter of each argument; a variadic parameter repeats. mapped: the operator runs on each element of
    the list that `operator.maps` names.
    """

    operator: Operator
    args: tuple[Node, ...]
    names: tuple[str, ...]
    constants: dict[str, Any] = field(default_factory=dict)
    mapped: bool = False

    def arg(self, name: str) -> Node:
        """Argument of a parameter."""
        return self.args[self.names.index(name)]


def constant(value: Any, dtype: Type) -> Constant:
    """Literal of a type."""
    return Constant(type=dtype, side="const", key=f"{value!r}:{dtype}", bits=magnitude(value), value=value)


def resource(name: str, value: Any) -> Constant:
    """Vocabulary or boundaries by dotted name."""
    return Constant(type=RESOURCE, side="const", key=name, value=value)


def column(name: str, dtype: Type, side: Side, *, feature: bool = False) -> Column:
    """Column of the inputs or of a feature."""
    bits = 63.0 if dtype.name in ("int64", "timestamp", "decimal") else TAME_BITS
    if feature and dtype.is_float:
        bits = 128.0 if dtype.name == "float32" else math.inf
    return Column(
        type=dtype, side=side, key=f"{'feature ' if feature else ''}{name}", bits=bits, name=name, feature=feature
    )


def call_key(operator: str, args: tuple[Node, ...], constants: dict[str, Any]) -> str:
    """Identity of a call; long ones are digested."""
    inner = ",".join([*(arg.key for arg in args), *(f"{name}={constants[name]!r}" for name in sorted(constants))])
    key = f"{operator}({inner})"
    return key if len(key) <= 160 else f"{operator}#{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def magnitude(value: Any) -> float:
    """log2 of the magnitude of a number, 0 for what is no number or below 1.

    >>> magnitude(-1024)
    10.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    if isinstance(value, float) and not math.isfinite(value):
        return math.inf
    return max(0.0, math.log2(abs(value))) if value else 0.0


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, arguments first."""
    if isinstance(node, Call):
        for arg in node.args:
            yield from walk(arg)
    yield node


def show(node: Node) -> str:
    """Readable text of a node."""
    if isinstance(node, Constant):
        return node.key if node.type == RESOURCE else repr(node.value)
    if isinstance(node, Column):
        return node.name
    if not isinstance(node, Call):
        raise TypeError(type(node))
    parts = [show(arg) for arg in node.args]
    name = node.operator.name
    if name == "if":
        return f"({parts[1]} if {parts[0]} else {parts[2]})"
    if not name[0].isalpha() or name in ("and", "or", "in", "not in"):
        return f"({f' {name} '.join(parts)})"
    texts = {parameter: _text(value) for parameter, value in node.constants.items()}
    return f"{name}({', '.join([*parts, *(f'{parameter}={text}' for parameter, text in texts.items())])})"


def _text(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
