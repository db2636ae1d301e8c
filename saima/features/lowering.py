"""Lower typed nodes to Polars expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from saima.errors import SaimaError
from saima.features.nodes import Call, Column, Constant, Node
from saima.features.types import TIMESTAMP, Type, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAFE_BITS = {"float64": 1000.0, "float32": 126.0}


def lower(node: Node, columns: Mapping[str, str] | None = None, *, tame: bool = False) -> pl.Expr:
    """Polars expression of a node.

    columns: name of the column that already holds a node, by the node's key. tame: the frame has no NaN, no infinity
    and no float beyond 2**100, so that checks which can then never fail are left out; the values are the same.
    """
    expr, dirty = _lower(node, columns or {}, tame)
    return _clean(expr) if dirty else expr


def literal(node: Constant) -> pl.Expr:
    """Literal of its type; a list or map is one value, not a column."""
    if node.value is None:
        return pl.lit(None, dtype=node.type.polars)
    if node.type == TIMESTAMP:
        return pl.lit(node.value, dtype=pl.Int64).cast(node.type.polars)
    if node.type.element is not None:
        value = to_frame_value(node.value, node.type)
        return pl.lit(pl.Series([value], dtype=node.type.polars)).first()
    return pl.lit(node.value, dtype=node.type.polars)


def empty_list(dtype: Type) -> pl.Expr:
    """The empty list of a list type."""
    return pl.lit(pl.Series([[]], dtype=dtype.polars)).first()


def _clean(expr: pl.Expr) -> pl.Expr:
    return pl.when(expr.is_finite()).then(expr)


def _lower(node: Node, columns: Mapping[str, str], tame: bool) -> tuple[pl.Expr, bool]:
    if node.key in columns:
        return pl.col(columns[node.key]), False
    if isinstance(node, Constant):
        return literal(node), False
    if isinstance(node, Column):
        return _column(node, tame), False
    if not isinstance(node, Call):
        raise SaimaError(f"'{node.key}' cannot be computed")
    operator = node.operator
    exprs: list[pl.Expr] = []
    unchecked = False
    for arg in node.args:
        expr, dirty = _lower(arg, columns, tame)
        exprs.append(_clean(expr) if dirty and not operator.propagates else expr)
        unchecked = unchecked or (dirty and operator.propagates and node.type.is_float)
    if node.mapped:
        return _mapped(node, exprs), False
    expr = operator.lower(node, *exprs)
    if node.type.name == "list" and not operator.hidden:
        return expr.fill_null(empty_list(node.type)), False
    may_overflow = operator.finite and node.type.is_float and not (tame and node.bits <= _SAFE_BITS[node.type.name])
    return expr, unchecked or may_overflow


def _column(node: Column, tame: bool) -> pl.Expr:
    expr = pl.col(node.name)
    if node.feature:
        return expr
    if node.type.is_float:
        return expr if tame else expr.fill_nan(None)
    if node.type.is_list and node.type.of.is_float:
        return expr.list.eval(pl.element().fill_nan(None))
    if node.type.name == "map" and node.type.of.is_float:
        key, value = pl.element().struct.field("key"), pl.element().struct.field("value")
        return expr.list.eval(pl.struct(key, value.fill_nan(None)))
    return expr


def _mapped(node: Call, exprs: list[pl.Expr]) -> pl.Expr:
    operator = node.operator
    at = node.names.index(operator.maps or "")
    inner = operator.lower(node, *exprs[:at], pl.element(), *exprs[at + 1 :])
    if operator.finite and node.type.of.is_float:
        inner = _clean(inner)
    return exprs[at].list.eval(inner).fill_null(empty_list(node.type))
