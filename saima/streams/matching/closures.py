"""Nodes as closures over an event's facts and a partial match."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

from saima.streams.matching.nodes import (
    COMPARISONS,
    Accepted,
    Apply,
    Call,
    Constant,
    Elapsed,
    Field,
    Node,
    of_event,
)
from saima.streams.matching.runs import Cell, accepted_values, count_accepted

Facts = dict[str, Any]
"""Fields of one event by name, and the shared conditions already evaluated on it by NUL and their key."""

Value = Callable[[Facts, Cell | None], Any]
Test = Callable[[Facts, Cell | None], bool]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Shared:
    """Tests of conditions; those of the event alone are evaluated once an event, however many rules have them."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()
        self._tests: dict[str, Test] = {}

    def test(self, node: Node) -> Test:
        """Whether a node is true."""
        self.uses[node.key] += 1
        found = self._tests.get(node.key)
        if found is None:
            found = self._tests[node.key] = _once(node) if of_event(node) else _always_anew(node)
        return found


def _always_anew(node: Node) -> Test:
    value = compile_node(node)
    return lambda facts, cell: value(facts, cell) is True


def _once(node: Node) -> Test:
    value, name = compile_node(node), f"\0{node.key}"

    def once(facts: Facts, cell: Cell | None) -> bool:
        known = facts.get(name)
        if known is None:
            known = facts[name] = value(facts, cell) is True
        return known is True

    return once


def compile_node(node: Node) -> Value:
    """Closure of a node; None is missing."""
    match node:
        case Constant():
            found = node.value
            return lambda _facts, _cell: found
        case Field():
            return _field(node.name)
        case Elapsed():
            return lambda facts, cell: None if cell is None else facts["time"] - cell[2][1]
        case Accepted():
            return _accepted(node)
        case Apply():
            return _apply(node)
        case Call():
            return _call(node)
    raise TypeError(type(node))


def _field(name: str) -> Value:
    def get(facts: Facts, _: Cell | None) -> Any:
        value = facts.get(name)
        return None if value != value else value

    return get


def _accepted(node: Accepted) -> Value:
    step, name = node.step, node.name
    match node.kind:
        case "count":
            return lambda _, cell: count_accepted(cell, step)
        case "sum":
            return lambda _, cell: total(accepted_values(cell, step, name))
        case "first":
            return lambda _, cell: next(iter(accepted_values(cell, step, name)), None)
        case _:
            return lambda _, cell: next(iter(reversed(accepted_values(cell, step, name))), None)


def total(values: list[Any]) -> Any:
    """Sum of the numbers among values, in their order; 0 of none."""
    result: Any = 0
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            result += value
    return result


def _apply(node: Apply) -> Value:
    args = [compile_node(arg) for arg in node.args]
    if node.operation in COMPARISONS:
        return _comparison(node.operation, *args)
    match node.operation:
        case "and":
            return _all(args, False)
        case "or":
            return _all(args, True)
        case "not":
            (inner,) = args
            return lambda facts, cell: {True: False, False: True}.get(inner(facts, cell))
        case "has":
            (inner,) = args
            return lambda facts, cell: inner(facts, cell) is not None
    first, second = args
    combine = _BINARY[node.operation]

    def both(facts: Facts, cell: Cell | None) -> Any:
        left, right = first(facts, cell), second(facts, cell)
        return None if left is None or right is None else combine(left, right)

    return both


def _comparison(symbol: str, left: Value, right: Value) -> Value:
    compare = _COMPARE[symbol]
    equality = symbol in ("==", "!=")

    def compared(facts: Facts, cell: Cell | None) -> Any:
        a, b = left(facts, cell), right(facts, cell)
        if a is None or b is None:
            return None
        if _kind(a) is not _kind(b):
            return (symbol == "!=") if equality else None
        return compare(a, b)

    return compared


def _kind(value: Any) -> type:
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else type(value)


def _all(args: list[Value], decisive: bool) -> Value:
    def joined(facts: Facts, cell: Cell | None) -> Any:
        missing = False
        for arg in args:
            value = arg(facts, cell)
            if value is decisive:
                return decisive
            missing = missing or not isinstance(value, bool)
        return None if missing else not decisive

    return joined


def _plus(a: Any, b: Any) -> Any:
    return a + b if _kind(a) is float and _kind(b) is float else None


def _contains(whole: Any, part: Any) -> Any:
    if isinstance(whole, str):
        return part in whole if isinstance(part, str) else None
    return part in whole if isinstance(whole, list) else None


def _starts(whole: Any, part: Any) -> Any:
    return whole.startswith(part) if isinstance(whole, str) and isinstance(part, str) else None


def _in(value: Any, items: Any) -> Any:
    return any(_kind(value) is _kind(item) and value == item for item in items) if isinstance(items, list) else None


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": _plus,
    "contains": _contains,
    "starts": _starts,
    "in": _in,
}


def _call(node: Call) -> Value:
    found = node.operator
    assert found is not None
    args = [(compile_node(arg), found.kinds[name]) for arg, name in zip(node.args, node.names, strict=True)]
    names, constants = node.names, node.constants

    def run(facts: Facts, cell: Cell | None) -> Any:
        values = [coerced(value(facts, cell), kind) for value, kind in args]
        try:
            return found.run(values, names, constants)
        except (TypeError, AttributeError):
            return None  # a value of a type that the operator does not take is missing

    return run


def coerced(value: Any, kind: str) -> Any:
    """A value as a parameter of a kind sees it.

    >>> coerced(1, "float"), coerced(True, "text"), coerced("a", "float")
    (1.0, 'true', None)
    """
    if value is None:
        return None
    if kind in ("float", "number", "int"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if kind == "float" else value
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
