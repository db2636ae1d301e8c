"""Rows of kept items as arrays: what kernels read of them first, then the rest, objects, and the model's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.online.vector.values import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.types import Type

LOW, HIGH, EPOCH, SPAN = 0, 1, 2, 3
"""Places of a row's span and epoch among its first cells, and how many they are."""

BITS = 63
"""Bits of missing wholes in a cell."""


@dataclass(frozen=True)
class Rows:
    """n rows: 64-bit cells that every request reads [n, first] and others [n, rest], objects [n, k], matrix [n, m].

    matrix: the model's columns, float32.
    """

    first: NDArray[np.int64]
    rest: NDArray[np.int64]
    objects: NDArray[np.object_]
    matrix: NDArray[np.float32]

    @cached_property
    def first_floats(self) -> NDArray[np.float64]:
        """The first cells as floats."""
        return self.first.view(np.float64)

    def take(self, places: NDArray[np.intp]) -> Rows:
        """Copies of the rows at places; a place that is none gives any row."""
        return Rows(*(part.take(places, axis=0, mode="clip") for part in self._parts))

    def write(self, places: Any, rows: Rows) -> None:
        """Put rows at places."""
        for part, given in zip(self._parts, rows._parts, strict=True):
            part[places] = given

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self._parts)

    @property
    def _parts(self) -> tuple[NDArray[Any], ...]:
        return self.first, self.rest, self.objects, self.matrix


class Cells:
    """Where the columns of a row lie: the first floats and wholes behind the span, with the bits of missing wholes.

    floats, wholes: names of the columns that come first. objects: column -> place among a row's Python objects.
    """

    def __init__(self, types: dict[str, Type], first_floats: Sequence[str], first_wholes: Sequence[str]) -> None:
        """types: columns in order; the named ones come first."""
        kinds = {name: _kind(dtype) for name, dtype in types.items()}
        floats = dict.fromkeys([*first_floats, *(name for name in types if kinds[name] == "float")])
        wholes = dict.fromkeys([*first_wholes, *(name for name in types if kinds[name] == "whole")])
        self.types = types
        self.floats, self.wholes = tuple(first_floats), tuple(first_wholes)
        self.objects = {name: place for place, name in enumerate(name for name in types if kinds[name] == "object")}
        first = [*first_floats, *first_wholes]
        self._first = {name: SPAN + place for place, name in enumerate(first)}
        self._rest = {name: place for place, name in enumerate([n for n in [*floats, *wholes] if n not in self._first])}
        self._kinds = kinds
        self._order = {name: place for place, name in enumerate(wholes)}
        self._bits = SPAN + len(first)
        self._width = self._bits + -(-len(wholes) // BITS)

    def rows(self, n: int, objects: int, columns: int) -> Rows:
        """n rows of nothing, with so many objects and columns of the matrix."""
        return Rows(
            np.zeros((n, self._width), np.int64),
            np.zeros((n, len(self._rest)), np.int64),
            np.empty((n, objects), np.object_),
            np.zeros((n, columns), np.float32),
        )

    def put(self, rows: Rows, name: str, vector: Vector) -> None:
        """Write a column of numbers [n] into n rows."""
        part, place = self._place(rows, name)
        if self._kinds[name] == "float":
            part.view(np.float64)[:, place] = vector.values
            return
        part[:, place] = vector.values
        if vector.missing is not None:
            word, bit = divmod(self._order[name], BITS)
            rows.first[:, self._bits + word] |= vector.missing.astype(np.int64) << bit

    def get(self, rows: Rows, places: NDArray[np.intp], name: str) -> Vector:
        """A column of numbers of the rows at places; bools as 0 and 1."""
        part, place = self._place(rows, name)
        values = part[places, place]
        if self._kinds[name] == "float":
            return Vector(values.view(np.float64))
        missing = self.missing(rows.first[places].T, [name])
        return Vector(values, None if missing is None else missing[0])

    def missing(self, columns: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_] | None:
        """Where wholes are missing, [names, n], given the first cells by column; None: nowhere."""
        words = columns[self._bits :]
        if not np.count_nonzero(words):
            return None
        made = np.empty((len(names), columns.shape[1]), np.bool_)
        for place, name in enumerate(names):
            word, bit = divmod(self._order[name], BITS)
            made[place] = (words[word] >> bit) & 1
        return made

    def _place(self, rows: Rows, name: str) -> tuple[NDArray[np.int64], int]:
        place = self._first.get(name)
        return (rows.first, place) if place is not None else (rows.rest, self._rest[name])


def _kind(dtype: Type) -> str:
    if dtype.is_float:
        return "float"
    return "whole" if dtype.name in ("int64", "timestamp", "bool") else "object"
