"""Metrics as declared: expressions of the feature language over sample columns, summed by unit and day."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from saima.errors import DeclarationError
from saima.features.expression import Scope, compile_expression
from saima.features.lowering import lower
from saima.features.nodes import Node, column
from saima.features.syntax import ExpressionError
from saima.features.types import BOOL, FLOAT32, FLOAT64, INT64, STRING, Type
from saima.routing.experiments import Metric

_DAY = "%Y-%m-%d"


def sums(samples: pl.LazyFrame, metrics: Mapping[str, Metric]) -> pl.LazyFrame:
    """Unit sums by day: unit, arm, day (UTC, of the decision), and `<metric>:value`, `<metric>:denominator` of each.

    A mean's denominator counts its samples. A sample without a value counts in neither. Raises DeclarationError naming
    the metric and the column in its expression.
    """
    schema = samples.collect_schema()
    scope = scope_of(schema)
    rows: list[pl.Expr] = []
    for name, declared in metrics.items():
        value = _number(f"metrics.{name}.value", declared.value, scope)
        if declared.denominator is None:
            known = value.is_not_null()
            denominator = known.cast(pl.Float64)
        else:
            divisor = _number(f"metrics.{name}.denominator", declared.denominator, scope)
            known = value.is_not_null() & divisor.is_not_null()
            denominator = pl.when(known).then(divisor)
        rows += [pl.when(known).then(value).alias(f"{name}:value"), denominator.alias(f"{name}:denominator")]
    day = pl.from_epoch(pl.col("time").cast(pl.Int64), "ms").dt.strftime(_DAY).alias("day")
    return samples.select("unit", "arm", day, *rows).group_by("unit", "arm", "day").agg(pl.all().sum())


def scope_of(schema: Mapping[str, pl.DataType]) -> Scope:
    """Names that a metric may use: the scalar columns of samples, `label` and `score` among them."""
    names: dict[str, Node] = {}
    for name, dtype in schema.items():
        known = _type(dtype)
        if known is not None:
            names[name] = column(name, known, "request")
    return Scope(names)


def _number(place: str, text: str, scope: Scope) -> pl.Expr:
    try:
        node = compile_expression(text, scope)
    except ExpressionError as error:
        caret = f"  {text}\n  {' ' * (error.column - 1)}^"
        raise DeclarationError(f"{place}: {error.message}", caret=caret) from error
    if not (node.type.is_number or node.type == BOOL):
        raise DeclarationError(f"{place}: '{text}' is {node.type}, not a number")
    return lower(node).cast(pl.Float64).fill_nan(None)


def _type(dtype: pl.DataType) -> Type | None:
    if dtype.is_integer():
        return INT64
    if dtype.is_float():
        return FLOAT32 if dtype == pl.Float32 else FLOAT64
    return {pl.Boolean(): BOOL, pl.String(): STRING}.get(dtype)
