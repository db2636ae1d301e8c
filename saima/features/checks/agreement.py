"""An algorithm's own operators on trial: the lowering gives what the reference gives, or the value is named.

Every call of such an operator in the features is tried with its types and constants; one that no feature calls is
tried as its parameters' kinds allow. Rows are made up from the types: typical values, edges, missing ones.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.errors import DeclarationError, Place
from saima.features.binding import make_call
from saima.features.checks.trial import frame_of, made_up, same
from saima.features.lowering import lower
from saima.features.nodes import RESOURCE, Call, Column, Constant, Node, column, walk
from saima.features.operators.base import CONSTANT_KINDS, Operator
from saima.features.reference import interpret
from saima.features.syntax import ExpressionError
from saima.features.types import TIMESTAMP, Type, from_frame_value, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.algorithm import Algorithm

ROWS = 300
_TYPES = {
    "any": "float64", "terms": "list<string>", "float": "float64", "number": "int64", "int": "int64", "bool": "bool",
    "string": "string", "text": "string", "timestamp": "timestamp", "list": "list<int64>", "list<bool>": "list<bool>",
    "list<float>": "list<float64>", "list<number>": "list<int64>", "list<text>": "list<string>",
    "map": "map<string,float64>",
}  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """An operator, how many of its calls were tried, and why it could not be tried at all (None: it was)."""

    operator: str
    calls: int
    why_not: str | None = None


def check_operators(algorithm: Algorithm, rows: int = ROWS, seed: int = 0) -> list[Tried]:
    """Try every operator of the algorithm's `operators.py` on made-up rows.

    Raises DeclarationError at the operator's line that names the arguments, the reference's value and the lowering's.
    """
    shown = f"algorithms/{algorithm.directory.name}/operators.py"
    tried = []
    for operator in algorithm.operators.values():
        calls = _calls(operator, algorithm)
        why = None
        if not calls:
            made = _made(operator)
            calls, why = ([made], None) if isinstance(made, Call) else ([], made)
        for call in calls:
            problem = disagreement(call, rows, seed)
            if problem is not None:
                place = Place(shown, _line(operator), 1)
                raise DeclarationError(f"operator '{operator.name}': {problem}", place)
        tried.append(Tried(operator.name, len(calls), why))
    return tried


def disagreement(call: Call, rows: int, seed: int) -> str | None:
    """Where the lowering of a call differs from its reference, in rows alone and among others; None: nowhere."""
    types = {node.name: node.type for node in walk(call) if isinstance(node, Column)}
    names = {arg.name: name for name, arg in zip(call.names, call.args, strict=True) if isinstance(arg, Column)}
    given = made_up(types, rows, seed)
    frame = frame_of(types, given)
    try:
        paths = {"of many rows": _lowered(call, frame)}
        paths["of one row"] = [value for at in range(min(rows, 40)) for value in _lowered(call, frame[at])]
    except (pl.exceptions.PolarsError, TypeError, ValueError, AttributeError) as error:
        return f"the lowering fails: {type(error).__name__}: {str(error).splitlines()[0]}"
    for at, row in enumerate(given):
        arguments = ", ".join(f"{names.get(name, name)}={row[name]!r}" for name in types)
        try:
            wanted = interpret(call, row)
        except Exception as error:  # noqa: BLE001  whatever a user's reference raises is the finding
            return f"the reference raises {type(error).__name__}: {error} for {arguments}"
        for path, found in paths.items():
            if at < len(found) and not same(found[at], wanted, call.operator.exact):
                return f"the lowering {path} gives {found[at]!r}, the reference {wanted!r} for {arguments}"
    return None


def _lowered(call: Call, frame: pl.DataFrame) -> list[Any]:
    values = frame.select(lower(call).alias("made")).get_column("made")
    if values.dtype != call.type.polars:
        raise TypeError(f"it is {values.dtype}, and {call.type} is declared")
    if len(values) != frame.height:
        raise ValueError(f"it has {len(values)} values for {frame.height} rows")
    plain = values.cast(pl.Int64) if call.type == TIMESTAMP else values
    return [from_frame_value(value, call.type) for value in plain.to_list()]


def _calls(operator: Operator, algorithm: Algorithm) -> list[Call]:
    """The operator's calls in the features, each combination of types and constants once, over columns."""
    found: dict[str, Call] = {}
    for feature in algorithm.plan.computed:
        for node in walk(feature.node):
            if isinstance(node, Call) and node.operator is operator:
                args = tuple(_placeholder(arg, at) for at, arg in enumerate(node.args))
                key = ",".join([*(f"{arg.key}:{arg.type}" for arg in args), repr(sorted(node.constants.items()))])
                found.setdefault(key, replace(node, args=args))
    return list(found.values())


def _placeholder(arg: Node, at: int) -> Node:
    return arg if isinstance(arg, Constant) else column(f"a{at}", arg.type, "request")


def _made(operator: Operator) -> Call | str:
    """A call as the kinds of the parameters allow, or why there is none."""
    nodes: dict[str, list[Node]] = {}
    constants: dict[str, Any] = {}
    for at, (name, parameter) in enumerate(operator.parameters.items()):
        kind = operator.kinds[name]
        if kind in CONSTANT_KINDS:
            if parameter.default is inspect.Parameter.empty:
                return f"no feature calls it, and its constant '{name}' has no default"
            continue
        dtype: Type = parse_type(_TYPES[kind])
        many = 2 if parameter.kind is inspect.Parameter.VAR_POSITIONAL else 1
        nodes[name] = [column(f"a{at}_{place}", dtype, "request") for place in range(many)]
    try:
        made = make_call(operator, nodes, constants, [1] * sum(map(len, nodes.values())), 1)
    except ExpressionError as error:
        return f"no feature calls it, and made-up arguments do not fit: {error.message}"
    return made if isinstance(made, Call) and made.type != RESOURCE else "no feature calls it, and it has no arguments"


def _line(operator: Operator) -> int:
    code = getattr(operator.reference, "__code__", None)
    return getattr(code, "co_firstlineno", 1)


def said(tried: Iterable[Tried]) -> str:
    """What was tried, in one line."""
    parts = [f"{one.operator} ({one.why_not})" if one.why_not else one.operator for one in tried]
    return ", ".join(parts)
