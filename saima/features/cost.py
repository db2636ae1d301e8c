"""What a feature costs to compute: its part of the plan alone, measured on rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from saima.features.entries import closure
from saima.features.plan import Plan, make_plan

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Cost:
    """Microseconds of an evaluation: of one row, and of all rows of the frame at once; the least of `times` runs.

    What else the machine does is not the feature's cost, hence the least. Reading tables and windows is not in it.
    """

    one: float
    many: float
    rows: int
    times: int


def measure(plan: Plan, rows: pl.DataFrame, times: int = 50) -> Cost:
    """Cost of a plan on rows of inputs (at least those it reads); the first runs, which compile, do not count."""
    inputs = rows.select(list(plan.input_schema()))
    first = inputs.head(1)
    return Cost(
        _microseconds(lambda: plan.evaluate(first), times),
        _microseconds(lambda: plan.evaluate(inputs), times),
        inputs.height,
        times,
    )


def _microseconds(run: Callable[[], object], times: int) -> float:
    for _ in range(3):
        run()
    found = []
    for _ in range(times):
        started = perf_counter()
        run()
        found.append(perf_counter() - started)
    return min(found) * 1e6


def part_of(plan: Plan, features: Iterable[str]) -> Plan:
    """The plan of some features and of those that they name, reading nothing else."""
    computed = {feature.name: feature for feature in plan.computed}
    wanted = set(closure(computed, features))
    chosen = [feature for feature in plan.computed if feature.name in wanted]
    read = {column for feature in chosen for column in plan.lineage[feature.name]}
    tables = {
        name: replace(table, columns=kept)
        for name, table in plan.tables.items()
        if (kept := {column: dtype for column, dtype in table.columns.items() if f"{name}.{column}" in read})
    }
    aggregates = {}
    for name, aggregate in plan.aggregates.items():
        pairs = zip(aggregate.measures, aggregate.types, strict=True)
        kept_pairs = [(pair, dtype) for pair, dtype in pairs if f"{name}.{pair[0]}_{pair[1]}" in read]
        if kept_pairs:
            measures, types = zip(*kept_pairs, strict=True)
            aggregates[name] = replace(aggregate, measures=tuple(measures), types=tuple(types))
    fields = {name: dtype for name, dtype in plan.request_fields.items() if name in read}
    return make_plan(features=chosen, request_fields=fields, tables=tables, aggregates=aggregates)
