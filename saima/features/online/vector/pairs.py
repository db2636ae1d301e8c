"""The candidates of one request, as the program of a split sees them, and what it finds of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from saima.features.online.vector.columns import from_series, to_series
from saima.features.online.vector.values import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.types import Type


class Kept(Protocol):
    """Kept columns of the candidates: floats [k, n] and wholes [k, n] with where these are missing, in the order of the
    program's `floats` and `wholes`; others as columns by name."""

    @property
    def floats(self) -> NDArray[np.float64]: ...

    @property
    def wholes(self) -> NDArray[np.int64]: ...

    @property
    def missing(self) -> NDArray[np.bool_] | None: ...

    def series(self, name: str) -> pl.Series: ...


class Fresh(Protocol):
    """Input columns that come with the request, n rows."""

    def vector(self, name: str) -> Vector: ...

    def series(self, name: str) -> pl.Series: ...


@dataclass
class Pairs:
    """The candidates of one request. shared: the shared part's outputs by name, plain Python.

    found: values that kernels computed, by unit, as (block's values, row); columns: those of the select. narrow: units
    that are columns of the model's matrix, as float32 [units, n] in the order of the program's `narrow`; late: units
    that are nowhere else, with their rows.
    """

    n: int
    shared: dict[str, Any]
    kept: Kept
    fresh: Fresh
    singles: dict[str, Vector] = field(default_factory=dict)
    narrow: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    late: dict[str, int] = field(default_factory=dict)
    found: dict[str, tuple[Vector, int]] = field(default_factory=dict)
    columns: dict[str, pl.Series] = field(default_factory=dict)

    def vector(self, unit: str, dtype: Type) -> Vector:
        """Values of a unit [n]."""
        if unit in self.late:
            return Vector(self.narrow[self.late[unit]])
        if unit not in self.found:
            return from_series(self.columns[unit], dtype)
        (values, missing), row = self.found[unit]
        return Vector(values[row], None if missing is None else missing[row])

    def series(self, unit: str, dtype: Type) -> pl.Series:
        """Values of a unit as a column."""
        if unit in self.columns:
            return self.columns[unit]
        return to_series(unit, self.vector(unit, dtype), dtype)
