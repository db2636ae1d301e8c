"""Compile an expression into typed, sided nodes; run them in plain Python (the oracle)."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from saima.features.nodes import (
    RESOURCE,
    Call,
    Column,
    Constant,
    Node,
    call_key,
    constant,
    join_sides,
    magnitude,
    show,
)
from saima.features.operators import OPERATORS
from saima.features.operators.base import CONSTANT_KINDS, Operator, TypeFault
from saima.features.operators.conversion import coerce
from saima.features.operators.sequences import steps
from saima.features.syntax import Apply, ExpressionError, Name, Tree, nearest, parse
from saima.features.syntax import Constant as LiteralTree
from saima.features.types import BOOL, FLOAT64, INT64, NULL, STRING, TIMESTAMP, Type, list_of, narrow, type_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Scope:
    """Names that an expression may use.

    names: dotted name -> node. bare: plain name -> the dotted names that it may mean (more than one: ambiguous).
    time: node of request.time, where there is one. operators: by name.
    """

    names: Mapping[str, Node]
    bare: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time: Node | None = None
    operators: Mapping[str, Operator] = field(default_factory=lambda: OPERATORS)

    def resolve(self, name: Name) -> Node:
        """Node of a name. Raises ExpressionError of kind name."""
        dotted = ".".join(name.parts)
        found = self.bare.get(dotted, ())
        if len(found) > 1:
            raise ExpressionError("name", f"'{dotted}' is ambiguous: write {' or '.join(found)}", name.column)
        if found:
            return self.names[found[0]]
        if dotted in self.names:
            return self.names[dotted]
        space = name.parts[0] + "."
        members = [known.removeprefix(space) for known in self.names if known.startswith(space)]
        if members and len(name.parts) > 1:
            rest = ".".join(name.parts[1:])
            raise ExpressionError("name", f"'{name.parts[0]}' has no '{rest}'", name.column, nearest(rest, members))
        known = {*self.bare, *self.names, *(text.split(".")[0] for text in self.names)}
        if len(name.parts) == 1 and name.parts[0] in {text.split(".")[0] for text in self.names}:
            example = members[0] if members else "..."
            raise ExpressionError("name", f"'{dotted}' has fields; write one, such as {dotted}.{example}", name.column)
        raise ExpressionError("name", f"unknown name '{dotted}'", name.column, nearest(dotted, known))


def compile_expression(text: str, scope: Scope) -> Node:
    """Typed node of an expression.

    Raises ExpressionError with kind and 1-based column.

    >>> from saima.features.nodes import column
    >>> scope = Scope({"label": column("label", FLOAT64, "request"), "score": column("score", FLOAT64, "request")})
    >>> str(compile_expression("abs(label - score)", scope).type)
    'float64'
    """
    return _compile(parse(text), scope)


def convert(node: Node, dtype: Type, column: int = 1) -> Node:
    """The node as another type; a cast only where one is needed. Raises ExpressionError of kind type."""
    if node.type == dtype:
        return node
    if isinstance(node, Constant) and node.type == NULL:
        return constant(None, dtype)
    return make_call(coerce, {"x": [node]}, {"dtype": str(dtype)}, [column], column)


def interpret(node: Node, row: Mapping[str, Any]) -> Any:
    """Value of a node for one row of inputs by name, by the reference implementations; None is missing."""
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Column):
        return _present(row.get(node.name))
    if not isinstance(node, Call):
        raise TypeError(type(node))
    values = [interpret(arg, row) for arg in node.args]
    operator = node.operator
    if node.mapped:
        at = node.names.index(operator.maps or "")
        items = values[at] or []
        return [operator.run([*values[:at], item, *values[at + 1 :]], node.names, node.constants) for item in items]
    result = operator.run(values, node.names, node.constants)
    if result is None and node.type.name == "list" and not operator.hidden:
        return []
    if node.type.name == "float32" and result is not None:
        return narrow(result)
    return float(result) if node.type.is_float and result is not None else result


def _present(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, list):
        return [_present(item) for item in value]
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items()}
    return value


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
    trees = _bind(operator, tree)
    nodes: dict[str, list[Node]] = {}
    constants: dict[str, Any] = {}
    columns: list[int] = []
    for parameter, given in trees.items():
        if operator.kinds[parameter] == "constant" and isinstance(given[0], LiteralTree):
            constants[parameter] = given[0].value
            continue
        compiled = [_compile(item, scope) for item in given]
        if operator.kinds[parameter] in CONSTANT_KINDS:
            constants[parameter] = _constant(operator, parameter, compiled[0], given[0].column)
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


def _bind(operator: Operator, tree: Apply) -> dict[str, list[Tree]]:
    """Arguments by parameter, in the parameters' order; absent optional ones are left out."""
    bound: dict[str, list[Tree]] = {}
    parameters = list(operator.parameters.values())
    positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    variadic = next((p for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    if variadic:
        bound[variadic.name] = list(tree.args)
    elif len(tree.args) > len(positional):
        raise ExpressionError(
            "arity", f"{operator.signature} takes {len(positional)} arguments, not {len(tree.args)}", tree.column
        )
    else:
        bound |= {p.name: [arg] for p, arg in zip(positional, tree.args, strict=False)}
    open_ = {
        p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL and p.name not in operator.implicit
    }
    open_ |= {p.name for p in positional}
    for name, value, column in tree.keywords:
        if name not in open_:
            raise ExpressionError("arity", f"{operator.signature} has no '{name}'", column, nearest(name, open_))
        if name in bound:
            raise ExpressionError("arity", f"{operator.signature}: '{name}' is given twice", column)
        bound[name] = [value]
    for p in parameters:
        absent = p.name not in bound and p.default is inspect.Parameter.empty and p.name not in operator.implicit
        if (absent and p is not variadic) or (p is variadic and not bound[p.name]):
            raise ExpressionError("arity", f"{operator.signature} needs '{p.name}'", tree.column)
    return {p.name: bound[p.name] for p in parameters if p.name in bound}


def _constant(operator: Operator, parameter: str, node: Node, column: int) -> Any:
    kind = operator.kinds[parameter]
    if not isinstance(node, Constant):
        raise ExpressionError("type", f"{operator.signature}: '{parameter}' must be a constant", column)
    is_resource = node.type == RESOURCE
    if kind in ("vocabulary", "buckets"):
        if (
            kind == "buckets"
            and isinstance(node.value, list)
            and all(isinstance(item, int | float) and not isinstance(item, bool) for item in node.value)
        ):
            return tuple(float(item) for item in node.value)
        expected = "vocabularies." if kind == "vocabulary" else "buckets."
        if node.value is None and operator.parameters[parameter].default is None:
            return None
        if not is_resource or not node.key.startswith(expected):
            raise ExpressionError("type", f"{operator.signature}: '{parameter}' is one of {expected}<name>", column)
    elif is_resource:
        raise ExpressionError("type", f"{operator.signature}: '{parameter}' is a literal, not {node.key}", column)
    return node.value


def make_call(
    operator: Operator, nodes: dict[str, list[Node]], constants: dict[str, Any], columns: list[int], column: int
) -> Node:
    """Bound, coerced, type-checked call; folded where everything is constant. Raises ExpressionError of kind type."""
    defaults = {name: p.default for name, p in operator.parameters.items() if p.default is not inspect.Parameter.empty}
    absent = {name: value for name, value in defaults.items() if name not in nodes and name not in operator.implicit}
    given = {**absent, **constants}
    flat: list[Node] = []
    names: list[str] = []
    mapped = False
    places = iter(columns)
    for parameter, items in nodes.items():
        for item in items:
            place = next(places, column)
            mapped = mapped or (parameter == operator.maps and item.type.is_list)
            flat.append(_coerce(operator, parameter, item, place))
            names.append(parameter)
    side = join_sides([node.side for node in flat])
    draft = Call(
        type=NULL,
        side=side,
        key="",
        operator=operator,
        args=tuple(flat),
        names=tuple(names),
        constants=given,
        mapped=mapped,
    )
    try:
        dtype = operator.returns if isinstance(operator.returns, Type) else operator.returns(draft)
    except TypeFault as fault:
        at = column
        if fault.parameter in names:
            at = columns[names.index(fault.parameter)]
        raise ExpressionError("type", str(fault), at) from None
    if mapped:
        others = [arg for arg, name in zip(flat, names, strict=True) if name != operator.maps]
        if not all(isinstance(arg, Constant) for arg in others):
            raise ExpressionError("type", f"{operator.name} of a list takes constants beside it", column)
        dtype = list_of(dtype)
    typed = replace(draft, type=dtype)
    bits = operator.bits(typed) if operator.bits and not mapped else 63.0 if dtype == INT64 else float("inf")
    key = call_key(operator.name, draft.args, given)
    call = replace(typed, key=key, bits=bits)
    if all(isinstance(arg, Constant) and arg.type != RESOURCE for arg in call.args):
        value = interpret(call, {})
        return Constant(type=dtype, side="const", key=f"{value!r}:{dtype}", bits=magnitude(value), value=value)
    return call


def _coerce(operator: Operator, parameter: str, node: Node, column: int) -> Node:
    """The argument as its parameter's kind wants it. Raises ExpressionError of kind type."""
    kind = operator.kinds[parameter]
    dtype = node.type
    if dtype == RESOURCE:
        raise ExpressionError(
            "type", f"{operator.signature}: '{parameter}' is a value, not the resource {node.key}", column
        )
    scalar = dtype.of if parameter == operator.maps and dtype.is_list else dtype
    wanted = _wanted(kind, scalar)
    if wanted is None:
        expected = _EXPECTED.get(kind, kind)
        raise ExpressionError("type", f"{operator.signature}: '{parameter}' is {expected}, not {dtype}", column)
    if scalar is not dtype:
        wanted = list_of(wanted)
    return convert(node, wanted, column)


_EXPECTED = {"float": "a number", "number": "a number", "int": "an int64", "text": "a string, int64, bool or timestamp",
             "bool": "a bool", "string": "a string", "timestamp": "a timestamp", "list": "a list"}  # fmt: skip


def _wanted(kind: str, dtype: Type) -> Type | None:
    if kind == "any":
        return dtype
    simple = {"float": FLOAT64, "int": INT64, "bool": BOOL, "string": STRING, "text": STRING, "timestamp": TIMESTAMP}
    if dtype == NULL:
        return simple.get(kind, NULL)
    if kind.startswith("list") and dtype.is_list:
        inner = _wanted(kind[5:-1] or "any", dtype.of)
        if inner is None:
            return None
        return list_of(inner) if inner != dtype.of or dtype.name == "list" else dtype
    if kind == "map" and dtype.name == "map":
        return dtype
    if kind == "number" and (dtype.is_number or dtype.name == "null"):
        return dtype
    accepted = {
        "float": dtype.is_number, "int": dtype == INT64, "bool": dtype == BOOL, "string": dtype == STRING,
        "text": dtype.is_text, "timestamp": dtype == TIMESTAMP,
    }  # fmt: skip
    return simple[kind] if accepted.get(kind) else None
