"""Missing values and conversions: `is_null`, `coalesce`, `cast`."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.nodes import magnitude
from saima.features.online.vector import logic as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.casts import DECIMAL, SPACE, WHOLE, castable, converted
from saima.features.operators.fixed_point import from_decimal, to_decimal
from saima.features.types import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    INT64_MAX,
    INT64_MIN,
    STRING,
    Type,
    TypeTextError,
    narrow,
    parse_type,
    unify,
)

if TYPE_CHECKING:
    from saima.features.nodes import Call


@operator(
    x="any", returns=lambda _: BOOL, lower=lambda _, x: x.is_null(), nulls="own", bits=0.0, exact=True,
    vector=kernels.is_null,
)  # fmt: skip
def is_null(x: Any) -> bool:
    """Whether x is missing: null or NaN; not the empty text, not the empty list.

    >>> is_null(None), is_null("")
    (True, False)
    """
    return x is None


def _common(call: Call) -> Type:
    found = unify(call.arg("x").type, call.arg("d").type)
    if found is None:
        raise TypeFault(f"coalesce of {call.arg('x').type} and {call.arg('d').type}; cast one of them", "d")
    return found


def _widest(call: Call) -> float:
    return max(arg.bits for arg in call.args)


@operator(
    x="any", d="any", returns=_common, nulls="own", finite=False, bits=_widest, exact=True, vector=kernels.coalesce,
    decimals="align",
    lower=lambda call, x, d: pl.coalesce(*_as_result(call, x, d)),
)  # fmt: skip
def coalesce(x: Any, d: Any) -> Any:
    """x, or d where x is missing.

    >>> coalesce(None, 1.5)
    1.5
    """
    return d if x is None else x


def _as_result(call: Call, *exprs: pl.Expr) -> list[pl.Expr]:
    dtype = call.type.polars
    return [x if arg.type == call.type else x.cast(dtype) for arg, x in zip(call.args, exprs, strict=True)]


def _target(call: Call) -> Type:
    text = call.constants["dtype"]
    if not isinstance(text, str):
        raise TypeFault("cast(x, dtype): dtype is the text of a type, such as 'int64'", None)
    try:
        target = parse_type(text)
    except TypeTextError as error:
        raise TypeFault(str(error)) from None
    source = call.arg("x").type
    if not castable(source, target):
        hint = (
            "; the text of a float is not portable, round it to int64 first"
            if source.is_float and target == STRING
            else ""
        )
        raise TypeFault(f"{source} cannot be cast to {target}{hint}", "x")
    return target


def _lower_cast(call: Call, x: pl.Expr) -> pl.Expr:
    return converted(x, call.arg("x").type, call.type)


def _lower_unchecked(call: Call, x: pl.Expr) -> pl.Expr:
    narrows = call.arg("x").type == FLOAT64 and call.type == FLOAT32
    return x.cast(pl.Float32) if narrows else _lower_cast(call, x)


def _cast_bits(call: Call) -> float:
    source = call.arg("x")
    if source.type.is_number and call.type.is_number:
        return min(source.bits, 63.0) if call.type == INT64 else source.bits
    return magnitude(1) if call.type == BOOL else 63.0 if call.type.is_whole else float("inf")


@operator(
    x="any", dtype="constant", returns=_target, lower=_lower_cast, unchecked=_lower_unchecked, propagates=True,
    finite=False, bits=_cast_bits, exact=True, vector=kernels.cast, counted="nulls",
)  # fmt: skip
def cast(x: Any, dtype: str) -> Any:
    """x as another type; a cast that fails is null and counted.

    Float to int truncates toward zero; text is trimmed and must be a whole number; `true`, `false`, `1`, `0` are bool;
    a decimal of fewer digits rounds half away from zero; a map as a list of texts is its keys.

    >>> cast(" 12 ", "int64"), cast("abc", "int64"), cast(-1.9, "int64")
    (12, None, -1)
    """
    return cast_value(x, parse_type(dtype))


coerce = replace(cast, name="as", hidden=True)
"""The cast that types need by themselves; unlike a written one it leaves a missing list missing."""


@operator(
    x="any", dtype="constant", source="constant", returns=_target, lower=_lower_cast, finite=False, bits=_cast_bits,
    exact=True, counted="nulls", hidden=True,
)  # fmt: skip
def recast(x: Any, dtype: str, source: str) -> Any:
    """The cast of what holds decimals, whose digits alone do not tell their scale.

    >>> recast(125, "float64", "decimal(2)"), recast([125, None], "list<int64>", "list<decimal(2)>")
    (1.25, [1, None])
    """
    return _recast(x, parse_type(source), parse_type(dtype))


def _recast(x: Any, source: Type, target: Type) -> Any:
    if x is None or source == target:
        return x
    if isinstance(x, dict):
        if target.is_list:
            return list(x)
        return {key: _recast(value, source.of, target.of) for key, value in x.items()}
    if isinstance(x, list):
        if target.name == "vector" and len(x) != target.size:
            return None
        return [_recast(item, source.of, target.of) for item in x]
    if not source.is_decimal:
        return cast_value(x, target)
    value = from_decimal(x, source.size, target)
    return narrow(value) if target == FLOAT32 else value


def cast_value(x: Any, target: Type) -> Any:
    """Plain-Python cast of one value."""
    if x is None:
        return None
    if isinstance(x, dict):
        return list(x) if target.is_list else {key: cast_value(value, target.of) for key, value in x.items()}
    if isinstance(x, list):
        if target.name == "vector" and len(x) != target.size:
            return None
        return [cast_value(item, target.of) for item in x]
    if target.is_decimal:
        return to_decimal(x, target.size)
    if isinstance(x, str):
        return _parse_text(x.strip(SPACE), target)
    match target.name:
        case "string":
            return str(x).lower() if isinstance(x, bool) else str(x)
        case "bool":
            return bool(x) if x in (0, 1) else None
        case "int64" | "timestamp":
            whole = int(x) if math.isfinite(x) else INT64_MAX + 1
            return whole if INT64_MIN <= whole <= INT64_MAX else None
        case "float32":
            return narrow(x)
    return float(x)


def _parse_text(text: str, target: Type) -> Any:
    match target.name:
        case "string":
            return text
        case "bool":
            return {"true": True, "1": True, "false": False, "0": False}.get(text)
        case "int64":
            whole = int(text) if re.fullmatch(WHOLE[1:-1], text) else None
            return whole if whole is not None and INT64_MIN <= whole <= INT64_MAX else None
    number = float(text) if re.fullmatch(DECIMAL[1:-1], text) else None
    return cast_value(number, target) if number is not None and math.isfinite(number) else None


def implicit(source: Type, target: Type) -> bool:
    """Whether a feature's value becomes its declared dtype by itself: numbers to numbers, also inside lists."""
    if source == target or source.name == "null":
        return True
    if source.is_list and target.is_list:
        return implicit(source.of, target.of)
    if source.name == target.name == "map":
        return implicit(source.of, target.of)
    if source.name == "map" and target.is_list:
        return castable(source, target)
    return (source.is_number or source.is_decimal) and (target.is_number or target.is_decimal)
