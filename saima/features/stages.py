"""Stages of a plan: which subexpressions are shared, and what can be computed when, by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saima.features.nodes import Call, Column, Node, Side, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saima.features.types import Type

_SIDES: tuple[Side, ...] = ("const", "request", "item", "cross")


@dataclass(frozen=True)
class Computed:
    """A feature ready to be planned: the node of its final value before the default."""

    name: str
    node: Node
    dtype: Type
    default: Any


@dataclass(frozen=True)
class Stage:
    """Shared subexpressions and features of one side that need nothing but inputs and earlier stages."""

    names: tuple[str, ...]
    side: Side
    level: int
    nodes: tuple[Node, ...] = field(repr=False)


def stages_of(computed: Mapping[str, Computed], shared: Mapping[str, Node]) -> tuple[Stage, ...]:
    """Stages of features and of the subexpressions that they share, by level and side."""
    levels: dict[str, int] = {}
    for feature in computed.values():
        _level(Column(type=feature.dtype, side="const", key=f"feature {feature.name}", name=feature.name, feature=True),
               computed, shared, levels)  # fmt: skip
    last = max(levels.values(), default=0)
    referenced = {
        node.name
        for feature in computed.values()
        for node in walk(feature.node)
        if isinstance(node, Column) and node.feature
    }
    outputs = {name: (levels[node.key], node) for name, node in shared.items()}
    for name, feature in computed.items():
        early = name in referenced and levels[f"feature {name}"] < last
        outputs[name] = (levels[f"feature {name}"] if early else last, feature.node)
    stages: list[Stage] = []
    for level in range(last + 1):
        for side in _SIDES:
            members = {name: node for name, (at, node) in outputs.items() if at == level and node.side == side}
            if members:
                stages.append(Stage(tuple(members), side, level, tuple(members.values())))
    return tuple(stages)


def shared_of(features: Iterable[Computed]) -> dict[str, Node]:
    """Subexpressions that occur more than once, by the name of the column that will hold them."""
    counts: dict[str, int] = {}
    nodes: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if _trivial(node):
            return
        counts[node.key] = counts.get(node.key, 0) + 1
        if counts[node.key] == 1 and isinstance(node, Call):
            nodes[node.key] = node
            for arg in node.args:
                visit(arg)

    for feature in features:
        visit(feature.node)
    repeated = [key for key, count in counts.items() if count > 1]
    return {f"__shared_{place}": nodes[key] for place, key in enumerate(repeated)}


def _trivial(node: Node) -> bool:
    if not isinstance(node, Call):
        return True
    return node.operator.name in ("cast", "as", "negate", "is_null") and _trivial(node.args[0])


def _level(node: Node, computed: Mapping[str, Computed], shared: Mapping[str, Node], levels: dict[str, int]) -> int:
    """Level of the stage that can compute a node: above every shared node and feature that it reads."""
    if node.key in levels:
        return levels[node.key]
    below: list[Node] = []
    if isinstance(node, Column) and node.feature:
        below = [computed[node.name].node]
    elif isinstance(node, Call):
        below = list(node.args)
    keys = {found.key for found in shared.values()}
    level = 0
    for part in below:
        inner = _level(part, computed, shared, levels)
        stored = part.key in keys or (isinstance(part, Column) and part.feature)
        level = max(level, inner + 1 if stored else inner)
    levels[node.key] = level
    return level


def lineage_of(feature: Computed, computed: Mapping[str, Computed]) -> list[str]:
    """Input columns that a feature needs, through the features that it names."""
    found: dict[str, None] = {}
    for node in walk(feature.node):
        if isinstance(node, Column):
            inner = lineage_of(computed[node.name], computed) if node.feature else [node.name]
            found |= dict.fromkeys(inner)
    return list(found)
