"""What a plan reads: rows of tables and measures of windows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saima.features.types import FLOAT64, INT64, TIMESTAMP, Type, list_of, map_of, parse_type

if TYPE_CHECKING:
    from saima.features.declaration import Aggregate, Source, Table
    from saima.features.nodes import Side

ROW_TIMES = ("time", "valid_from", "known_at")
"""Columns of a table's row beside the source's fields: event time and the two times of its version."""

ANY_VALUE = ("count", "first", "last", "first_k", "last_k", "distinct", "approx_distinct", "histogram")
NUMBER_VALUE = ("sum", "mean", "min", "max", "variance", "top_k", "quantile")
_QUANTILE = re.compile(r"quantile_(\d{1,2})")


@dataclass(frozen=True)
class TableRead:
    """A table, its source, the input columns of its key, and the columns of its row that features read, with types."""

    name: str
    table: Table
    source: Source
    keys: tuple[str, ...]
    columns: dict[str, Type]
    side: Side


@dataclass(frozen=True)
class AggregateRead:
    """An aggregate, its source, the input columns of its key, and the measures that features read.

    measures: (measure, window text) in declared order; types: their types.
    """

    name: str
    aggregate: Aggregate
    source: Source
    keys: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    types: tuple[Type, ...]
    side: Side

    @property
    def columns(self) -> dict[str, Type]:
        """Input columns `<aggregate>.<measure>_<window>` with their types."""
        return {
            f"{self.name}.{measure}_{window}": dtype
            for (measure, window), dtype in zip(self.measures, self.types, strict=True)
        }


def table_columns(table: Table, source: Source) -> dict[str, Type]:
    """Columns of a table's row with their types; `known_at` only where the table has one."""
    columns = {name: parse_type(text) for name, text in source.fields.items()}
    times = dict.fromkeys(ROW_TIMES if table.known_at else ROW_TIMES[:2], TIMESTAMP)
    return {**columns, **times}


def measure_name(measure: str) -> str:
    """Family of a measure: `quantile_95` is a quantile."""
    return "quantile" if _QUANTILE.fullmatch(measure) else measure


def measure_type(measure: str, value: Type | None) -> Type:
    """Type of a measure over values of a type; None: over events."""
    match measure_name(measure):
        case "count" | "distinct" | "approx_distinct":
            return INT64
        case "mean" | "variance" | "quantile":
            return FLOAT64
        case "sum":
            return FLOAT64 if value is None or value.is_float else value
        case "first_k" | "last_k" | "top_k":
            return list_of(value or INT64)
        case "histogram":
            return map_of(INT64)
    return value or INT64
