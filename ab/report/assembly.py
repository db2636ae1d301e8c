"""From samples and the journal to a report: trust first, then effects, then the trend."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ab import metrics, trend, trust
from ab.effects import control_of, effects
from ab.population import Population, prepare
from ab.report.findings import ArmSummary, DataPosition, Report
from ab.verdict import decide
from saima.errors import SaimaError, suggest
from saima.routing.experiments import Experiment, load_experiments
from saima.settings import Settings
from saima.settings import settings as process_settings
from saima.stores.interfaces import Tables


def build(
    experiment: Experiment,
    samples: pl.LazyFrame,
    *,
    generated: int,
    journal: pl.LazyFrame | None = None,
    algorithm: str = "",
    quantities: Sequence[str] | None = None,
) -> Report:
    """See `ab.report.build`."""
    population = prepare(experiment, samples, journal)
    control, arms = control_of(experiment), list(experiment.arms)
    treatments = [arm for arm in arms if arm != control]
    differences = _differences(population, [control, *treatments], quantities)
    checks = _checks(experiment, population, [control, *treatments], differences)
    sums = metrics.sums(population.samples.lazy(), experiment.metrics).collect().lazy()
    found = effects(sums, experiment)
    verdict = decide(experiment, checks, found, population.with_outcome(arms))
    primary = next((name for name, declared in experiment.metrics.items() if declared.role == "primary"), "")
    shown = verdict.arm or next(iter(treatments), "")
    versions = trend.refreshes(population.samples.lazy())
    return Report(
        algorithm=algorithm,
        experiment=experiment,
        control=control,
        verdict=verdict,
        checks=checks,
        arms=_arms(experiment, population, versions),
        effects=tuple(found),
        primary=primary,
        days=tuple(trend.by_day(sums, primary, (control, shown), experiment.analysis)) if primary and shown else (),
        refreshes=tuple(versions),
        differences=tuple(differences[:5]),
        position=_position(population),
        generated=generated,
    )


def from_tables(
    algorithm: str, experiment: str, tables: Tables, *, generated: int, settings: Settings | None = None
) -> Report:
    """See `ab.report.from_tables`."""
    folder = (settings or process_settings()).algorithms / algorithm
    declared = {each.experiment: each for each in load_experiments(folder)}
    if experiment not in declared:
        known = f"known: {', '.join(declared)}" if declared else "none is declared"
        raise SaimaError(
            f"algorithm '{algorithm}' has no experiment '{experiment}'{suggest(experiment, declared)}; {known}"
        )
    samples, journal = f"{algorithm}/samples", f"{algorithm}/journal"
    return build(
        declared[experiment],
        tables.scan(samples) if tables.exists(samples) else _no_samples(),
        journal=tables.scan(journal) if tables.exists(journal) else None,
        algorithm=algorithm,
        generated=generated,
    )


def _checks(
    experiment: Experiment, population: Population, order: Sequence[str], differences: Sequence[trust.Difference]
) -> tuple[trust.Check, ...]:
    counted = "units exposed" if population.journalled else "units with an outcome"
    return (
        trust.check_ratio(experiment, population.units.counts(list(experiment.arms)), counted),
        trust.check_arms(population.units),
        trust.check_join(order, population.exposed(order), population.joined(order)),
        trust.check_balance(differences),
        trust.check_size(order, population.with_outcome(order)),
    )


def _differences(
    population: Population, order: Sequence[str], quantities: Sequence[str] | None
) -> list[trust.Difference]:
    names = population.quantities() if quantities is None else list(quantities)
    if not population.samples.height or not names:
        return []
    units = population.first_samples().select("arm", *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names))
    return trust.differences(units, order)


def _arms(experiment: Experiment, population: Population, versions: Sequence[trend.Refresh]) -> tuple[ArmSummary, ...]:
    arms = list(experiment.arms)
    counts = zip(population.units.counts(arms), population.with_outcome(arms), population.rows(arms), strict=True)
    return tuple(
        ArmSummary(
            name=arm,
            lineage=experiment.arms[arm].lineage or "",
            parameters=experiment.arms[arm].parameters,
            weight=experiment.arms[arm].weight,
            exposed=exposed,
            units=units,
            samples=rows,
            versions=len({version.version for version in versions if version.arm == arm}),
        )
        for arm, (exposed, units, rows) in zip(arms, counts, strict=True)
    )


def _position(population: Population) -> DataPosition:
    samples = population.samples

    def extreme(column: str, *, least: bool = False) -> int | None:
        if column not in samples.columns:
            return None
        value = samples[column].min() if least else samples[column].max()
        return value if isinstance(value, int) else None

    return DataPosition(
        samples=samples.height,
        immature=population.immature,
        first=extreme("time", least=True),
        last=extreme("time"),
        newest_label=extreme("label_time"),
        offset=extreme("offset"),
    )


def _no_samples() -> pl.LazyFrame:
    text = dict.fromkeys(("trace", "item", "version", "experiment", "arm", "unit"), pl.String)
    whole = dict.fromkeys(("time", "label_time", "offset"), pl.Int64)
    return pl.LazyFrame(schema={**text, **whole, "label": pl.Float64, "score": pl.Float64})
