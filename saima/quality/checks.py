"""The kinds of checks of a data suite: what each expects, in words, and the aggregate that measures it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from saima.errors import suggest

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


def _present(column: str, schema: pl.Schema) -> pl.Expr:
    value = pl.col(column)
    return value.fill_nan(None) if schema[column].is_float() else value
