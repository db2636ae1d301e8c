"""Texts of types: `map<string, list<int64>>`."""

from __future__ import annotations

import re
from functools import cache

from saima.errors import SaimaError, suggest
from saima.features.types.definition import SCALARS, Type, list_of, map_of


class TypeTextError(SaimaError):
    """A text that is not a type; `column` is where it goes wrong, 1-based."""

    def __init__(self, message: str, column: int = 1) -> None:
        self.column = column
        super().__init__(message)


_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\d+|[<>(),])\s*")


@cache
def parse_type(text: str) -> Type:
    """Type of a text.

    >>> str(parse_type("map<string, list<int64>>"))
    'map<string,list<int64>>'

    Raises TypeTextError.
    """
    tokens: list[tuple[str, int]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise TypeTextError(f"'{text}' is not a type: unexpected '{text[at]}'", at + 1)
        tokens.append((match[1], match.start(1) + 1))
        at = match.end()
    parsed, rest = _parse(text, tokens)
    if rest:
        raise TypeTextError(f"'{text}' is not a type: unexpected '{rest[0][0]}'", rest[0][1])
    return parsed


def _parse(text: str, tokens: list[tuple[str, int]]) -> tuple[Type, list[tuple[str, int]]]:
    if not tokens:
        raise TypeTextError(f"'{text}' is not a type: it ends too early", len(text) + 1)
    (name, column), rest = tokens[0], tokens[1:]
    if name in SCALARS:
        return Type(name), rest
    if name == "decimal":
        (size, _), rest = _expect(text, rest, "(", digits=True)
        _, rest = _take(text, rest, ")")
        if int(size) > 18:
            raise TypeTextError(f"'{text}': int64 holds at most 18 digits after the point", column)
        return Type("decimal", size=int(size)), rest
    if name == "list":
        _, rest = _take(text, rest, "<")
        element, rest = _parse(text, rest)
        _, rest = _take(text, rest, ">")
        return list_of(element), rest
    if name == "map":
        _, rest = _take(text, rest, "<")
        _, rest = _take(text, rest, "string")
        _, rest = _take(text, rest, ",")
        element, rest = _parse(text, rest)
        _, rest = _take(text, rest, ">")
        return map_of(element), rest
    if name == "vector":
        _, rest = _take(text, rest, "<")
        element, rest = _parse(text, rest)
        if not element.is_number:
            raise TypeTextError(f"'{text}': a vector holds numbers, not {element}", column)
        (size, _), rest = _expect(text, rest, ",", digits=True)
        _, rest = _take(text, rest, ">")
        return Type("vector", element, int(size)), rest
    known = [*SCALARS, "decimal", "list", "map", "vector"]
    raise TypeTextError(f"unknown type '{name}'{suggest(name, known)}", column)


def _take(text: str, tokens: list[tuple[str, int]], wanted: str) -> tuple[str, list[tuple[str, int]]]:
    if not tokens or tokens[0][0] != wanted:
        column = tokens[0][1] if tokens else len(text) + 1
        raise TypeTextError(f"'{text}' is not a type: '{wanted}' expected", column)
    return tokens[0][0], tokens[1:]


def _expect(
    text: str, tokens: list[tuple[str, int]], opening: str, *, digits: bool
) -> tuple[tuple[str, int], list[tuple[str, int]]]:
    _, rest = _take(text, tokens, opening)
    if digits and (not rest or not rest[0][0].isdigit()):
        raise TypeTextError(f"'{text}' is not a type: a number expected", rest[0][1] if rest else len(text) + 1)
    return rest[0], rest[1:]
