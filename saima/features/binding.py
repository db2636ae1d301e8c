"""Bind an operator's arguments: places, constants, coercions, types; fold what is constant."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import polars as pl

from saima.features.lowering import lower
from saima.features.nodes import RESOURCE, Call, Constant, Node, call_key, constant, join_sides, magnitude
from saima.features.operators.base import Operator, TypeFault
from saima.features.operators.conversion import coerce, recast
from saima.features.operators.kernel import by_rows
from saima.features.reference import interpret
from saima.features.syntax import Apply, ExpressionError, Tree, nearest
from saima.features.types import BOOL, FLOAT64, INT64, NULL, STRING, TIMESTAMP, Type, from_frame_value, list_of, unify


def bind(operator: Operator, tree: Apply) -> dict[str, list[Tree]]:
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


def constant_argument(operator: Operator, parameter: str, node: Node, column: int) -> Any:
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


def convert(node: Node, dtype: Type, column: int = 1) -> Node:
    """The node as another type; a cast only where one is needed. Raises ExpressionError of kind type."""
    if node.type == dtype:
        return node
    if isinstance(node, Constant) and node.type == NULL:
        return constant(None, dtype)
    if node.type.has_decimal:
        return make_call(recast, {"x": [node]}, {"dtype": str(dtype), "source": str(node.type)}, [column], column)
    return make_call(coerce, {"x": [node]}, {"dtype": str(dtype)}, [column], column)


def make_call(
    operator: Operator, nodes: dict[str, list[Node]], constants: dict[str, Any], columns: list[int], column: int
) -> Node:
    """Bound, coerced, type-checked call; folded where everything is constant. Raises ExpressionError of kind type."""
    if operator.name == "cast" and nodes["x"][0].type.has_decimal:
        operator, constants = _WRITTEN, {**constants, "source": str(nodes["x"][0].type)}
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
    flat = _decimals(operator, flat, names, column)
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
    if operator.name == "coalesce" and isinstance(flat[0], Constant):
        return convert(flat[0] if flat[0].value is not None else flat[1], dtype, column)
    typed = replace(draft, type=dtype)
    bits = operator.bits(typed) if operator.bits and not mapped else 63.0 if dtype.is_whole else float("inf")
    key = call_key(operator.name, draft.args, given)
    call = replace(typed, key=key, bits=bits)
    if all(isinstance(arg, Constant) and arg.type != RESOURCE for arg in call.args):
        value = _folded(call)
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
    if scalar.has_decimal and operator.decimals == "refuse" and "number" in kind:
        wanted = None
    if wanted is None:
        expected = _EXPECTED.get(kind, kind)
        raise ExpressionError("type", f"{operator.signature}: '{parameter}' is {expected}, not {dtype}", column)
    if scalar is not dtype:
        wanted = list_of(wanted)
    return convert(node, wanted, column)


def _folded(call: Call) -> Any:
    """Value of a call on constants, by the operator's one home."""
    if call.operator.exact or call.operator.lower is by_rows:
        return interpret(call, {})
    column = pl.select(lower(call).alias("value")).get_column("value")
    return from_frame_value((column.cast(pl.Int64) if call.type == TIMESTAMP else column).item(), call.type)


_WRITTEN = replace(recast, hidden=False)
"""What a written cast of decimals becomes: a missing list gives []."""


def _decimals(operator: Operator, args: list[Node], names: list[str], column: int) -> list[Node]:
    """The arguments with decimals among them as the operator takes them: at one scale, or as float64."""
    places = [
        place
        for place, (arg, name) in enumerate(zip(args, names, strict=True))
        if name in (operator.aligned or names) and arg.type.name != "map"
    ]
    scalars = [_scalar(args[place].type) for place in places]
    if operator.decimals == "refuse" or not any(dtype.is_decimal for dtype in scalars):
        return args
    common: Type | None = FLOAT64
    if operator.decimals != "float":
        common = scalars[0]
        for dtype in scalars[1:]:
            common = unify(common, dtype) if common else None
    if common is None or (operator.decimals == "multiply" and common.is_whole):
        return args
    made = list(args)
    for place in places:
        dtype = args[place].type
        if _scalar(dtype) != NULL:
            made[place] = convert(args[place], _with_scalar(dtype, common), column)
    return made


def _scalar(dtype: Type) -> Type:
    return dtype.of if dtype.is_list else dtype


def _with_scalar(dtype: Type, scalar: Type) -> Type:
    return Type(dtype.name, scalar, dtype.size) if dtype.is_list else scalar


_EXPECTED = {"float": "a number", "number": "a number", "int": "an int64", "text": "a string, int64, bool or timestamp",
             "bool": "a bool", "string": "a string", "timestamp": "a timestamp", "list": "a list"}  # fmt: skip


def _wanted(kind: str, dtype: Type) -> Type | None:
    if kind == "any":
        return dtype
    if dtype.name == "map" and (kind == "terms" or kind.startswith("list")):
        return _wanted(kind, list_of(STRING))
    if kind == "terms":
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
    if kind == "number" and (dtype.is_number or dtype.is_decimal or dtype.name == "null"):
        return dtype
    accepted = {
        "float": dtype.is_number or dtype.is_decimal, "int": dtype == INT64, "bool": dtype == BOOL,
        "string": dtype == STRING, "text": dtype.is_text, "timestamp": dtype == TIMESTAMP,
    }  # fmt: skip
    return simple[kind] if accepted.get(kind) else None
