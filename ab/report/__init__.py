"""The report of an experiment: built from samples and journal, shown as a page or as an asset's metadata.

Statistics take seconds to import, so this face of the package imports them only when a report is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ab.report.markdown import Markdown, Metadata

if TYPE_CHECKING:
    import polars as pl

    from ab.plan import Plan
    from ab.report.findings import Report
    from saima.routing.experiments import Experiment
    from saima.settings import Settings
    from saima.stores.interfaces import Tables

__all__ = ["Markdown", "Metadata", "build", "from_tables", "to_html", "to_metadata"]


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
    """The report of an experiment.

    samples: rows of `<algorithm>/samples` (trace, item, time, label, label_time, version, experiment, arm, unit, score,
    offset, features; device_arm in a joint layer). journal: rows of `<algorithm>/journal` (trace, record); without it
    exposures are counted on samples. quantities: columns known before the exposure, for the balance check; None: every
    numeric feature. plan: covariates, caps, segments, phases; None: the declared one. generated: wall clock, int64 ms.
    An empty table, one arm or constant data end in a verdict that says so.
    """
    from ab.report.assembly import build as work

    return work(
        experiment,
        samples,
        generated=generated,
        journal=journal,
        algorithm=algorithm,
        quantities=quantities,
        plan=plan,
    )


def from_tables(
    algorithm: str, experiment: str, tables: Tables, *, generated: int, settings: Settings | None = None
) -> Report:
    """The report of a declared experiment from its algorithm's tables; a table that is not there yet is empty.

    Raises SaimaError naming the known experiments.
    """
    from ab.report.assembly import from_tables as work

    return work(algorithm, experiment, tables, generated=generated, settings=settings)


def to_html(report: Report) -> str:
    """One self-contained HTML page: no outside address, no script, legible on a phone."""
    from ab.report.page import page

    return page(report)


def to_metadata(report: Report) -> Metadata:
    """Values for an asset's metadata, by label: text, numbers, and `Markdown` with tables and a plot."""
    from ab.report.metadata import metadata

    return metadata(report)
