"""Data suites as one Polars select: the live gate of events, features and samples.

A suite is YAML, in `algorithms/<algorithm>/expectations/` or, for all algorithms, in `expectations/suites/`:

    description: Departures.
    tables: [events/flight_departed]
    extends: [events]
    checks:
      - {kind: between, column: dep_delay, min: -180, max: 2880}
      - {kind: mean_between, column: dep_delay, min: -10, max: 60, severity: warn}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import override

from saima.errors import DeclarationError, Place, suggest
from saima.settings import ROOT, settings

SHARED = ROOT / "expectations" / "suites"
"""Folder of the suites that every algorithm may use."""

TYPES: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "int32": pl.Int32(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "timestamp": pl.Datetime("ms", "UTC"),
}
"""Column types that a suite can name."""


class Check(BaseModel):
    """Base of every check; `severity` says whether a breach blocks (error) or is only shown (warn)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Literal["error", "warn"] = "error"

    @property
    def columns_read(self) -> list[str]:
        """Columns that the check looks at."""
        column = getattr(self, "column", None)
        return [] if column is None else [column]

    @property
    def text(self) -> str:
        """What is expected, in words."""
        raise NotImplementedError

    def measure(self, schema: pl.Schema) -> pl.Expr:
        """Aggregate of the frame: one value."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Whether the measured value is as expected."""
        raise NotImplementedError


class _Share(Check):
    """A check of every value: at most `share` of the values that are there may fail it."""

    column: str
    share: float = Field(0.0, ge=0, le=1)

    @property
    def _but(self) -> str:
        return f", but for a share of {self.share:g}" if self.share else ""

    def holds(self, value: Any) -> bool:
        return value is None or value <= self.share * (1 + 1e-12)


class _Range(Check):
    """A check of one number against bounds, of which one may be absent."""

    min: float | None = None
    max: float | None = None

    @property
    def _bounds(self) -> str:
        if self.min is None or self.max is None:
            return f"at most {self.max:g}" if self.min is None else f"at least {self.min:g}"
        return f"between {self.min:g} and {self.max:g}"

    @model_validator(mode="after")
    def _some_bound(self) -> _Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class NotNull(_Share):
    """Values are there; NaN counts as missing."""

    kind: Literal["not_null"]

    @property
    def text(self) -> str:
        return f"'{self.column}' is not null{self._but}"

    def measure(self, schema: pl.Schema) -> pl.Expr:
        return _present(self.column, schema).is_null().mean()


class Between(_Share, _Range):
    """Values that are there lie within bounds, both included."""

    kind: Literal["between"]

    @property
    def text(self) -> str:
        return f"'{self.column}' is {self._bounds}{self._but}"

    def measure(self, schema: pl.Schema) -> pl.Expr:
        value = _present(self.column, schema)
        low = pl.lit(False) if self.min is None else value < self.min
        return (low if self.max is None else low | (value > self.max)).filter(value.is_not_null()).mean()


class InSet(_Share):
    """Values that are there belong to a set."""

    kind: Literal["in_set"]
    values: list[str | int | float | bool] = Field(min_length=1)

    @property
    def text(self) -> str:
        shown = ", ".join(map(str, self.values[:5])) + (", ..." if len(self.values) > 5 else "")
        return f"'{self.column}' is one of {shown}{self._but}"

    def measure(self, schema: pl.Schema) -> pl.Expr:
        value = _present(self.column, schema)
        return (
            (~value.is_in(pl.Series(self.values).cast(schema[self.column]).implode()))
            .filter(value.is_not_null())
            .mean()
        )


class Unique(Check):
    """Rows differ in some columns; rows where one of them is null do not count. Measures the surplus rows."""

    kind: Literal["unique"]
    columns: list[str] = Field(min_length=1)

    @property
    def columns_read(self) -> list[str]:
        return self.columns

    @property
    def text(self) -> str:
        return f"{', '.join(self.columns)} is unique"

    @override
    def measure(self, schema: pl.Schema) -> pl.Expr:
        whole = pl.all_horizontal(pl.col(c).is_not_null() for c in self.columns)
        rows = pl.struct(self.columns).filter(whole)
        return rows.len().cast(pl.Int64) - rows.n_unique().cast(pl.Int64)

    def holds(self, value: Any) -> bool:
        return bool(value == 0)


