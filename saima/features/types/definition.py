"""Static types of the feature language and their Polars forms."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from saima.errors import SaimaError

SCALARS = ("int64", "float32", "float64", "bool", "string", "timestamp")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


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
    def is_decimal(self) -> bool:
        """Fixed point."""
        return self.name == "decimal"

    @property
    def is_whole(self) -> bool:
        """int64, or decimal, which is held as one."""
        return self.name in ("int64", "decimal")

    @property
    def has_decimal(self) -> bool:
        """A decimal, or a list, map or vector of them."""
        return self.is_decimal or (self.element is not None and self.element.has_decimal)

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


def unify(left: Type, right: Type) -> Type | None:
    """Type that holds both, or None: numbers widen to float64, decimals to more digits, null fits anything.

    >>> str(unify(INT64, FLOAT32))
    'float64'
    """
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if left.is_whole and right.is_whole:
        return Type("decimal", size=max(left.size, right.size))
    if (left.is_number or left.is_decimal) and (right.is_number or right.is_decimal):
        return FLOAT64
    if left.is_list and right.is_list:
        element = unify(left.of, right.of)
        return list_of(element) if element else None
    if left.name == right.name == "map":
        element = unify(left.of, right.of)
        return map_of(element) if element else None
    return None
