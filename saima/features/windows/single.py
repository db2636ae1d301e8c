"""Measures of one run of events at a time, for those that have no form over many runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.operators.identity import farmhash
from saima.features.windows.component import Row
from saima.features.windows.definition import Ask, Group, needs, percent
from saima.features.windows.measure import components, result
from saima.features.windows.sketches import buckets, distinct, precision_of, quantile, registers, resolution_of

Ints = npt.NDArray[np.int64]


class Single:
    """Measures of runs over the sorted values of a timeline."""

    def __init__(self, group: Group, values: npt.NDArray[Any] | pl.Series) -> None:
        self._group = group
        self._values = values
        self._components = components(group)

    def of(self, ask: Ask, run: Ints) -> Any:
        """A measure over chosen events, ascending and not empty, by the components of the online read.

        Raises WindowOverflow where an int64 sum does not fit.
        """
        if isinstance(self._values, pl.Series):
            values = self._values.gather(pl.Series(run)).to_list()
        else:
            values = self._values[run].tolist()
        rows: list[Row] = [(place, 0, value) for place, value in enumerate(values)]
        parts = {name: self._components[name].of(rows) for name in needs(ask.measure, self._group)}
        return result(ask.measure, parts, ask.k, self._group)

    def whole(self, ask: Ask) -> Callable[[int, int], Any]:
        """The measure as a function of a run [low, high), which is not empty."""
        if ask.measure == "distinct":
            return lambda low, high: len(np.unique(self._codes[low:high]))
        if ask.measure == "approx_distinct":
            return self._approx_distinct
        asked = percent(ask.measure)
        if asked is not None:
            return lambda low, high: self._quantile(low, high, asked)
        if ask.measure == "top_k" and isinstance(self._values, np.ndarray):
            values, k = self._values, ask.k
            return lambda low, high: np.sort(values[low:high])[: -k - 1 : -1].tolist()
        if ask.measure == "variance" and isinstance(self._values, np.ndarray) and self._group.is_float:
            floats = self._values
            return lambda low, high: float(np.var(floats[low:high]))
        return lambda low, high: self.of(ask, np.arange(low, high))

    @cached_property
    def _codes(self) -> Ints:
        """The values as whole numbers: equal ones are equal."""
        if isinstance(self._values, np.ndarray):
            return self._values.view(np.int64)
        codes: Ints = self._values.rank("dense").cast(pl.Int64).to_numpy()
        return codes

    @cached_property
    def _words(self) -> Ints:
        """Register and rank of every value in one word, as the packed sketch has them."""
        assert self._group.error is not None
        values = pl.Series("value", self._values)
        digests = values.to_frame().select(farmhash(pl.col("value").cast(pl.String))).to_series().to_numpy()
        places, ranks = registers(digests, precision_of(self._group.error))
        return places << 6 | ranks

    def _approx_distinct(self, low: int, high: int) -> int:
        assert self._group.error is not None
        words = np.unique(self._words[low:high])  # ascending: the greatest rank of a register comes last
        found = dict(zip((words >> 6).tolist(), (words & 63).tolist(), strict=True))
        return distinct(found, precision_of(self._group.error))

    @cached_property
    def _buckets(self) -> Ints:
        assert self._group.error is not None
        return buckets(np.asarray(self._values), resolution_of(self._group.error))

    def _quantile(self, low: int, high: int, asked: int) -> float:
        assert self._group.error is not None
        numbers, counts = np.unique(self._buckets[low:high], return_counts=True)
        found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        return quantile(found, asked, resolution_of(self._group.error)) / self._group.units
