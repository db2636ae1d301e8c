"""Data suites as one Polars select: the live gate of events, features and samples.

A suite is YAML, in `algorithms/<algorithm>/expectations/` or, to be extended, in `expectations/suites/`:

    description: Departures.
    tables: [events/flight_departed]
    extends: [any_event]
    checks:
      - {kind: between, column: dep_delay, min: -180, max: 2880}
      - {kind: mean_between, column: dep_delay, min: -10, max: 60, severity: warn}
"""

from saima.quality.checks import (
    Between,
    Check,
    ColumnType,
    InSet,
    MeanBetween,
    NotNull,
    RowCountBetween,
    Unique,
)
from saima.quality.gate import Breach, gate
from saima.quality.suites import Suite, load_suite, load_suites

__all__ = [
    "Between",
    "Breach",
    "Check",
    "ColumnType",
    "InSet",
    "MeanBetween",
    "NotNull",
    "RowCountBetween",
    "Suite",
    "Unique",
    "gate",
    "load_suite",
    "load_suites",
]
