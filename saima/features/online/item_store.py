"""Kept rows of items as arrays: one row an item key, found by index, gathered in one take."""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.online.buffers import Buffers
from saima.features.online.vector.values import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.types import Type

LOW, HIGH, EPOCH, SPAN = 0, 1, 2, 3
"""Places of a row's span and epoch among its cells, and how many they are."""

_FIRST = 256
_BITS = 63


class Cells:
    """Where the columns of a row lie: floats, then wholes, as 64-bit cells after the span, then bits of missing wholes.

    floats, wholes: column -> place; objects: column -> place among a row's Python objects.
    """

    def __init__(self, types: dict[str, Type], first_floats: Sequence[str], first_wholes: Sequence[str]) -> None:
        """types: columns in order; the named ones come first, so that they can be taken as one slice."""
        kinds = {name: _kind(dtype) for name, dtype in types.items()}
        floats = dict.fromkeys([*first_floats, *(name for name in types if kinds[name] == "float")])
        wholes = dict.fromkeys([*first_wholes, *(name for name in types if kinds[name] == "whole")])
        self.types = types
        self.floats = {name: SPAN + place for place, name in enumerate(floats)}
        self.wholes = {name: SPAN + len(floats) + place for place, name in enumerate(wholes)}
        self.objects = {name: place for place, name in enumerate(name for name in types if kinds[name] == "object")}
        self._bits = SPAN + len(floats) + len(wholes)
        self._order = {name: place for place, name in enumerate(wholes)}
        self.width = self._bits + -(-len(wholes) // _BITS)

    def put(self, rows: NDArray[np.int64], name: str, vector: Vector) -> None:
        """Write a column of numbers [n] into rows [n, width]."""
        if name in self.floats:
            rows.view(np.float64)[:, self.floats[name]] = vector.values
            return
        rows[:, self.wholes[name]] = vector.values
        if vector.missing is not None:
            word, bit = divmod(self._order[name], _BITS)
            rows[:, self._bits + word] |= vector.missing.astype(np.int64) << bit

    def get(self, rows: NDArray[np.int64], name: str) -> Vector:
        """A column of numbers; bools as 0 and 1."""
        if name in self.floats:
            return Vector(rows.view(np.float64)[:, self.floats[name]])
        missing = self.missing(rows, [name])
        return Vector(rows[:, self.wholes[name]], None if missing is None else missing[0])

    def missing(self, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_] | None:
        """Where wholes are missing, [names, n]; None: nowhere."""
        if not rows[:, self._bits :].any():
            return None
        made = np.empty((len(names), len(rows)), np.bool_)
        for place, name in enumerate(names):
            word, bit = divmod(self._order[name], _BITS)
            made[place] = (rows[:, self._bits + word] >> bit) & 1
        return made


def _kind(dtype: Type) -> str:
    if dtype.is_float:
        return "float"
    return "whole" if dtype.name in ("int64", "timestamp", "bool") else "object"


@dataclass
class Rows:
    """Rows of n candidates: cells [n, width], objects [n, k], the float32 matrix [n, m] of the model's columns."""

    cells: NDArray[np.int64]
    objects: NDArray[np.object_]
    matrix: NDArray[np.float32]

    def replace(self, places: NDArray[np.intp], rows: Rows, among: NDArray[np.intp]) -> None:
        """Put rows `among` those of `rows` at places."""
        self.cells[places] = rows.cells[among]
        self.objects[places] = rows.objects[among]
        self.matrix[places] = rows.matrix[among]


class ItemStore:
    """Rows by key, the least recently used going first beyond `size`; for several threads.

    The lock is held while rows are found, copied out or copied in, never while they are computed.
    """

    def __init__(self, cells: Cells, objects: int, columns: int, size: int) -> None:
        """objects: Python objects of a row; columns: width of the float32 matrix."""
        self.size = size
        self._cells = cells
        self._index: dict[Hashable, int] = {}
        self._keys: list[Hashable] = []
        self._tokens: list[Any] = []
        self._used = np.zeros(0, np.int64)
        self._rows = Rows(
            np.zeros((0, cells.width), np.int64), np.empty((0, objects), np.object_), np.zeros((0, columns), np.float32)
        )
        self._buffers = Buffers()
        self._tick = 0
        self._lock = threading.Lock()

    def find(self, keys: Sequence[Hashable], q: int, epoch: int) -> tuple[Rows, NDArray[np.bool_] | None, list[Any]]:
        """Copies of the rows of keys, which of them hold at q under an epoch (None: all), and what the others read.

        A row that does not hold is anything; its token is None where the key is not known.
        """
        n = len(keys)
        columns = self._rows.matrix.shape[1]
        cells = self._buffers.take((n, self._cells.width), np.int64)
        matrix = self._buffers.take((n, columns), np.float32)
        with self._lock:
            held = self._rows
            if not self._keys:
                found = Rows(cells, np.empty((n, held.objects.shape[1]), np.object_), matrix)
                matrix[:] = 0
                return found, np.zeros(n, np.bool_), [None] * n
            known = True
            try:
                places = itemgetter(*keys)(self._index) if n > 1 else (self._index[keys[0]],)
            except KeyError:
                known = False
                places = tuple([self._index.get(key, -1) for key in keys])
            at = np.array(places, np.intp)
            held.cells.take(at, axis=0, out=cells, mode="clip")
            held.matrix.take(at, axis=0, out=matrix, mode="clip")
            found = Rows(cells, held.objects.take(at, axis=0, mode="clip"), matrix)
            self._tick += 1
            self._used[at] = self._tick
            tokens: list[Any] = []
            good = None
            span = cells[:, :SPAN]
            if not (
                known
                and int(span[:, LOW].max()) <= q < int(span[:, HIGH].min())
                and bool((span[:, EPOCH] == epoch).all())
            ):
                good = (span[:, LOW] <= q) & (q < span[:, HIGH]) & (span[:, EPOCH] == epoch) & (at >= 0)
                tokens = [
                    None if ok or place < 0 else self._tokens[place] for ok, place in zip(good, places, strict=True)
                ]
        return found, good, tokens

    def put(self, keys: Sequence[Hashable], rows: Rows, tokens: Sequence[Any]) -> None:
        """Keep rows of distinct keys with what they were read from."""
        with self._lock:
            self._grow(len(keys))
            places = np.array([self._place(key) for key in keys], np.intp)
            held = self._rows
            held.cells[places] = rows.cells
            held.objects[places] = rows.objects
            held.matrix[places] = rows.matrix
            self._tick += 1
            self._used[places] = self._tick
            for place, token in zip(places.tolist(), tokens, strict=True):
                self._tokens[place] = token

    @property
    def entries(self) -> int:
        """Rows held."""
        return len(self._index)

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, of the index and of what tells whether a row is still good."""
        held = self._rows
        arrays = held.cells.nbytes + held.objects.nbytes + held.matrix.nbytes + self._used.nbytes
        last = next(reversed(self._tokens), None) or ()  # another thread may be putting rows
        token = sys.getsizeof(last) + 49 * len(last)
        return arrays + sys.getsizeof(self._index) + len(self._keys) * (64 + token)

    def _place(self, key: Hashable) -> int:
        place = self._index.get(key)
        if place is None:
            place = self._index[key] = len(self._keys)
            self._keys.append(key)
            self._tokens.append(None)
        return place

    def _grow(self, more: int) -> None:
        """Room for so many more rows; beyond the size the rows used last stay, a tenth less than the size."""
        wanted = len(self._keys) + more
        if wanted > max(self.size, more) and self._keys:
            self._evict(max(0, min(self.size * 9 // 10, self.size - more)))
            wanted = len(self._keys) + more
        capacity = len(self._used)
        if wanted <= capacity:
            return
        room = max(_FIRST, wanted, min(2 * capacity, max(self.size, wanted)))
        held = self._rows
        self._rows = Rows(_longer(held.cells, room), _longer(held.objects, room), _longer(held.matrix, room))
        self._used = _longer(self._used, room)

    def _evict(self, left: int) -> None:
        count = len(self._keys)
        stay = np.sort(np.argsort(-self._used[:count], kind="stable")[:left])
        held = self._rows
        for array in (held.cells, held.objects, held.matrix, self._used):
            array[: len(stay)] = array[stay]
        held.objects[len(stay) : count] = None
        self._keys = [self._keys[place] for place in stay]
        self._tokens = [self._tokens[place] for place in stay]
        self._index = {key: place for place, key in enumerate(self._keys)}


def _longer(array: NDArray[Any], room: int) -> NDArray[Any]:
    made = (
        np.empty((room, *array.shape[1:]), array.dtype)
        if array.dtype == object
        else np.zeros((room, *array.shape[1:]), array.dtype)
    )
    made[: len(array)] = array
    return made
