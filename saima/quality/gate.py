"""The gate: all checks of a suite measured by one select."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from saima.errors import suggest
from saima.quality.suites import Suite


@dataclass(frozen=True, slots=True)
class Breach:
    """A check that does not hold: what was expected and what was seen."""

    suite: str
    kind: str
    column: str
    severity: str
    expected: str
    observed: Any

    @property
    def blocking(self) -> bool:
        """Whether it must stop what follows."""
        return self.severity == "error"

    def __str__(self) -> str:
        return f"{self.suite}: expected that {self.expected}; observed {self.observed}"


def gate(suite: Suite, frame: pl.DataFrame | pl.LazyFrame) -> list[Breach]:
    """The checks of a suite that a frame breaks, in the suite's order, measured by one select.

    A missing column is a breach of every check that reads it.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    absent = {i: [c for c in check.columns_read if c not in schema] for i, check in enumerate(suite.checks)}
    measures = [c.measure(schema).alias(str(i)) for i, c in enumerate(suite.checks) if not absent[i]]
    row = lazy.select(measures).collect().row(0, named=True) if measures else {}
    breaches = []
    for i, check in enumerate(suite.checks):
        if absent[i]:
            observed: Any = f"no column {', '.join(absent[i])}{suggest(absent[i][0], schema.names())}"
        elif check.holds(row[str(i)]):
            continue
        else:
            observed = row[str(i)]
        column = ",".join(check.columns_read)
        breaches.append(Breach(suite.name, check.kind, column, check.severity, check.text, observed))
    return breaches
