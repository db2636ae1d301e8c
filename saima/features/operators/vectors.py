"""Vectors: `dot`, `l2_norm`, `cosine`; products are added left to right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import FLOAT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call

Vector = list[float | None]


def _same_length(call: Call) -> Type:
    a, b = call.arg("a").type, call.arg("b").type
    if a.name == b.name == "vector" and a.size != b.size:
        raise TypeFault(f"{call.operator.name} of vectors of lengths {a.size} and {b.size}")
    return FLOAT64


def _known_length(call: Call) -> int | None:
    sizes = {arg.type.size for arg in call.args if arg.type.name == "vector"}
    return sizes.pop() if len(sizes) == 1 and all(arg.type.name == "vector" for arg in call.args) else None


def _dot_lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    size = _known_length(call)
    if not size or size > 32:
        return by_rows(call, a, b)
    same = (a.list.len() == size) & (b.list.len() == size)
    total = pl.lit(0.0)
    for place in range(size):
        product = a.list.get(place, null_on_oob=True) * b.list.get(place, null_on_oob=True)
        total = total + product.fill_null(0.0)
    return pl.when(same).then(total)


@operator(a="list<float>", b="list<float>", returns=_same_length, lower=_dot_lower)
def dot(a: Vector, b: Vector) -> float | None:
    """Sum of the products, in order; a place with a null is skipped; lengths that differ give null.

    >>> dot([1.0, 2.0], [3.0, 4.0]), dot([1.0], [1.0, 2.0])
    (11.0, None)
    """
    if len(a) != len(b):
        return None
    total = 0.0
    for x, y in zip(a, b, strict=True):
        if x is not None and y is not None:
            total += x * y
    return total


@operator(a="list<float>", returns="float64", lower=by_rows)
def l2_norm(a: Vector) -> float:
    """Euclidean length.

    >>> l2_norm([3.0, 4.0])
    5.0
    """
    return math.sqrt(dot.reference(a, a))


@operator(a="list<float>", b="list<float>", returns=_same_length, lower=by_rows)
def cosine(a: Vector, b: Vector) -> float | None:
    """Cosine of the angle; null for a zero vector.

    >>> cosine([1.0, 0.0], [0.0, 2.0]), cosine([0.0], [1.0])
    (0.0, None)
    """
    product = dot.reference(a, b)
    lengths = math.sqrt(dot.reference(a, a)) * math.sqrt(dot.reference(b, b))
    return product / lengths if product is not None and lengths > 0 else None
