"""From samples and the journal to a report: trust first, then effects, then the trend."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ab import metrics, trust
from ab.analysed import analyse
from ab.cube import Cube
from ab.effects import control_of, effects
from ab.penetration import Penetration, matrix
from ab.plan import Plan, declared, phases
from ab.population import Population, prepare
from ab.report.findings import ArmSummary, DataPosition, Report
from ab.segments import by_segment
from ab.trend import Refresh, by_day, novelty, refreshes
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
    plan: Plan | None = None,
) -> Report:
    """See `ab.report.build`."""
    plan = plan or declared(experiment)
    population = prepare(experiment, samples, journal)
    control, arms = control_of(experiment), list(experiment.arms)
    treatments = [arm for arm in arms if arm != control]
    analysed = analyse(experiment, plan, population, journal)
    differences = _differences(population, [control, *treatments], quantities)
    crossed = _penetration(population, arms)
    checks = _checks(experiment, plan, population, [control, *treatments], differences, analysed.cube, crossed)
    found = effects(analysed.cube, experiment)
    verdict = decide(
        experiment,
        checks,
        found,
        population.with_outcome(arms),
        days=len(analysed.cube.days()),
        minimum_days=plan.minimum_days,
    )
    primary = next((name for name, declared in experiment.metrics.items() if declared.role == "primary"), "")
    pair = (control, verdict.arm or next(iter(treatments), ""))
    compared = bool(primary and pair[1])
    days = by_day(analysed.sums, analysed.cube, primary, pair, experiment.analysis) if compared else []
    segments = by_segment(analysed.cube, primary, pair, experiment.analysis) if compared else []
    versions = refreshes(population.samples.lazy())
    return Report(
        algorithm=algorithm,
        experiment=experiment,
        plan=plan,
        control=control,
        verdict=verdict,
        checks=checks,
        arms=_arms(experiment, population, versions),
        effects=tuple(found),
        primary=primary,
        days=tuple(days),
        novelty=novelty(days),
        segments=tuple(segments),
        penetration=crossed,
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
    found = {each.experiment: each for each in load_experiments(folder)}
    if experiment not in found:
        known = f"known: {', '.join(found)}" if found else "none is declared"
        raise SaimaError(
            f"algorithm '{algorithm}' has no experiment '{experiment}'{suggest(experiment, found)}; {known}"
        )
    samples, journal = f"{algorithm}/samples", f"{algorithm}/journal"
    return build(
        found[experiment],
        tables.scan(samples) if tables.exists(samples) else _no_samples(),
        journal=tables.scan(journal) if tables.exists(journal) else None,
        algorithm=algorithm,
        generated=generated,
    )


def _checks(
    experiment: Experiment,
    plan: Plan,
    population: Population,
    order: Sequence[str],
    differences: Sequence[trust.Difference],
    cube: Cube,
    crossed: Penetration | None,
) -> tuple[trust.Check, ...]:
    counted = "units exposed" if population.journalled else "units with an outcome"
    started = population.units.frame["time"].min()
    steps = phases(experiment, plan, started if isinstance(started, int) else None)
    rarity = trust.check_rarity(experiment, cube)
    infinite = metrics.infinite(population.samples.lazy(), experiment.metrics)
    return (
        trust.check_ratio(experiment, population.units.counts(list(experiment.arms)), counted),
        *([trust.check_phases(experiment, population.units, steps)] if steps else []),
        trust.check_arms(population.units),
        trust.check_names(population.unfit, population.exposures.height),
        trust.check_join(order, population.exposed(order), population.joined(order)),
        trust.check_balance(differences),
        *([trust.check_penetration(crossed)] if crossed is not None else []),
        trust.check_finite(infinite, population.samples.height),
        trust.check_size(order, population.with_outcome(order)),
        *([rarity] if rarity is not None else []),
    )


def _penetration(population: Population, arms: Sequence[str]) -> Penetration | None:
    rows = population.samples
    return matrix(rows.lazy(), arms) if "device_arm" in rows.columns else None


def _differences(
    population: Population, order: Sequence[str], quantities: Sequence[str] | None
) -> list[trust.Difference]:
    names = population.quantities() if quantities is None else list(quantities)
    if not population.samples.height or not names:
        return []
    units = population.first_samples.select("arm", *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names))
    return trust.differences(units, order)


def _arms(experiment: Experiment, population: Population, versions: Sequence[Refresh]) -> tuple[ArmSummary, ...]:
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
