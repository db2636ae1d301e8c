"""Which casts there are, and how Polars computes them."""

from __future__ import annotations

import polars as pl

from saima.features.operators.fixed_point import lower_from_decimal, lower_to_decimal
from saima.features.types import BOOL, FLOAT32, FLOAT64, INT64, STRING, TIMESTAMP, Type, list_of

SPACE = " \t\n\r\x0b\x0c"
WHOLE = r"^[+-]?[0-9]+$"
DECIMAL = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def castable(source: Type, target: Type) -> bool:
    """Whether `cast` knows the way."""
    if source == target or source.name == "null":
        return True
    if source.element is not None or target.element is not None:
        if source.name == "map" and target.is_list:
            return target == list_of(STRING)
        shapes = (source.name == target.name == "map") or (source.is_list and target.is_list)
        return shapes and castable(source.of, target.of)
    return (source.name, target.name) in _WAYS


_NUMBERS = ("int64", "float32", "float64")
_WAYS = {
    *((a, b) for a in _NUMBERS for b in _NUMBERS),
    *(("bool", b) for b in (*_NUMBERS, "string")),
    *(("string", b) for b in (*_NUMBERS, "bool")),
    *((a, "decimal") for a in (*_NUMBERS, "bool", "string", "decimal")),
    *(("decimal", b) for b in (*_NUMBERS, "string")),
    ("int64", "string"), ("int64", "bool"), ("int64", "timestamp"), ("timestamp", "int64"), ("timestamp", "string"),
}  # fmt: skip


def converted(x: pl.Expr, source: Type, target: Type) -> pl.Expr:
    """Expression of a value as another type, for a cast that there is."""
    if source == target or source.name == "null":
        return x if source == target else x.cast(target.polars)
    if target.name == "vector":
        return pl.when(x.list.len() == target.size).then(_elements(x, source, target))
    if target.name == "list":
        return x.list.eval(pl.element().struct.field("key")) if source.name == "map" else _elements(x, source, target)
    if target.name == "map":
        key, value = pl.element().struct.field("key"), pl.element().struct.field("value")
        return x.list.eval(pl.struct(key, converted(value, source.of, target.of).alias("value")))
    if source.is_decimal:
        number = lower_from_decimal(x, source.size, target)
        return converted(number, FLOAT64, target) if target == FLOAT32 else number
    if target.is_decimal:
        return lower_to_decimal(x, source, target.size)
    if source == STRING:
        return _parse(x, target)
    if source == BOOL and target == STRING:
        return pl.when(x).then(pl.lit("true")).when(x.not_()).then(pl.lit("false"))
    if target == BOOL:
        return pl.when(x == 1).then(pl.lit(True)).when(x == 0).then(pl.lit(False))
    if source == FLOAT64 and target == FLOAT32:
        narrowed = x.cast(pl.Float32)
        return pl.when(narrowed.is_finite() | x.is_infinite()).then(narrowed)
    if source == TIMESTAMP and target == STRING:
        return x.cast(pl.Int64).cast(pl.String)
    return x.cast(target.polars, strict=False)


def _elements(x: pl.Expr, source: Type, target: Type) -> pl.Expr:
    if source.of == target.of:
        return x
    return x.list.eval(converted(pl.element(), source.of, target.of))


def _parse(x: pl.Expr, target: Type) -> pl.Expr:
    text = x.str.strip_chars(SPACE)
    if target == BOOL:
        return (
            pl.when(text.is_in(["true", "1"])).then(pl.lit(True)).when(text.is_in(["false", "0"])).then(pl.lit(False))
        )
    if target == INT64:
        return pl.when(text.str.contains(WHOLE)).then(text.str.strip_prefix("+")).cast(pl.Int64, strict=False)
    number = pl.when(text.str.contains(DECIMAL)).then(text.str.strip_prefix("+")).cast(pl.Float64, strict=False)
    narrowed = number if target == FLOAT64 else number.cast(target.polars)
    return pl.when(narrowed.is_finite()).then(narrowed)
