"""Conditions as expressions of the feature language: the same nodes as those in JSON.

Names are fields of the event; `sum(step.field)`, `first(step.field)`, `last(step.field)` and `count(step)` are over
what a step has accepted. Other operators run by their reference implementation on the values as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.features.binding import bind
from saima.features.operators import OPERATORS
from saima.features.operators.base import CONSTANT_KINDS
from saima.features.syntax import Apply, Constant, ExpressionError, Name, Tree, nearest, parse
from saima.streams.matching import nodes
from saima.streams.matching.nodes import Node

if TYPE_CHECKING:
    from saima.streams.matching.conditions import Reader

_ACCEPTED = ("sum", "count", "first", "last")
_KLEENE = ("and", "or")


def parse_expression(text: str, path: str, reader: Reader) -> Node:
    """Node of an expression; its mistake, with the column, goes to the reader's problems."""
    try:
        return _Lowering(reader, path).node(parse(text))
    except ExpressionError as error:
        return reader.wrong(path, f"'{text}', column {error.column}: {error}")


class _Lowering:
    def __init__(self, reader: Reader, path: str) -> None:
        self.reader = reader
        self.path = path

    def node(self, tree: Tree) -> Node:
        if isinstance(tree, Constant):
            return nodes.constant(tree.value)
        if isinstance(tree, Name):
            if len(tree.parts) > 1:
                known = ", ".join(f"{name}({'.'.join(tree.parts)})" for name in ("first", "last", "sum"))
                raise ExpressionError("name", f"'{'.'.join(tree.parts)}': write {known}", tree.column)
            return self.reader.field(tree.parts[0], self.path)
        return self.apply(tree)

    def apply(self, tree: Apply) -> Node:
        name = tree.operator
        if name in _ACCEPTED and not tree.symbolic and self.over_step(tree):
            (arg,) = tree.args
            assert isinstance(arg, Name)
            return self.reader.accepted(name, ".".join(arg.parts), self.path)
        if tree.symbolic and name in (*nodes.COMPARISONS, *_KLEENE, "not", "+"):
            return nodes.apply(name, *(self.node(arg) for arg in tree.args))
        if tree.symbolic and name in ("in", "not in"):
            inside = nodes.apply("in", *(self.node(arg) for arg in tree.args))
            return nodes.apply("not", inside) if name == "not in" else inside
        if name == "is_null" and len(tree.args) == 1 and not tree.keywords:
            return nodes.apply("not", nodes.apply("has", self.node(tree.args[0])))
        if name in ("contains", "starts") and len(tree.args) == 2 and not tree.keywords:
            return nodes.apply(name, *(self.node(arg) for arg in tree.args))
        return self.call(tree)

    def over_step(self, tree: Apply) -> bool:
        if len(tree.args) != 1 or tree.keywords or not isinstance(tree.args[0], Name):
            return False
        return tree.operator in ("first", "last", "count") or len(tree.args[0].parts) > 1

    def call(self, tree: Apply) -> Node:
        found = OPERATORS.get(tree.operator)
        if found is None or (found.hidden and not tree.symbolic):
            known = [name for name, operator in OPERATORS.items() if not operator.hidden]
            raise ExpressionError(
                "name", f"unknown operator '{tree.operator}'", tree.column, nearest(tree.operator, [*known, *_ACCEPTED])
            )
        if any(kind in ("vocabulary", "buckets") for kind in found.kinds.values()):
            raise ExpressionError("forbidden", f"'{tree.operator}' needs a resource, which a rule has not", tree.column)
        args: list[Node] = []
        names: list[str] = []
        constants: dict[str, Any] = {}
        for parameter, given in bind(found, tree).items():
            for item in given:
                if found.kinds[parameter] in CONSTANT_KINDS or (
                    isinstance(item, Constant) and found.kinds[parameter] == "constant"
                ):
                    if not isinstance(item, Constant):
                        raise ExpressionError(
                            "type", f"'{parameter}' of '{found.name}' must be a constant", item.column
                        )
                    constants[parameter] = item.value
                else:
                    args.append(self.node(item))
                    names.append(parameter)
        for parameter in found.implicit:
            if parameter not in names:
                args.append(nodes.event_field("time"))
                names.append(parameter)
        inner = ",".join([*(arg.key for arg in args), *(f"{name}={constants[name]!r}" for name in sorted(constants))])
        return nodes.Call(f"{tree.operator}({inner})", found, tuple(args), tuple(names), constants)
