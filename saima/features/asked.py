"""Rows of a request log as the offline path asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.keys import key_expr
from saima.stores.shards import owners

Ints = npt.NDArray[np.int64]


@dataclass
class Asked:
    """Rows of a request log: their fields by input column, their times, and their positions where they have them, those
    of all shards and those of each."""

    fields: pl.DataFrame
    q: Ints
    position: Ints | None
    positions: pl.Series | None = None

    def keys(self, inputs: Sequence[str]) -> pl.Series:
        """Key of every row; a single whole number stays one."""
        first = self.fields.get_column(inputs[0])
        if len(inputs) == 1 and first.dtype.is_integer():
            return first.cast(pl.Int64).alias("key")
        return self.fields.select(key_expr([pl.col(name) for name in inputs]).alias("key")).to_series()

    def read(self, keys: pl.Series) -> Ints | None:
        """Position as of which each row's key was read: that of the shard that owns it."""
        if self.positions is None or self.position is None:
            return self.position
        texts, numbers = keys.cast(pl.String), self.positions.list.len().fill_null(0).to_numpy()
        own = np.zeros(len(numbers), np.int64)
        for shards in np.unique(numbers[numbers > 0]).tolist():
            rows = np.flatnonzero(numbers == shards)
            own[rows] = owners(texts.gather(rows), shards)
        found = self.positions.list.get(pl.Series(own), null_on_oob=True)
        return np.where(numbers > 0, found.fill_null(0).to_numpy(), self.position)

    def of(self, values: Ints | None, at: Ints | None) -> Ints | None:
        """Values of chosen rows; None chooses all."""
        return values if values is None or at is None else values[at]
