"""Columns of the candidates that come with the request or are read for it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.nodes import TAME_BITS
from saima.features.online.vector.columns import from_values
from saima.features.types import TIMESTAMP, Type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.online.vector.values import Vector
    from saima.features.requests import Fields

_TAME = 2.0**TAME_BITS


class FreshColumns:
    """Input columns of n candidates: fields `item.<name>` of the request, and what was gathered for each of them."""

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        gathered: Sequence[Mapping[str, Any]] | None,
        types: Mapping[str, Type],
        fields: Fields,
    ) -> None:
        """gathered: rows of input columns by candidate; None: the request's fields are all there is."""
        self._items = items
        self._gathered = gathered
        self._types = types
        self._fields = fields
        self._vectors: dict[str, Vector] = {}

    def vector(self, name: str) -> Vector:
        """A column of numbers [n]."""
        found = self._vectors.get(name)
        if found is None:
            found = self._vectors[name] = from_values(self._values(name), self._types[name])
        return found

    def series(self, name: str) -> pl.Series:
        """A column as a frame holds it."""
        dtype = self._types[name]
        values = self._values(name)
        if dtype == TIMESTAMP:
            return pl.Series(name, values, dtype=pl.Int64).cast(dtype.polars)
        return pl.Series(name, values, dtype=dtype.polars)

    def tame(self, names: Iterable[str]) -> bool:
        """Whether columns hold no infinity and no float beyond 2**100; NaN is missing."""
        return not any(
            bool((np.abs(self.vector(name).values) > _TAME).any()) for name in names if self._types[name].is_float
        )

    def _values(self, name: str) -> list[Any]:
        if self._gathered is not None:
            return [row.get(name) for row in self._gathered]
        field, value = name.removeprefix("item."), self._fields.value
        return [value(name, item.get(field)) for item in self._items]
