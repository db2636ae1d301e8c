"""Static types of the feature language, their texts and their Polars forms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from saima.errors import SaimaError, suggest

SCALARS = ("int64", "float32", "float64", "bool", "string", "timestamp")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class TypeTextError(SaimaError):
    """A text that is not a type; `column` is where it goes wrong, 1-based."""

    def __init__(self, message: str, column: int = 1) -> None:
        self.column = column
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Type:
    """A type: `name`, the type of its elements for list, map and vector, and its size for vector and decimal."""

    name: str
    element: Type | None = None
    size: int = 0

    def __str__(self) -> str:
        match self.name:
            case "list":
                return f"list<{self.element}>"
            case "map":
                return f"map<string,{self.element}>"
            case "vector":
                return f"vector<{self.element},{self.size}>"
            case "decimal":
                return f"decimal({self.size})"
        return self.name

    @property
    def is_float(self) -> bool:
        """Float of either width."""
        return self.name in ("float32", "float64")

    @property
    def is_number(self) -> bool:
        """int64, float32 or float64."""
        return self.name == "int64" or self.is_float

    @property
    def is_list(self) -> bool:
        """A list or a vector."""
        return self.name in ("list", "vector")

    @property
    def is_text(self) -> bool:
        """A scalar with one text: string, int64, bool (`true`, `false`) or timestamp (its milliseconds)."""
        return self.name in ("string", "int64", "bool", "timestamp")

    @property
    def polars(self) -> pl.DataType:
        """Type in a frame; a map is a list of {key, value}, a vector a list, a decimal its digits as Int64."""
        if self.element is not None:
            inner = self.element.polars
            if self.name == "map":
                return pl.List(pl.Struct({"key": pl.String(), "value": inner}))
            return pl.List(inner)
        return _POLARS[self.name]

    @property
    def of(self) -> Type:
        """Type of the elements; only of a list, map or vector."""
        if self.element is None:
            raise SaimaError(f"{self} has no elements")
        return self.element


_POLARS: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "timestamp": pl.Datetime("ms", "UTC"),
    "decimal": pl.Int64(),
    "null": pl.Null(),
}

INT64 = Type("int64")
FLOAT32 = Type("float32")
FLOAT64 = Type("float64")
BOOL = Type("bool")
STRING = Type("string")
TIMESTAMP = Type("timestamp")
NULL = Type("null")
"""Type of the literal None: it fits every other."""


def list_of(element: Type) -> Type:
    """list<element>."""
    return Type("list", element)


def map_of(element: Type) -> Type:
    """map<string,element>."""
    return Type("map", element)


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


def unify(left: Type, right: Type) -> Type | None:
    """Type that holds both, or None: numbers widen to float64, null fits anything.

    >>> str(unify(INT64, FLOAT32))
    'float64'
    """
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if left.is_number and right.is_number:
        return FLOAT64
    if left.is_list and right.is_list:
        element = unify(left.of, right.of)
        return list_of(element) if element else None
    if left.name == right.name == "map":
        element = unify(left.of, right.of)
        return map_of(element) if element else None
    return None


def type_of(value: Any) -> Type | None:
    """Type of a literal; None where the language has none (mixed lists, integers beyond int64)."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT64 if INT64_MIN <= value <= INT64_MAX else None
        case float():
            return FLOAT64
        case str():
            return STRING
        case list() | tuple():
            element: Type | None = NULL
            for item in value:
                found = type_of(item)
                element = unify(element, found) if element and found else None
            return list_of(element) if element else None
        case dict():
            inner = type_of(list(value.values()))
            return map_of(inner.of) if inner and all(isinstance(key, str) for key in value) else None
    return None


def fits(value: Any, dtype: Type) -> bool:
    """Whether a value from a declaration or a request is of a type, without any cast but int to float."""
    match dtype.name:
        case "bool":
            return isinstance(value, bool)
        case "int64" | "timestamp" | "decimal":
            return isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX
        case "float32" | "float64":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "map":
            return isinstance(value, dict) and all(
                isinstance(key, str) and (item is None or fits(item, dtype.of)) for key, item in value.items()
            )
    if not isinstance(value, list) or (dtype.name == "vector" and len(value) != dtype.size):
        return False
    return all(item is None or fits(item, dtype.of) for item in value)


_FLOAT32_BEYOND = 3.4028235677973366e38


def narrow(value: float) -> float | None:
    """The nearest float32 of a number; None where it is beyond float32. An infinity stays.

    >>> narrow(0.1)
    0.10000000149011612
    """
    if abs(value) >= _FLOAT32_BEYOND and abs(value) != math.inf:
        return None
    return float(np.float32(value))


def to_frame_value(value: Any, dtype: Type) -> Any:
    """A Python value as Polars wants it for the type: a map as a list of {key, value}."""
    if value is None:
        return None
    if dtype.name == "map":
        return [{"key": key, "value": to_frame_value(item, dtype.of)} for key, item in value.items()]
    if dtype.is_list:
        return [to_frame_value(item, dtype.of) for item in value]
    if dtype.name == "float32":
        return narrow(value)
    return float(value) if dtype.name == "float64" else value


def from_frame_value(value: Any, dtype: Type) -> Any:
    """Inverse of `to_frame_value`."""
    if value is None:
        return None
    if dtype.name == "map":
        return {pair["key"]: from_frame_value(pair["value"], dtype.of) for pair in value}
    if dtype.is_list:
        return [from_frame_value(item, dtype.of) for item in value]
    return value


def series(name: str, values: list[Any], dtype: Type) -> pl.Series:
    """Values (timestamps as int64 ms) as a column of a frame."""
    if dtype == TIMESTAMP:
        return pl.Series(name, values, dtype=pl.Int64).cast(dtype.polars)
    return pl.Series(name, [to_frame_value(value, dtype) for value in values], dtype=dtype.polars)
