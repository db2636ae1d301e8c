"""Vectors: `dot`, `l2_norm`, `cosine`; products are added left to right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from saima.features.operators.base import TypeFault, operator
from saima.features.types import FLOAT64, Type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call

    Array = NDArray[np.float64]

Vector = list[float | None]
_CELLS = 1 << 20


class _Lists(NamedTuple):
    """A column of lists: the elements of all rows [total], NaN where missing; where each row starts, its length, [n].

    A missing row has length -1.
    """

    flat: Array
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def block(self, rows: slice, width: int) -> Array:
        """Elements of rows [rows, width]; what a row lacks is NaN. A column of one row stands for every row."""
        starts, lengths = (
            (self.starts, self.lengths) if len(self.starts) == 1 else (self.starts[rows], self.lengths[rows])
        )
        if (lengths == width).all():
            return self.flat[starts[0] : starts[0] + len(starts) * width].reshape(-1, width)
        places = np.arange(width)
        inside = places < lengths[:, None]
        found = np.full(inside.shape, np.nan)
        found[inside] = self.flat[(starts[:, None] + places)[inside]]
        return found


def _lists(column: pl.Series) -> _Lists:
    lengths = column.list.len().cast(pl.Int64)
    flat = column.filter(lengths > 0).explode().cast(pl.Float64).fill_null(math.nan).to_numpy()
    ends = lengths.fill_null(0).cum_sum().to_numpy()
    held = lengths.fill_null(-1).to_numpy()
    return _Lists(flat, ends - np.maximum(held, 0), held)


def _products(a: _Lists, b: _Lists, n: int) -> Array:
    """For each row the sum of products, left to right; a place with a missing element adds nothing [n]."""
    width = max(int(a.lengths.max()), int(b.lengths.max()), 0)
    if width == 0:
        return np.zeros(n)
    step = max(1, _CELLS // width)

    def parts() -> Iterator[Array]:
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            products = a.block(rows, width) * b.block(rows, width)
            missing = np.isnan(a.block(rows, width)) | np.isnan(b.block(rows, width))
            products = np.where(missing, 0.0, products)
            yield np.broadcast_to(np.add.accumulate(products, axis=1)[:, -1] + 0.0, rows.stop - rows.start)

    return np.concatenate(list(parts()))


def _by_lists(function: Callable[..., Array]) -> Callable[..., pl.Expr]:
    """Lowering to a function of columns of lists and their number of rows; NaN is a missing result."""

    def run(columns: Sequence[pl.Series]) -> pl.Series:
        n = 0 if any(len(column) == 0 for column in columns) else max(len(column) for column in columns)
        if n == 0:
            return pl.Series("", [], dtype=pl.Float64)
        with np.errstate(all="ignore"):
            found = function(*map(_lists, columns), n)
        return pl.Series("", found, nan_to_null=True)

    def lower(_: Call, *exprs: pl.Expr) -> pl.Expr:
        return pl.map_batches(list(exprs), run, return_dtype=pl.Float64, is_elementwise=True)

    return lower


def _dots(a: _Lists, b: _Lists, n: int) -> Array:
    alike = (a.lengths == b.lengths) & (a.lengths >= 0)
    return np.where(alike, _products(a, b, n), math.nan)


def _norms(a: _Lists, n: int) -> Array:
    return np.where(a.lengths >= 0, np.sqrt(_products(a, a, n)), math.nan)


def _cosines(a: _Lists, b: _Lists, n: int) -> Array:
    lengths = _norms(a, n) * _norms(b, n)
    return _dots(a, b, n) / np.where(lengths > 0, lengths, math.nan)


def _same_length(call: Call) -> Type:
    a, b = call.arg("a").type, call.arg("b").type
    if a.name == b.name == "vector" and a.size != b.size:
        raise TypeFault(f"{call.operator.name} of vectors of lengths {a.size} and {b.size}")
    return FLOAT64


@operator(a="list<float>", b="list<float>", returns=_same_length, lower=_by_lists(_dots), exact=True)
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


@operator(a="list<float>", returns="float64", lower=_by_lists(_norms), exact=True)
def l2_norm(a: Vector) -> float:
    """Euclidean length.

    >>> l2_norm([3.0, 4.0])
    5.0
    """
    return math.sqrt(dot.reference(a, a))


@operator(a="list<float>", b="list<float>", returns=_same_length, lower=_by_lists(_cosines), exact=True)
def cosine(a: Vector, b: Vector) -> float | None:
    """Cosine of the angle; null for a zero vector.

    >>> cosine([1.0, 0.0], [0.0, 2.0]), cosine([0.0], [1.0])
    (0.0, None)
    """
    product = dot.reference(a, b)
    lengths = math.sqrt(dot.reference(a, a)) * math.sqrt(dot.reference(b, b))
    return product / lengths if product is not None and lengths > 0 else None
