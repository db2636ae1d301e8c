"""Reductions of a list to one value: `sum`, `mean`, `min`, `max`, `variance`, `combine`; nulls inside are skipped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.online.vector import numbers as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import FLOAT64, INT64, INT64_MAX, INT64_MIN, Type, list_of, unify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.nodes import Call

HOWS = ("sum", "mean", "min", "max", "count", "first", "list")


def reduced_type(how: Any, value: Type) -> Type:
    """Type of a reduction of values. Raises TypeFault."""
    if how not in HOWS:
        raise TypeFault(f"unknown how {how!r}; one of {', '.join(HOWS)}")
    if how == "count":
        return INT64
    if how == "list":
        return list_of(value)
    if how == "first":
        return value
    if value.is_list and value.of.is_number:
        inner = FLOAT64 if how == "mean" or value.of.is_float else INT64
        return Type(value.name, inner, value.size)
    if value.is_decimal and how in ("sum", "min", "max"):
        return value
    if not value.is_number:
        raise TypeFault(f"{how} reduces numbers, not {value}; how='list', 'first' or 'count' take any")
    if how == "mean":
        return FLOAT64
    return FLOAT64 if how == "sum" and value.is_float else value


def reduce_values(values: list[Any], how: str) -> Any:
    """Reduction of present values; vectors element by element; None where nothing is found."""
    if how == "count":
        return len(values)
    if how == "list":
        return values
    if not values:
        return None
    if how == "first":
        return values[0]
    if isinstance(values[0], list):
        if len({len(value) for value in values}) > 1:
            return None
        return [reduce_values([v for v in column if v is not None], how) for column in zip(*values, strict=True)]
    if how == "mean":
        return _mean(values)
    return _sum(values) if how == "sum" else min(values) if how == "min" else max(values)


def _sum(values: list[Any]) -> Any:
    total: Any = 0
    for value in values:
        total += value
    return total if isinstance(total, float) or INT64_MIN <= total <= INT64_MAX else None


def _mean(values: list[Any]) -> float | None:
    if all(isinstance(value, int) for value in values):
        return float(sum(values) / len(values))
    total = float(_sum([float(value) for value in values]))
    return total / len(values) if math.isfinite(total) else None


def _numbers(call: Call) -> Type:
    inner = call.arg("xs").type.of
    return FLOAT64 if inner.is_float else inner


@operator(name="sum", xs="list<number>", returns=_numbers, lower=by_rows, decimals="align", counted="nulls")
def sum_(xs: list[Any]) -> Any:
    """Sum of a list, left to right; 0 of []; int64 sums are exact, null where they do not fit.

    >>> sum_([1, None, 2]), sum_([])
    (3, 0)
    """
    return _sum([x for x in xs if x is not None])


@operator(xs="list<number>", returns="float64", lower=by_rows, decimals="float")
def mean(xs: list[Any]) -> float | None:
    """Mean of a list; null of [].

    >>> mean([1, 2]), mean([])
    (1.5, None)
    """
    found = [x for x in xs if x is not None]
    return _mean(found) if found else None


def _extreme(call: Call) -> Type:
    if len(call.args) == 1:
        only = call.args[0].type
        if not only.is_list or only.of.element is not None:
            raise TypeFault(f"{call.operator.name} takes a list, or several scalars, not {only}", "xs")
        return only.of
    common: Type | None = call.args[0].type
    for arg in call.args[1:]:
        common = unify(common, arg.type) if common else None
    if common is None or common.element is not None:
        raise TypeFault(f"{call.operator.name} of {', '.join(str(arg.type) for arg in call.args)}", "xs")
    return common


def _extreme_lower(call: Call, *xs: pl.Expr) -> pl.Expr:
    greatest = call.operator.name == "max"
    if len(xs) == 1:
        return xs[0].list.max() if greatest else xs[0].list.min()
    dtype = call.type.polars
    wide = [x if arg.type == call.type else x.cast(dtype) for arg, x in zip(call.args, xs, strict=True)]
    present = pl.all_horizontal([x.is_not_null() for x in wide])
    return pl.when(present).then(pl.max_horizontal(wide) if greatest else pl.min_horizontal(wide))


def _extreme_bits(call: Call) -> float:
    return 63.0 if call.args[0].type.is_list and call.type.is_whole else max(arg.bits for arg in call.args)


@operator(
    name="min",
    decimals="align",
    xs="any",
    returns=_extreme,
    finite=False,
    bits=_extreme_bits,
    lower=_extreme_lower,
    vector=kernels.extreme(np.minimum),
)
def min_(*xs: Any) -> Any:
    """Least element of a list, or least of several scalars; null of [].

    >>> min_([2, 1]), min_(3, 0.5), min_([])
    (1, 0.5, None)
    """
    found = [x for x in xs[0] if x is not None] if len(xs) == 1 else list(xs)
    return min(found) if found else None


@operator(
    name="max",
    decimals="align",
    xs="any",
    returns=_extreme,
    finite=False,
    bits=_extreme_bits,
    lower=_extreme_lower,
    vector=kernels.extreme(np.maximum),
)
def max_(*xs: Any) -> Any:
    """Greatest element of a list, or greatest of several scalars; null of [].

    >>> max_([2, 1]), max_(3, 0.5)
    (2, 3)
    """
    found = [x for x in xs[0] if x is not None] if len(xs) == 1 else list(xs)
    return max(found) if found else None


def _variance_type(call: Call) -> Type:
    ddof = call.constants["ddof"]
    if not isinstance(ddof, int) or isinstance(ddof, bool) or ddof < 0:
        raise TypeFault(f"ddof is a whole number >= 0, not {ddof!r}")
    return FLOAT64


@operator(xs="list<float>", ddof="constant", returns=_variance_type, lower=by_rows)
def variance(xs: list[float | None], ddof: int = 0) -> float | None:
    """Sum of squared deviations from the mean over n - ddof; null for ddof >= n.

    >>> variance([1.0, 3.0]), variance([1.0, 3.0], ddof=1), variance([])
    (1.0, 2.0, None)
    """
    found = [x for x in xs if x is not None]
    if ddof >= len(found):
        return None
    centre = _sum(found) / len(found)
    return float(_sum([(x - centre) * (x - centre) for x in found])) / (len(found) - ddof)


def _combined(call: Call) -> Type:
    values, xs = call.constants["values"], call.arg("xs").type
    if values == {}:
        return reduced_type(call.constants["how"], xs.of)
    if not isinstance(values, dict) or any(
        isinstance(v, bool) or not isinstance(v, int | float) for v in values.values()
    ):
        raise TypeFault("values maps texts to numbers, such as {'a': 1}")
    if not xs.of.is_text:
        raise TypeFault(f"values are found by text; {xs.of} has none", "xs")
    return reduced_type(call.constants["how"], INT64 if all(isinstance(v, int) for v in values.values()) else FLOAT64)


@operator(xs="list", values="constant", how="constant", returns=_combined, lower=by_rows)
def combine(xs: list[Any], values: Mapping[str, float] = {}, how: str = "sum") -> Any:
    """Maps each element to its number in `values` (unmapped skipped; without values its own), then reduces.

    >>> combine(["a", "z", "b"], {"a": 1, "b": 2}), combine([1.0, 2.0])
    (3, 3.0)
    """
    present = [x for x in xs if x is not None]
    if values:
        texts = [text_of(x) for x in present]
        whole = all(isinstance(value, int) for value in values.values())
        present = [values[text] if whole else float(values[text]) for text in texts if text in values]
    if not present and how == "sum":
        return 0
    return reduce_values(present, how)


def text_of(value: Any) -> str:
    """Text of a scalar, as keys and terms compare by it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
