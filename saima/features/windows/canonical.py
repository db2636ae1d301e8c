"""Conditions in one form: commutative operands in order, comparisons one way round, numbers written one way."""

from __future__ import annotations

import json
from typing import Any

from saima.features.syntax import Apply, Constant, Name, Tree, parse

MIRRORED = {">": "<", ">=": "<="}
COMMUTATIVE = frozenset({"+", "*", "==", "!="})
FLAT = frozenset({"and", "or"})
COMPARED = frozenset({"<", "<=", "==", "!="})
EXACT = 2**53


def canonical(text: str) -> str:
    """The form that equal conditions share; ExpressionError if it is none.

    >>> canonical("b > 1.0 and (a == 'x')") == canonical("a=='x' and 1 < b")
    True
    """
    return write(parse(text))


def conjuncts(text: str | None) -> frozenset[str]:
    """The conditions that all hold where a condition holds; none for no condition."""
    if text is None:
        return frozenset()
    tree = parse(text)
    return frozenset(_flat(tree, "and")) if isinstance(tree, Apply) and tree.operator == "and" else {write(tree)}  # type: ignore[return-value]


def write(tree: Tree, *, compared: bool = False) -> str:
    """Text of a tree in canonical form; a number beside a comparison has no type of its own."""
    if isinstance(tree, Constant):
        return _literal(tree.value, compared)
    if isinstance(tree, Name):
        return ".".join(tree.parts)
    operator, args = tree.operator, tree.args
    if operator in MIRRORED and not tree.keywords:
        operator, args = MIRRORED[operator], args[::-1]
    if operator == "not" and isinstance(args[0], Apply) and args[0].operator == "not":
        return write(args[0].args[0])
    if operator in FLAT:
        parts = sorted(set(_flat(tree, operator)))
        return parts[0] if len(parts) == 1 else f"({f' {operator} '.join(parts)})"
    texts = [write(arg, compared=operator in COMPARED) for arg in args]
    if operator in COMMUTATIVE:
        texts.sort()
    if tree.symbolic and len(texts) == 2 and operator != "[]":
        return f"({texts[0]} {operator} {texts[1]})"
    if tree.symbolic:
        return _symbolic(operator, texts)
    texts += sorted(f"{name}={write(value)}" for name, value, _ in tree.keywords)
    return f"{operator}({', '.join(texts)})"


def _symbolic(operator: str, texts: list[str]) -> str:
    match operator:
        case "if":
            return f"({texts[1]} if {texts[0]} else {texts[2]})"
        case "[]":
            return f"{texts[0]}[{texts[1]}]"
        case "negate":
            return f"(-{texts[0]})"
        case "plus":
            return f"(+{texts[0]})"
    return f"({operator} {texts[0]})"


def _flat(tree: Tree, operator: str) -> list[str]:
    """Texts of the operands of nested uses of one operator."""
    if isinstance(tree, Apply) and tree.operator == operator and tree.symbolic:
        return [text for arg in tree.args for text in _flat(arg, operator)]
    return [write(tree)]


def _literal(value: Any, compared: bool) -> str:
    if compared and isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
