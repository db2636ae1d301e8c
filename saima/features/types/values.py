"""Values of the feature language's types: literals, declared and sent values, and their forms in a frame."""

from __future__ import annotations

import struct
from typing import Any

import polars as pl

from saima.features.types.decimals import digits_of, number_of
from saima.features.types.definition import (
    BOOL,
    FLOAT64,
    INT64,
    INT64_MAX,
    INT64_MIN,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    unify,
)


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


def declared(value: Any, dtype: Type) -> Any:
    """A value as a declaration writes it, in its type: a decimal as its digits.

    >>> from saima.features.types import parse_type
    >>> declared([1.25, None], parse_type("list<decimal(2)>"))
    [125, None]
    """
    if value is None or not dtype.has_decimal:
        return value
    if isinstance(value, dict):
        return {key: declared(item, dtype.of) for key, item in value.items()}
    if isinstance(value, list):
        return [declared(item, dtype.of) for item in value]
    return digits_of(value, dtype.size) if isinstance(value, int | float) and not isinstance(value, bool) else value


def declarable(value: Any, dtype: Type) -> bool:
    """Whether a declaration may write a value of a type; a decimal has no more digits than its type."""
    return fits(declared(value, dtype), dtype) and _written(value, dtype)


def _written(value: Any, dtype: Type) -> bool:
    if value is None or not dtype.has_decimal:
        return True
    if dtype.is_decimal:
        return number_of(declared(value, dtype), dtype.size) == float(value)
    return all(_written(item, dtype.of) for item in (value.values() if isinstance(value, dict) else value))


_FLOAT32 = struct.Struct("<f")


def narrow(value: float) -> float | None:
    """The nearest float32 of a number; None where it is beyond float32. An infinity stays.

    >>> narrow(0.1)
    0.10000000149011612
    """
    try:
        found: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except (OverflowError, struct.error):  # the latter of an integer beyond float64
        return None
    return found


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
