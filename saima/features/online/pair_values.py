"""Features of the candidates of one request, as its three parts computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.online.block import KINDS, Block
from saima.features.online.buffers import Buffers
from saima.features.online.extraction import plain_column, repeated
from saima.features.online.item_rows import as_float32
from saima.features.online.vector.assembly import Moved, runs
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

    def __init__(self, columns: Sequence[str], shared: Sequence[str], kept: Sequence[str], program: Program) -> None:
        """columns: names of the matrix's columns; kept: those that rows of items bring."""
        self.columns = tuple(columns)
        self.places = {name: place for place, name in enumerate(columns)}
        known = set(shared)
        self._shared = [name for name in columns if name in known]
        self._at = np.array([self.places[name] for name in self._shared], np.intp)
        spreads = runs([(self.places[name], self.places[name]) for name in self._shared])
        self._spreads = np.array([(to, width) for _, to, width in spreads], np.int32).reshape(-1, 2)
        copies = runs([(place, self.places[name]) for place, name in enumerate(kept)])
        self._copies = np.array(copies, np.int32).reshape(-1, 3)
        self._pairs = runs([(row, self.places[name]) for row, name in enumerate(program.narrow)])
        self._hard = [name for name in program.hard if name in self.places]
        self._buffers = Buffers()
        self._blocks: tuple[list[str], NDArray[np.intp], str] | None = None

    def block(self, types: Mapping[str, Type]) -> tuple[list[str], NDArray[np.intp], str]:
        """Columns that float32 can hold: names, places, kinds (see block.KINDS)."""
        if self._blocks is None:
            names = [name for name in self.columns if types[name].name in KINDS]
            places = np.array([self.places[name] for name in names], np.intp)
            self._blocks = (names, places, "".join(KINDS[types[name].name] for name in names))
        return self._blocks

    def take(self, n: int) -> NDArray[np.float32]:
        """A matrix [n, columns], its contents anything."""
        return self._buffers.take((n, len(self.columns)), np.float32)

    def moved(self, shared: Mapping[str, Any]) -> Moved:
        """Columns that are copied; what float32 does not hold is infinite, as in every other cast to it."""
        once = np.empty(len(self.columns), np.float32)
        if self._shared:
            once[self._at] = np.array([shared[name] for name in self._shared], np.float64)
        return Moved(self._copies, self._spreads, once)

    def fill(self, pairs: Pairs, types: dict[str, Type]) -> None:
        """Write the columns of the matrix that kernels and the select computed."""
        for row, to, width in self._pairs:
            pairs.matrix[:, to : to + width] = pairs.narrow[row : row + width].T
        for name in self._hard:
            pairs.matrix[:, self.places[name]] = as_float32(from_series(pairs.columns[name], types[name]))


class PairValues:
    """Features of n candidates."""

    def __init__(self, types: dict[str, Type], pairs: Pairs, kept: KeptRows, filling: Filling) -> None:
        self.types = types
        self._pairs = pairs
        self._kept = kept
        self._filling = filling
        self._filled = False

    def frame(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """See Values."""
        return pl.DataFrame([self._series(name, self.types[name]) for name in (self.types if names is None else names)])

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """See Values."""
        filling, matrix = self._filling, self._pairs.matrix
        if not self._filled:
            filling.fill(self._pairs, self.types)
            self._filled = True
        if names == filling.columns:
            return matrix
        if all(name in filling.places for name in names):
            return matrix.take([filling.places[name] for name in names], axis=1)
        made = np.empty((self._pairs.n, len(names)), np.float32)
        for place, name in enumerate(names):
            at = filling.places.get(name)
            made[:, place] = matrix[:, at] if at is not None else self._column(name)
        return made

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """See Values."""
        places = np.array(rows, np.intp)
        with np.errstate(all="ignore"):  # what float32 does not hold is infinite
            return {name: self._plain(name, self.types[name], places) for name in names or self.types}

    def block(self, rows: Sequence[int]) -> Block | None:
        """See Values."""
        names, columns, kinds = self._filling.block(self.types)
        if not names:
            return None
        matrix = self.matrix(self._filling.columns)
        if len(rows) < len(matrix):
            matrix = matrix[np.array(rows, np.intp)]
        return Block.of(names, kinds, matrix if len(names) == matrix.shape[1] else matrix[:, columns])

    def _plain(self, name: str, dtype: Type, places: NDArray[np.intp]) -> list[Any]:
        pairs = self._pairs
        if name in pairs.shared:
            return [to_frame_value(pairs.shared[name], dtype)] * len(places)
        if name in pairs.columns or not holds(dtype):
            return plain_column(self._series(name, dtype), places.tolist())
        vector = pairs.vector(name, dtype) if pairs.knows(name) else self._kept.vector(name)
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
        if pairs.knows(name):
            return pairs.series(name, dtype)
        return self._kept.series(name)
