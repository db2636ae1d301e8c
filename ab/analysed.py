"""Unit sums with their covariates and segments, and the cube that every number of a report comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ab import exposure, metrics
from ab.cube import Cube, cube
from ab.plan import BEFORE, Plan
from ab.population import Population
from ab.wording import number as wording
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
    sums = metrics.sums(population.samples.lazy(), experiment.metrics).collect(engine="in-memory")
    known, first = sums, population.first_samples.lazy()
    own = {name: experiment.metrics[name] for name, what in plan.covariates.items() if what == BEFORE}
    given = {name: what for name, what in plan.covariates.items() if what != BEFORE}
    if own:
        known = _beside(known, metrics.before(population.before.lazy(), own))
    if given:
        known = _beside(known, metrics.known(first, given))
    if plan.segments:
        cut = [_segment(population.first_samples[name]) for name in plan.segments]
        known = _beside(known, first.select("unit", *cut))
    segments = list(plan.segments)
    if journal is not None:
        others = exposure.alongside(journal, experiment.experiment).collect()
        for name in others["experiment"].unique().sort():
            label = f"experiment {name}"
            segments.append(label)
            arms = others.lazy().filter(pl.col("experiment") == name).select(name="unit", arm="arm")
            known = _beside(
                known, arms.join(population.names.lazy(), on="name").select("unit", pl.col("arm").alias(label))
            )
    return Analysed(sums.lazy(), cube(known.lazy(), experiment.metrics, segments, plan.winsorise))


def _beside(sums: pl.DataFrame, known: pl.LazyFrame) -> pl.DataFrame:
    """The sums with what is known of their units beside them, null where nothing is; `known` has a row a unit."""
    rows = known.collect(engine="in-memory")
    most = max((int(frame["unit"].to_numpy().max()) for frame in (sums, rows) if frame.height), default=-1)
    place = np.full(most + 1, -1)  # units are small whole numbers: to look them up is cheaper than to join
    place[rows["unit"].to_numpy()] = np.arange(rows.height)
    found = pl.Series(place[sums["unit"].to_numpy()]).replace(-1, None)
    return sums.hstack(rows.select(pl.exclude("unit").gather(found)))


def _check(experiment: Experiment, plan: Plan, population: Population) -> None:
    for part, named in (("covariates", plan.covariates), ("winsorise", plan.winsorise)):
        for name in named:
            if name not in experiment.metrics:
                raise DeclarationError(f"{part}.{name}: no such metric{suggest(name, experiment.metrics)}")
    columns = population.samples.columns
    for name in plan.segments:
        if name not in columns:
            raise DeclarationError(f"segments: samples have no column '{name}'{suggest(name, columns)}")


def _segment(values: pl.Series) -> pl.Expr:
    """Text as it is; numbers with a fraction as classes of equal size."""
    column = pl.col(values.name)
    if not values.dtype.is_float():
        return column.cast(pl.String)
    finite = values.filter(values.is_finite())
    edges = [edge for step in range(1, CLASSES) if (edge := finite.quantile(step / CLASSES)) is not None]
    names = [
        *(f"{place} of {CLASSES}: to {wording(edge)}" for place, edge in enumerate(edges, start=1)),
        *(f"{CLASSES} of {CLASSES}: above {wording(edge)}" for edge in edges[-1:]),
    ]
    if not names:
        return pl.lit(None, dtype=pl.String).alias(values.name)
    place = pl.sum_horizontal((column > edge).cast(pl.Int32) for edge in edges)
    return pl.when(column.is_finite()).then(place.replace_strict(dict(enumerate(names)))).alias(values.name)
