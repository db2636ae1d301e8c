"""Run a compiled expression in plain Python, one row at a time: the oracle of every other path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.features.nodes import Call, Column, Constant, Node
from saima.features.types import narrow

if TYPE_CHECKING:
    from collections.abc import Mapping


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
