"""Metrics as declared: expressions of the feature language over sample columns, summed by unit and day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import polars as pl

from saima.errors import DeclarationError
from saima.features.expression import Scope, compile_expression
from saima.features.lowering import lower
from saima.features.nodes import Node, column
from saima.features.syntax import ExpressionError
from saima.features.types import BOOL, FLOAT32, FLOAT64, INT64, STRING, Type
from saima.routing.experiments import Metric

_DAY = 86_400_000
_NAME = re.compile(r"[A-Za-z_]\w*")
_BEFORE = (("value", "covariate"), ("denominator", "covariate_denominator"))


def sums(samples: pl.LazyFrame, metrics: Mapping[str, Metric]) -> pl.LazyFrame:
    """Unit sums by day, ordered by unit and day: unit, arm, day (UTC, of the decision), and of each metric
    `<metric>:value`, `<metric>:denominator`.

    A mean's denominator counts its samples. A sample without a value, or with an infinite one, counts in neither.
    Raises DeclarationError naming the metric and the column in its expression.
    """
    rows: list[pl.Expr] = []
    for name, value, divisor in _expressions(samples, metrics):
        known = value.is_finite() if divisor is None else value.is_finite() & divisor.is_finite()
        denominator = known.fill_null(False).cast(pl.Float64) if divisor is None else pl.when(known).then(divisor)
        rows += [pl.when(known).then(value).alias(f"{name}:value"), denominator.alias(f"{name}:denominator")]
    keys = ("unit", "day", "arm")
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in keys)
    return (
        samples.select("unit", "arm", (pl.col("time").cast(pl.Int64) // _DAY).alias("day"), *rows)
        .sort(keys)
        .with_columns(changes.cast(pl.UInt32).cum_sum().set_sorted().alias("_run"))
        .group_by("_run", maintain_order=True)  # runs of a sorted column are slices: no table of keys is made
        .agg(pl.col("unit", "arm", "day").first(), pl.exclude(*keys, "_run").sum())
        .drop("_run")
        .with_columns(pl.col("day").cast(pl.Int32).cast(pl.Date).cast(pl.String))
    )


def infinite(samples: pl.LazyFrame, metrics: Mapping[str, Metric]) -> dict[str, int]:
    """Samples with an infinite number in a column that a metric reads, by metric; they count in no sum of it."""
    schema = samples.collect_schema()
    counts = []
    for name, declared in metrics.items():
        read = set(_NAME.findall(f"{declared.value} {declared.denominator or ''}"))
        columns = [column for column, kind in schema.items() if kind.is_float() and column in read]
        found = pl.any_horizontal(pl.col(column).is_infinite() for column in columns) if columns else pl.lit(False)
        counts.append(found.sum().alias(name))
    return dict(samples.select(counts).collect().row(0, named=True)) if counts else {}


def before(samples: pl.LazyFrame, metrics: Mapping[str, Metric]) -> pl.LazyFrame:
    """The same metrics before the exposure: unit and, of each, `<metric>:covariate`, `<metric>:covariate_denominator`.

    `samples` are those of the units before their first exposure.
    """
    names = {f"{name}:{part}": f"{name}:{role}" for name in metrics for part, role in _BEFORE}
    whole = sums(samples.with_columns(arm=pl.lit("")), metrics).drop("arm", "day").rename(names)
    return whole.group_by("unit").agg(pl.all().sum())


def known(samples: pl.LazyFrame, covariates: Mapping[str, str]) -> pl.LazyFrame:
    """Covariates as expressions: unit and `<metric>:covariate`; `samples` has one row a unit, its first.

    A unit without a value gets the mean of the others. Raises DeclarationError naming the covariate.
    """
    scope = scope_of(samples.collect_schema())
    values = [
        _finite(_number(f"covariates.{metric}", text, scope)).alias(f"{metric}:covariate")
        for metric, text in covariates.items()
    ]
    return samples.select("unit", *values).with_columns(pl.all().exclude("unit").fill_null(strategy="mean"))


def _expressions(samples: pl.LazyFrame, metrics: Mapping[str, Metric]) -> Iterator[tuple[str, pl.Expr, pl.Expr | None]]:
    scope = scope_of(samples.collect_schema())
    for name, declared in metrics.items():
        value = _number(f"metrics.{name}.value", declared.value, scope)
        by = declared.denominator
        yield name, value, None if by is None else _number(f"metrics.{name}.denominator", by, scope)


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
    return lower(node).cast(pl.Float64)


def _finite(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite()).then(value)


def _type(dtype: pl.DataType) -> Type | None:
    if dtype.is_integer():
        return INT64
    if dtype.is_float():
        return FLOAT32 if dtype == pl.Float32 else FLOAT64
    return {pl.Boolean(): BOOL, pl.String(): STRING}.get(dtype)
