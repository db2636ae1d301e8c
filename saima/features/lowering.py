"""Lower typed nodes to Polars expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from saima.errors import SaimaError
from saima.features.nodes import Call, Column, Constant, Node, constant
from saima.features.types import TIMESTAMP, Type, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.operators.base import Lowering
    from saima.features.stages import Computed

_SAFE_BITS = {"float64": 1000.0, "float32": 126.0}
_LONG = 8
"""References to columns from which an expression costs more to compute twice than to hand to Python once."""


def lower(node: Node, columns: Mapping[str, str] | None = None, *, tame: bool = False) -> pl.Expr:
    """Polars expression of a node.

    columns: name of the column that already holds a node, by the node's key. tame: the frame has no NaN, no infinity
    and no float beyond 2**100, so that checks which can then never fail are left out; the values are the same.
    """
    lowerer = Lowerer(columns or {}, tame=tame)
    return lowerer.checked(lowerer.raw(node)).expr


def with_default(expr: pl.Expr, feature: Computed) -> pl.Expr:
    """The expression with the feature's default where it is missing."""
    return expr if feature.default is None else expr.fill_null(default_of(feature))


def default_of(feature: Computed) -> pl.Expr:
    """Literal of a feature's default."""
    if feature.default == []:
        return empty_list(feature.dtype)
    return literal(constant(feature.default, feature.dtype))


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


@dataclass(frozen=True)
class Lowered:
    """An expression of a node.

    dirty: NaN and infinities stand where the value is missing; `Lowerer.checked` puts nulls there. plain: a column or
    a literal, free to refer to. step: the first step in which the columns that it refers to are there.
    """

    expr: pl.Expr
    dirty: bool = False
    plain: bool = False
    step: int = 0


class Lowerer:
    """Lowers nodes, each to one expression: what an operator refers to twice is written twice."""

    def __init__(self, columns: Mapping[str, str], *, tame: bool) -> None:
        self._columns = columns
        self.tame = tame

    def raw(self, node: Node) -> Lowered:
        """A node, its own result perhaps not checked."""
        if node.key in self._columns:
            return Lowered(pl.col(self._columns[node.key]), plain=True)
        if isinstance(node, Constant):
            return Lowered(literal(node), plain=True)
        if isinstance(node, Column):
            return self.column(node)
        if not isinstance(node, Call):
            raise SaimaError(f"'{node.key}' cannot be computed")
        return self._call(node)

    def checked(self, found: Lowered) -> Lowered:
        """Null instead of what is not finite."""
        if not found.dirty:
            return found
        held = self.hold(found)
        return Lowered(finite(held.expr), step=held.step)

    def column(self, node: Column) -> Lowered:
        """A column, missing where it is NaN."""
        expr = _present(node, self.tame)
        return Lowered(expr, plain=expr.meta.is_column())

    def hold(self, found: Lowered) -> Lowered:
        """The expression as it is best referred to more than once."""
        return found

    def arguments(self, found: list[Lowered], _node: Call, _run: Lowering, /) -> list[Lowered]:
        """Arguments as the call's lowering is best given them."""
        return found

    def _call(self, node: Call) -> Lowered:
        operator = node.operator
        found = [self.raw(arg) for arg in node.args]
        found = found if operator.propagates else [self.checked(one) for one in found]
        unchecked = node.type.is_float and any(one.dirty for one in found)
        bounded = self.tame and node.type.is_float and node.bits <= _SAFE_BITS[node.type.name]
        run = operator.unchecked if operator.unchecked and (unchecked or bounded) else operator.lower
        if not node.mapped:
            found = self.arguments(found, node, run)
        step = max((one.step for one in found), default=0)
        exprs = [one.expr for one in found]
        if node.mapped:
            return Lowered(_mapped(node, exprs), step=step)
        expr = run(node, *exprs)
        if node.type.name == "list" and not operator.hidden:
            return Lowered(expr.fill_null(empty_list(node.type)), step=step)
        return Lowered(expr, unchecked or (operator.finite and node.type.is_float and not bounded), step=step)


def finite(expr: pl.Expr) -> pl.Expr:
    """Null where an expression is not finite; a long one is not written twice."""
    if len(expr.meta.root_names()) > _LONG:
        return expr.map_batches(_finite, return_dtype=pl.self_dtype(), is_elementwise=True)
    return pl.when(expr.is_finite()).then(expr)


def _finite(values: pl.Series) -> pl.Series:
    return values.to_frame("x").select(finite(pl.col("x"))).to_series().alias(values.name)


def _present(node: Column, tame: bool) -> pl.Expr:
    expr = pl.col(node.name)
    if node.feature:
        return expr
    if node.type.is_float:
        return expr if tame else pl.when(expr.is_not_nan()).then(expr)
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
        inner = finite(inner)
    return exprs[at].list.eval(inner).fill_null(empty_list(node.type))
