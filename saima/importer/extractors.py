"""The small language of extractors: `Name(argument, ...)` over `$names`, numbers and texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saima.importer.markup import Attribute

DEPTH = 32

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>\$[A-Za-z_]\w*(?:\.\w+)*)|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[lLfFdD]?(?!\w)
    |(?P<text>"[^"]*"|'[^']*')|(?P<word>[A-Za-z_]\w*)|(?P<mark>[(),]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Reference:
    """`$item_id`, `$u_act.followed_rooms`; `at` is the character of the value, from 0."""

    parts: tuple[str, ...]
    at: int


@dataclass(frozen=True)
class Literal:
    """A number or a text."""

    value: Any
    at: int


@dataclass(frozen=True)
class Use:
    """A function's name and its arguments."""

    function: str
    arguments: tuple[Tree, ...]
    at: int


Tree = Reference | Literal | Use


def parse(attribute: Attribute) -> Tree:
    """Tree of an extractor. Raises DeclarationError at the character that does not fit."""
    tokens = list(_tokens(attribute))
    tree, rest = _tree(attribute, tokens, 0)
    if rest:
        raise attribute.error(f"'{rest[0][1]}' stands after the extractor's end", rest[0][2])
    return tree


def _tokens(attribute: Attribute) -> Iterator[tuple[str, str, int]]:
    text, at = attribute.value, 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise attribute.error(f"'{text[start]}' is not part of an extractor", start)
        yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
        at = match.end()


Tokens = list[tuple[str, str, int]]


def _tree(attribute: Attribute, tokens: Tokens, depth: int) -> tuple[Tree, Tokens]:
    if not tokens:
        raise attribute.error("the extractor ends too early", len(attribute.value))
    (kind, text, at), rest = tokens[0], tokens[1:]
    if depth > DEPTH:
        raise attribute.error(f"an extractor is nested at most {DEPTH} deep", at)
    if kind == "name":
        return Reference(tuple(text[1:].split(".")), at), rest
    if kind == "number":
        return Literal(float(text) if set(text) & set(".eE") else int(text), at), rest
    if kind == "text":
        return Literal(text[1:-1], at), rest
    if kind != "word":
        raise attribute.error(f"'{text}' stands where a value is expected", at)
    if not rest or rest[0][1] != "(":
        raise attribute.error(f"'{text}' is no value: a column is '${text}', a function '{text}(...)'", at)
    arguments: list[Tree] = []
    rest = rest[1:]
    while rest and rest[0][1] != ")":
        argument, rest = _tree(attribute, rest, depth + 1)
        arguments.append(argument)
        if rest and rest[0][1] == "," and rest[1:] and rest[1][1] != ")":
            rest = rest[1:]
        elif not rest or rest[0][1] != ")":
            raise attribute.error(f"',' or ')' expected in {text}(...)", rest[0][2] if rest else len(attribute.value))
    if not rest:
        raise attribute.error(f"{text}( is not closed", at)
    return Use(text, tuple(arguments), at), rest[1:]
