"""Features of the candidates of one request, as its three parts computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.online.buffers import Buffers
from saima.features.online.extraction import plain_column, repeated
from saima.features.online.item_rows import as_float32
from saima.features.online.vector.columns import from_series
from saima.features.online.vector.values import dtype_of, holds, missing_of
from saima.features.types import to_frame_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.online.item_rows import KeptRows
    from saima.features.online.vector.pairs import Pairs
    from saima.features.online.vector.program import Program
    from saima.features.types import Type


class Filling:
    """How the parts fill the columns of the model's matrix: runs of neighbouring columns, decided once."""

    def __init__(self, columns: Sequence[str], shared: Sequence[str], program: Program) -> None:
        """columns: names of the matrix's columns; those that are kept are in it already."""
        self.columns = tuple(columns)
        self.places = {name: place for place, name in enumerate(columns)}
        known = set(shared)
        self._shared = _runs([(place, place, name) for place, name in enumerate(columns) if name in known])
        self._pairs = _runs([(row, self.places[name], name) for row, name in enumerate(program.narrow)])
        self.buffers = Buffers()
        self._hard = [name for name in program.hard if name in self.places]

    def once(self, shared: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """The shared columns' one row, by run; what float32 does not hold is infinite, as in every other cast to it."""
        rows = [[shared[name] for name in names] for _, _, names in self._shared]
        return [np.array([np.nan if one is None else one for one in row]).astype(np.float32) for row in rows]

    def fill(
        self, matrix: NDArray[np.float32], once: list[NDArray[np.float32]], pairs: Pairs, types: dict[str, Type]
    ) -> None:
        """Write the shared and the crossed columns of a matrix [n, columns]."""
        for (_, columns, _), row in zip(self._shared, once, strict=True):
            matrix[:, columns] = row
        for rows, columns, _ in self._pairs:
            matrix[:, columns] = pairs.narrow[rows].T
        for name in self._hard:
            matrix[:, self.places[name]] = as_float32(from_series(pairs.columns[name], types[name]))


def _runs(found: list[tuple[int, int, str]]) -> list[tuple[slice, slice, list[str]]]:
    """(row, column, name), ordered by column, as runs in which both go up by one."""
    runs: list[tuple[list[int], list[int], list[str]]] = []
    for row, column, name in found:
        if runs and runs[-1][0][-1] + 1 == row and runs[-1][1][-1] + 1 == column:
            runs[-1][0].append(row)
            runs[-1][1].append(column)
            runs[-1][2].append(name)
        else:
            runs.append(([row], [column], [name]))
    return [(slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1), names) for r, c, names in runs]


class PairValues:
    """Features of n candidates."""

    def __init__(
        self, types: dict[str, Type], pairs: Pairs, kept: KeptRows, filling: Filling, once: list[NDArray[np.float32]]
    ) -> None:
        """once: the shared columns' row, as `filling` made it."""
        self.types = types
        self._once = once
        self._pairs = pairs
        self._kept = kept
        self._filling = filling
        self._matrix: NDArray[np.float32] | None = None

    def frame(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """See Values."""
        return pl.DataFrame([self._series(name, self.types[name]) for name in (self.types if names is None else names)])

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """See Values."""
        filling = self._filling
        if self._matrix is None:
            self._matrix = self._kept.matrix(filling.buffers)
            filling.fill(self._matrix, self._once, self._pairs, self.types)
        if names == filling.columns:
            return self._matrix
        if all(name in filling.places for name in names):
            return self._matrix.take([filling.places[name] for name in names], axis=1)
        made = np.empty((self._pairs.n, len(names)), np.float32)
        for place, name in enumerate(names):
            at = filling.places.get(name)
            made[:, place] = self._matrix[:, at] if at is not None else self._column(name)
        return made

    def plain(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """See Values."""
        places = np.array(rows, np.intp)
        with np.errstate(all="ignore"):  # what float32 does not hold is infinite
            return {name: self._plain(name, dtype, places) for name, dtype in self.types.items()}

    def _plain(self, name: str, dtype: Type, places: NDArray[np.intp]) -> list[Any]:
        pairs = self._pairs
        if name in pairs.shared:
            return [to_frame_value(pairs.shared[name], dtype)] * len(places)
        if name in pairs.columns or not holds(dtype):
            return plain_column(self._series(name, dtype), places.tolist())
        crossed = name in pairs.late or name in pairs.found
        vector = pairs.vector(name, dtype) if crossed else self._kept.vector(name)
        values: list[Any] = vector.values[places].astype(dtype_of(dtype), copy=False).tolist()
        missing = missing_of(vector)
        if missing is None:
            return values
        return [None if gone else value for gone, value in zip(missing[places].tolist(), values, strict=True)]

    def _column(self, name: str) -> NDArray[np.float32]:
        dtype = self.types[name]
        column = self._series(name, dtype)
        if holds(dtype):
            return as_float32(from_series(column, dtype))
        values: NDArray[Any] = column.cast(pl.Float32).to_numpy()
        return values

    def _series(self, name: str, dtype: Type) -> pl.Series:
        pairs = self._pairs
        if name in pairs.shared:
            return repeated(name, pairs.shared[name], dtype, pairs.n)
        if name in pairs.late or name in pairs.found or name in pairs.columns:
            return pairs.series(name, dtype)
        return self._kept.series(name)
