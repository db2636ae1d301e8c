"""Unit sums with their covariates and segments, and the cube that every number of a report comes from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ab import exposure, metrics
from ab.cube import Cube, cube
from ab.plan import BEFORE, Plan
from ab.population import Population
from saima.errors import DeclarationError, suggest
from saima.routing.experiments import Experiment

CLASSES = 4
"""Classes of equal size that a segment of numbers is cut into."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """`sums`: unit, arm, day and each metric's columns (in memory); `cube`: their sufficient statistics."""

    sums: pl.LazyFrame
    cube: Cube


def analyse(experiment: Experiment, plan: Plan, population: Population, journal: pl.LazyFrame | None) -> Analysed:
    """Sums of the population by unit and day, joined with what was known of each unit at its first exposure.

    Raises DeclarationError for a covariate or a cap of an unknown metric and a segment of an unknown column.
    """
    _check(experiment, plan, population)
    sums = metrics.sums(population.samples.lazy(), experiment.metrics).collect().lazy()
    known, first = sums, population.first_samples.lazy()
    own = {name: experiment.metrics[name] for name, what in plan.covariates.items() if what == BEFORE}
    given = {name: what for name, what in plan.covariates.items() if what != BEFORE}
    if own:
        known = known.join(metrics.before(population.before.lazy(), own), on="unit", how="left")
    if given:
        known = known.join(metrics.known(first, given), on="unit", how="left")
    if plan.segments:
        cut = [_segment(name, population.first_samples.schema[name]) for name in plan.segments]
        known = known.join(first.select("unit", *cut), on="unit", how="left")
    segments = list(plan.segments)
    if journal is not None:
        others = exposure.alongside(journal, experiment.experiment).collect()
        for name in others["experiment"].unique().sort():
            label = f"experiment {name}"
            segments.append(label)
            arms = others.lazy().filter(pl.col("experiment") == name).select("unit", pl.col("arm").alias(label))
            known = known.join(arms, on="unit", how="left")
    return Analysed(sums, cube(known, experiment.metrics, segments, plan.winsorise))


def _check(experiment: Experiment, plan: Plan, population: Population) -> None:
    for part, named in (("covariates", plan.covariates), ("winsorise", plan.winsorise)):
        for name in named:
            if name not in experiment.metrics:
                raise DeclarationError(f"{part}.{name}: no such metric{suggest(name, experiment.metrics)}")
    columns = population.samples.columns
    for name in plan.segments:
        if name not in columns:
            raise DeclarationError(f"segments: samples have no column '{name}'{suggest(name, columns)}")


def _segment(name: str, kind: pl.DataType) -> pl.Expr:
    """Text as it is; numbers as quarters of the units."""
    if not kind.is_float():
        return pl.col(name).cast(pl.String)
    edges = [pl.col(name).quantile(step / CLASSES) for step in range(1, CLASSES)]
    quarter = pl.lit(1)
    for edge in edges:
        quarter = quarter + (pl.col(name) > edge).cast(pl.Int32)
    text = pl.format("quarter {}", quarter)
    return pl.when(pl.col(name).is_not_null() & pl.col(name).is_not_nan()).then(text).alias(name)
