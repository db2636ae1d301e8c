"""Compile an expression into typed, sided nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saima.features.binding import bind, constant_argument, convert, make_call
from saima.features.nodes import RESOURCE, Column, Node, constant, show
from saima.features.operators.base import CONSTANT_KINDS
from saima.features.operators.sequences import steps
from saima.features.reference import interpret
from saima.features.scope import Scope
from saima.features.syntax import Apply, ExpressionError, Name, Tree, nearest, parse
from saima.features.syntax import Constant as LiteralTree
from saima.features.types import TIMESTAMP, Type, type_of

__all__ = ["Scope", "compile_expression", "convert", "interpret", "make_call"]


def compile_expression(text: str, scope: Scope) -> Node:
    """Typed node of an expression.

    Raises ExpressionError with kind and 1-based column.

    >>> from saima.features.nodes import column
    >>> from saima.features.types import FLOAT64
    >>> scope = Scope({"label": column("label", FLOAT64, "request"), "score": column("score", FLOAT64, "request")})
    >>> str(compile_expression("abs(label - score)", scope).type)
    'float64'
    """
    return _compile(parse(text), scope)


def _compile(tree: Tree, scope: Scope) -> Node:
    if isinstance(tree, LiteralTree):
        dtype = type_of(tree.value)
        if dtype is None:
            raise ExpressionError("type", f"{tree.value!r} has no type: mixed, or beyond int64", tree.column)
        return constant(tree.value, dtype)
    if isinstance(tree, Name):
        return scope.resolve(tree)
    if tree.operator == "steps":
        return _steps(tree, scope)
    operator = scope.operators.get(tree.operator)
    if operator is None or (operator.hidden and not tree.symbolic):
        known = [name for name, found in scope.operators.items() if not found.hidden]
        raise ExpressionError("name", f"unknown operator '{tree.operator}'", tree.column, nearest(tree.operator, known))
    trees = bind(operator, tree)
    nodes: dict[str, list[Node]] = {}
    constants: dict[str, Any] = {}
    columns: list[int] = []
    for parameter, given in trees.items():
        if operator.kinds[parameter] == "constant" and isinstance(given[0], LiteralTree):
            constants[parameter] = given[0].value
            continue
        compiled = [_compile(item, scope) for item in given]
        if operator.kinds[parameter] in CONSTANT_KINDS:
            constants[parameter] = constant_argument(operator, parameter, compiled[0], given[0].column)
        else:
            nodes[parameter] = compiled
            columns += [item.column for item in given]
    for parameter in operator.implicit:
        if parameter not in nodes:
            if scope.time is None:
                raise ExpressionError(
                    "type", f"'{operator.name}' needs a time and there is no request.time here", tree.column
                )
            nodes[parameter] = [scope.time]
            columns.append(tree.column)
    return make_call(operator, nodes, constants, columns, tree.column)


@dataclass(frozen=True)
class _Step:
    """An operator on one step's values, in the order of its placeholders."""

    node: Node
    names: tuple[str, ...]

    @property
    def type(self) -> Type:
        return self.node.type

    def __repr__(self) -> str:
        return show(self.node)

    def __call__(self, *values: Any) -> Any:
        return interpret(self.node, dict(zip(self.names, values, strict=True)))


def _steps(tree: Apply, scope: Scope) -> Node:
    """`steps("operator", xs, ...)`: the inner call over placeholders, one for each argument that is no literal."""
    first = tree.args[0] if tree.args else None
    if not isinstance(first, LiteralTree) or not isinstance(first.value, str) or len(tree.args) < 2:
        raise ExpressionError("arity", "steps('operator', xs, ...) needs an operator's name and a list", tree.column)
    known = [name for name, found in scope.operators.items() if not found.hidden and name != "steps"]
    if first.value not in known:
        raise ExpressionError("name", f"unknown operator '{first.value}'", first.column, nearest(first.value, known))
    names: dict[str, Node] = {}
    nodes: list[Node] = []

    def placeholder(given: Tree) -> Tree:
        node = None if isinstance(given, LiteralTree) else _compile(given, scope)
        if node is None or node.type == RESOURCE:
            return given
        name = f"step_{len(nodes)}"
        dtype = node.type.of if node.type.is_list else node.type
        names[name] = Column(type=dtype, side=node.side, key=name, name=name)
        nodes.append(node)
        return Name((name,), given.column)

    args = tuple(placeholder(given) for given in tree.args[1:])
    keywords = tuple((name, placeholder(given), column) for name, given, column in tree.keywords)
    if not any(node.type.is_list for node in nodes):
        raise ExpressionError("type", "steps('operator', xs, ...) needs a list", tree.column)
    if scope.time is not None:
        names["step_time"] = Column(type=TIMESTAMP, side=scope.time.side, key="step_time", name="step_time")
        nodes.append(scope.time)
    inner = Scope({**scope.names, **names}, {}, names.get("step_time"), scope.operators)
    step = _Step(_compile(Apply(first.value, args, keywords, first.column), inner), tuple(names))
    listed = tuple(node.type.is_list for node in nodes)
    return make_call(steps, {"xs": nodes}, {"run": step, "listed": listed}, [tree.column] * len(nodes), tree.column)