class RowCountBetween(_Range):
    """The number of rows lies within bounds."""

    kind: Literal["row_count_between"]

    @property
    def text(self) -> str:
        return f"the number of rows is {self._bounds}"

    @override
    def measure(self, schema: pl.Schema) -> pl.Expr:
        return pl.len()

    def holds(self, value: Any) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class MeanBetween(_Range):
    """The mean of a column lies within bounds; it holds where no value is there."""

    kind: Literal["mean_between"]
    column: str

    @property
    def text(self) -> str:
        return f"the mean of '{self.column}' is {self._bounds}"

    def measure(self, schema: pl.Schema) -> pl.Expr:
        return _present(self.column, schema).cast(pl.Float64).mean()

    def holds(self, value: Any) -> bool:
        return value is None or ((self.min is None or value >= self.min) and (self.max is None or value <= self.max))


class ColumnType(Check):
    """A column has a type; looks at the schema alone."""

    kind: Literal["type"]
    column: str
    type: str

    @property
    def text(self) -> str:
        return f"'{self.column}' has type {self.type}"

    @model_validator(mode="after")
    def _known(self) -> ColumnType:
        if self.type not in TYPES:
            raise ValueError(f"unknown type '{self.type}'{suggest(self.type, TYPES)}; one of {', '.join(TYPES)}")
        return self

    def measure(self, schema: pl.Schema) -> pl.Expr:
        return pl.lit(str(schema[self.column]))

    def holds(self, value: Any) -> bool:
        return bool(value == str(TYPES[self.type]))


AnyCheck = Annotated[
    NotNull | Between | InSet | Unique | RowCountBetween | MeanBetween | ColumnType, Field(discriminator="kind")
]


class Suite(BaseModel):
    """Checks of the tables it names; those of the suites it extends come first and are already in `checks`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    tables: list[str] = []
    extends: list[str] = []
    checks: list[AnyCheck] = []


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


def load_suites(algorithm: str, root: Path | None = None) -> dict[str, Suite]:
    """The suites of an algorithm by name, those in its own folder first to last by name.

    `root` is the folder of algorithms. Raises DeclarationError with file, line and column.
    """
    folder = (root or settings().algorithms) / algorithm / "expectations"
    return {path.stem: load_suite(path) for path in sorted(folder.glob("*.yaml"))}


def load_suite(path: Path) -> Suite:
    """One suite from its file, with the checks of the suites that it extends (in its folder, then the shared one)."""
    return _load(path, ())


def _load(path: Path, above: tuple[Path, ...]) -> Suite:
    node = _compose(path)
    place = _placer(path, node)
    try:
        suite = Suite.model_validate({"name": path.stem, **(yaml.safe_load(path.read_text("utf-8")) or {})})
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DeclarationError(message, place(first["loc"])) from error
    checks: list[AnyCheck] = []
    for number, name in enumerate(suite.extends):
        found = [folder / f"{name}.yaml" for folder in (path.parent, SHARED) if (folder / f"{name}.yaml").exists()]
        if not found or found[0] in (*above, path):
            why = "extends itself" if found else "is no suite"
            raise DeclarationError(f"'{name}' {why}", place(("extends", number)))
        checks += _load(found[0], (*above, path)).checks
    return suite.model_copy(update={"checks": [*checks, *suite.checks]})


def _compose(path: Path) -> yaml.Node:
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise DeclarationError(f"cannot read the suite {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else None
        raise DeclarationError(error.problem or "no YAML", place) from error
    if not isinstance(node, yaml.MappingNode):
        raise DeclarationError("a suite is a mapping with checks:", Place(str(path), 1, 1))
    return node


def _placer(path: Path, root: yaml.Node) -> Callable[[tuple[int | str, ...]], Place]:
    """A function from a location in the document to the place in the file."""

    def place(location: tuple[int | str, ...]) -> Place:
        node = root
        for step in location:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
            elif isinstance(node, yaml.MappingNode):
                node = next((value for key, value in node.value if key.value == step), node)
        return Place(str(path), node.start_mark.line + 1, node.start_mark.column + 1)

    return place


def _present(column: str, schema: pl.Schema) -> pl.Expr:
    value = pl.col(column)
    return value.fill_nan(None) if schema[column].is_float() else value
