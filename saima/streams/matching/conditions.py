"""Conditions and terms in JSON as nodes."""

from __future__ import annotations

from typing import Any

from saima.errors import suggest
from saima.streams.matching import nodes
from saima.streams.matching.errors import Problems
from saima.streams.matching.expressions import parse_expression
from saima.streams.matching.nodes import Node

OPERATORS = (*nodes.COMPARISONS, "and", "or", "not", "has", "contains", "starts", "in")
TERMS = ("get", "sum", "count", "first", "last", "+")
_DEPTH = 50


class Reader:
    """Reads the conditions of one step; mistakes go to `problems`.

    steps: names of the steps whose accepted events a term may mean, in order up to this one.
    fields: names of the event's fields where they are known, else None.
    """

    def __init__(self, problems: Problems, step: str, steps: list[str], fields: frozenset[str] | None) -> None:
        self.problems = problems
        self.step = step
        self.steps = steps
        self.fields = fields

    def condition(self, value: Any, path: str, depth: int = 0) -> Node:
        """Node of a condition; TRUE where it is mistaken, so that reading goes on."""
        if value is None:
            return nodes.TRUE
        if isinstance(value, bool):
            return nodes.constant(value)
        if isinstance(value, str):
            return parse_expression(value, path, self)
        if not isinstance(value, list) or not value:
            return self.wrong(path, "a condition is [operator, ...] or an expression's text")
        if depth > _DEPTH:
            return self.wrong(path, f"nested more than {_DEPTH} deep")
        name, args = value[0], value[1:]
        if not isinstance(name, str) or name not in OPERATORS:
            return self.wrong(f"{path}[0]", f"unknown operator {name!r}{suggest(str(name), OPERATORS)}")
        if name in ("and", "or"):
            if not args:
                return self.wrong(path, f"'{name}' needs conditions")
            inner = [self.condition(arg, f"{path}[{i}]", depth + 1) for i, arg in enumerate(args, 1)]
            return nodes.apply(name, *inner)
        wanted = 1 if name in ("not", "has") else 2
        if len(args) != wanted:
            return self.wrong(path, f"'{name}' takes {wanted} argument{'s' * (wanted > 1)}, not {len(args)}")
        if name == "not":
            return nodes.apply("not", self.condition(args[0], f"{path}[1]", depth + 1))
        left = self.operand(args[0], f"{path}[1]")
        if name == "has":
            return nodes.apply("has", left)
        return self.compared(name, left, args[1], f"{path}[2]")

    def compared(self, name: str, left: Node, value: Any, path: str) -> Node:
        """A comparison of a node with a literal or a term."""
        if name == "in":
            if not isinstance(value, list) or any(isinstance(item, list | dict) or item is None for item in value):
                return self.wrong(path, "'in' takes a list of literals")
            return nodes.apply("in", left, nodes.constant(value))
        if name == "starts" and not isinstance(value, str | list):
            return self.wrong(path, "'starts' takes a text")
        right = self.literal_or_term(value, path)
        if name in ("<", "<=", ">", ">=") and isinstance(right, nodes.Constant) and isinstance(right.value, bool):
            return self.wrong(path, f"'{name}' does not compare truth values")
        return nodes.apply(name, left, right)

    def operand(self, value: Any, path: str) -> Node:
        """A field's name or a term."""
        if isinstance(value, str):
            return self.field(value, path)
        return self.term(value, path)

    def literal_or_term(self, value: Any, path: str) -> Node:
        """A literal, or a term where it is a list."""
        if isinstance(value, list):
            return self.term(value, path)
        if value is None or isinstance(value, dict):
            return self.wrong(
                path, "a literal is a number, a text, true or false; to ask for absence use ['not', ['has', f]]"
            )
        return nodes.constant(value)

    def term(self, value: Any, path: str, depth: int = 0) -> Node:
        """Node of a term."""
        if depth > _DEPTH:
            return self.wrong(path, f"nested more than {_DEPTH} deep")
        if isinstance(value, bool | int | float | str):
            return nodes.constant(value)
        if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] not in TERMS:
            name = value[0] if isinstance(value, list) and value else value
            return self.wrong(path, f"unknown term {name!r}{suggest(str(name), TERMS)}")
        name, args = value[0], value[1:]
        if name == "+":
            if len(args) < 2:
                return self.wrong(path, f"'+' takes two or more terms, not {len(args)}")
            parts = [self.term(arg, f"{path}[{i}]", depth + 1) for i, arg in enumerate(args, 1)]
            result = parts[0]
            for part in parts[1:]:
                result = nodes.apply("+", result, part)
            return result
        if len(args) != 1 or not isinstance(args[0], str):
            return self.wrong(path, f"'{name}' takes one name")
        if name == "get":
            return self.field(args[0], f"{path}[1]")
        return self.accepted(name, args[0], f"{path}[1]")

    def accepted(self, kind: Any, text: str, path: str) -> Node:
        """A term over what a step has accepted; a step's name may hold dots, its field may not."""
        if kind == "count":
            step, name = text, ""
        else:
            step, dot, name = text.rpartition(".")
            if not dot or not name:
                return self.wrong(path, f"'{kind}' takes 'step.field', not '{text}'")
        if step not in self.steps:
            return self.wrong(
                path, f"unknown step '{step}'{suggest(step, self.steps)}; known here: {', '.join(self.steps)}"
            )
        if name:
            self.field(name, path)
        return nodes.accepted(kind, step, name)

    def field(self, name: str, path: str) -> Node:
        """A field of the event."""
        if not name:
            return self.wrong(path, "a field's name is empty")
        if self.fields is not None and name not in self.fields and name not in nodes.ENVELOPE:
            return self.wrong(path, f"no event has a field '{name}'{suggest(name, sorted(self.fields))}")
        return nodes.event_field(name)

    def wrong(self, path: str, message: str) -> Node:
        """Note a mistake."""
        self.problems.add(path, message, self.step)
        return nodes.TRUE
