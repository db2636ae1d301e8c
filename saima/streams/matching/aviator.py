"""Conditions in the Aviator language as expressions of the feature language, and back."""

from __future__ import annotations

import re
from typing import Any

from saima.streams.matching.nodes import COMPARISONS, Accepted, Apply, Call, Constant, Elapsed, Field, Node

_PART = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"|(?P<absent>[A-Za-z_][\w.]*\s*(?:==|!=)\s*nil\b)"
    r"|(?P<and>&&)|(?P<or>\|\|)|(?P<not>!(?!=))|(?P<word>\b(?:true|false|nil)\b)"
    r"|(?P<call>string\.(?:contains|startsWith)\b)"
)
_WORDS = {"true": "True", "false": "False", "nil": "None"}
_CALLS = {"string.contains": "contains", "string.startsWith": "starts"}


def from_aviator(text: str) -> str:
    """Expression of the feature language.

    >>> from_aviator("action == 0 && !(price != nil)")
    'action == 0  and  not (not is_null(price))'
    """

    def part(found: re.Match[str]) -> str:
        text = found.group()
        match found.lastgroup:
            case "and" | "or" | "not":
                return f" {found.lastgroup} "
            case "word":
                return _WORDS[text]
            case "call":
                return _CALLS[text]
            case "absent":
                name = re.split(r"[!=]", text, maxsplit=1)[0].strip()
                return f"is_null({name})" if "==" in text else f"not is_null({name})"
        return text

    return _PART.sub(part, text).strip()


def to_aviator(node: Node) -> str:
    """Aviator text of a condition. Raises ValueError for what it cannot say."""
    match node:
        case Constant():
            return _literal(node.value)
        case Field():
            return node.name
        case Apply():
            return _apply(node)
        case Accepted():
            raise ValueError(f"the graph has no term over accepted events: {node.kind}('{node.step}')")
        case Elapsed():
            raise ValueError("the graph has no lower bound of gap_ms")
        case Call():
            raise ValueError(f"the graph does not know the operator of {node.key}")
    raise TypeError(type(node))


def _apply(node: Apply) -> str:
    args = [to_aviator(arg) for arg in node.args]
    operation = node.operation
    if operation in (*COMPARISONS, "+"):
        return f"({args[0]} {operation} {args[1]})"
    match operation:
        case "and":
            return f"({' && '.join(args)})"
        case "or":
            return f"({' || '.join(args)})"
        case "not":
            return f"!({args[0]})"
        case "has":
            return f"({args[0]} != nil)"
        case "contains":
            return f"string.contains({args[0]}, {args[1]})"
        case "starts":
            return f"string.startsWith({args[0]}, {args[1]})"
    assert isinstance(node.args[1], Constant)
    return f"({' || '.join(f'{args[0]} == {_literal(value)}' for value in node.args[1].value)})"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, int | float):
        return repr(value)
    raise ValueError(f"the graph has no literal {value!r}")
