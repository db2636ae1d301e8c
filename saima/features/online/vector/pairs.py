"""The candidates of one request, as the program of a split sees them, and what it finds of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from saima.features.online.vector.columns import from_series, to_series
from saima.features.online.vector.values import Vector, dtype_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from saima.features.online.item_cells import Rows
    from saima.features.online.vector.assembly import Home
    from saima.features.types import Type


class Kept(Protocol):
    """Kept columns of the candidates: their rows and places for the machine; for kernels floats [k, n] and wholes
    [k, n] with where these are missing, in the order of the program's `floats` and `wholes`; others by name."""

    @property
    def rows(self) -> Rows: ...

    @property
    def places(self) -> NDArray[np.intp]: ...

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

    matrix: the model's [n, columns]. homes: where the machine left its units: in the matrix, `wide` or `words`. found:
    values that kernels computed, by unit, as (block's values, row); columns: those of the select. narrow: units of
    kernels that are columns of the model's matrix, as float32 [units, n] in the order of the program's `narrow`; late:
    units that are nowhere else, with their rows.
    """

    n: int
    matrix: NDArray[np.float32]
    shared: dict[str, Any]
    kept: Kept
    fresh: Fresh
    homes: Mapping[str, Home] = field(default_factory=dict)
    wide: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    words: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    singles: dict[str, Vector] = field(default_factory=dict)
    narrow: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    late: dict[str, int] = field(default_factory=dict)
    found: dict[str, tuple[Vector, int]] = field(default_factory=dict)
    columns: dict[str, pl.Series] = field(default_factory=dict)

    def vector(self, unit: str, dtype: Type) -> Vector:
        """Values of a unit [n]."""
        home = self.homes.get(unit)
        if home is not None:
            return self._at(home, dtype)
        if unit in self.late:
            return Vector(self.narrow[self.late[unit]])
        if unit not in self.found:
            return from_series(self.columns[unit], dtype)
        (values, missing), row = self.found[unit]
        return Vector(values[row], None if missing is None else missing[row])

    def knows(self, unit: str) -> bool:
        """Whether a name is a unit's."""
        return unit in self.homes or unit in self.late or unit in self.found or unit in self.columns

    def _at(self, home: Home, dtype: Type) -> Vector:
        match home.kind:
            case "matrix":
                return Vector(self.matrix[:, home.place])
            case "float":
                return Vector(self.wide[home.place])
        missing = None if home.missing is None else self.words[home.missing] != 0
        return Vector(self.words[home.place].astype(dtype_of(dtype), copy=False), missing)

    def series(self, unit: str, dtype: Type) -> pl.Series:
        """Values of a unit as a column."""
        if unit in self.columns:
            return self.columns[unit]
        return to_series(unit, self.vector(unit, dtype), dtype)
