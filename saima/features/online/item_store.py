"""Kept rows of items: found by key, gathered by index, never changed but for the epoch under which they hold."""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.online.holding import hold
from saima.features.online.item_cells import EPOCH, Cells, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST = 256
_RECENT = 4
"""Lists of candidates whose rows are held, found, for the next request that brings the same."""


@dataclass(frozen=True)
class Found:
    """Rows of n keys: their places among `rows`; a place that is none stands for any row."""

    rows: Rows
    places: NDArray[np.intp]

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Their first cells by column [first, n]."""
        return np.ascontiguousarray(self.rows.first.take(self.places, axis=0, mode="clip").T)


@dataclass
class _Table:
    """Rows as they were put, the index of those that count, and what they were read from.

    index: places by key, as the bytes of an intp: joined they are an array without a number made for each. A row is
    written before the index knows it and never again, so that readers need no lock.
    """

    rows: Rows
    used: NDArray[np.int64]
    index: dict[Hashable, bytes] = field(default_factory=dict)
    tokens: list[Any] = field(default_factory=list)


class ItemStore:
    """Rows by key, the least recently used going first beyond `size`; for several threads."""

    def __init__(self, cells: Cells, objects: int, columns: int, size: int) -> None:
        """objects: Python objects of a row; columns: width of the float32 matrix."""
        self.size = size
        self._cells = cells
        self._shape = (objects, columns)
        self._table = self._make(_FIRST)
        self._recent: tuple[tuple[Sequence[Hashable], _Table, Found], ...] = ()
        self._tick = 0
        self._lock = threading.Lock()

    def find(self, keys: Sequence[Hashable], q: int, epoch: int) -> tuple[Found, NDArray[np.bool_] | None, list[Any]]:
        """The rows of keys, which of them hold at q under an epoch (None: all), and what the others were read from.

        A row that does not hold is anything; its token is None where the key is not known.
        """
        table = self._table
        self._tick += 1
        for known, of, found in self._recent:
            if of is table and known == keys and hold(table.rows.first, found.places, q, epoch):
                table.used[found.places] = self._tick
                return found, None, []
        places, complete = _places(table.index, keys)
        found = Found(table.rows, places)
        if complete:
            table.used[places] = self._tick
            if hold(table.rows.first, places, q, epoch):
                self._recent = ((keys, table, found), *self._recent[: _RECENT - 1])
                return found, None, []
        low, high, epochs = found.columns[: EPOCH + 1]
        good = (low <= q) & (q < high) & (epochs == epoch) & (places >= 0)
        tokens = [
            None if ok or place < 0 else table.tokens[place] for ok, place in zip(good, places.tolist(), strict=True)
        ]
        return found, good, tokens

    def put(self, keys: Sequence[Hashable], rows: Rows, tokens: Sequence[Any]) -> None:
        """Keep rows of distinct keys with what they were read from."""
        with self._lock:
            table = self._room(keys)
            start = len(table.tokens)
            places = np.arange(start, start + len(keys))
            table.rows.write(slice(start, start + len(keys)), rows)
            self._tick += 1
            table.used[places] = self._tick
            table.tokens += tokens
            for key, place in zip(keys, places, strict=True):
                before = table.index.get(key)
                table.index[key] = place.tobytes()
                if before is not None:
                    table.tokens[_place(before)] = None

    def prove(self, keys: Sequence[Hashable], tokens: Sequence[Any], epoch: int) -> None:
        """Let rows that were read from the very same hold under another epoch, too."""
        with self._lock:
            table = self._table
            for key, token in zip(keys, tokens, strict=True):
                packed = table.index.get(key)
                if packed is not None and table.tokens[place := _place(packed)] == token:
                    table.rows.first[place, EPOCH] = epoch

    def latest(self, most: int) -> list[Hashable]:
        """Keys of so many rows at most, those that were asked for last first."""
        with self._lock:
            table, names = self._table, list(self._table.index)
            places, _ = _places(table.index, names)
        return [names[one] for one in np.argsort(-table.used[places], kind="stable")[:most].tolist()]

    @property
    def entries(self) -> int:
        """Rows held."""
        return len(self._table.index)

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, of the index and of what tells whether a row is still good."""
        table = self._table
        last = next((token for token in reversed(table.tokens) if token), ())
        held = sys.getsizeof(last) + 49 * len(last)
        return table.rows.nbytes + table.used.nbytes + sys.getsizeof(table.index) + len(table.index) * (96 + held)

    def _make(self, room: int) -> _Table:
        return _Table(self._cells.rows(room, *self._shape), np.zeros(room, np.int64))

    def _room(self, keys: Sequence[Hashable]) -> _Table:
        """The table, with room for more rows; beyond the size the rows used last stay, a tenth less than the size."""
        table, more = self._table, len(keys)
        entries = len(table.index) + sum(key not in table.index for key in keys)
        full = entries > max(self.size, more)
        if not full and len(table.tokens) + more <= len(table.used):
            return table
        left = max(0, min(self.size * 9 // 10, self.size - more)) if full else len(table.index)
        names = list(table.index)
        places, _ = _places(table.index, names)
        stay = np.sort(np.argsort(-table.used[places], kind="stable")[:left])
        wanted = len(stay) + more
        made = self._make(wanted + wanted // 4 + _FIRST)
        made.rows.write(slice(0, len(stay)), table.rows.take(places[stay]))
        made.used[: len(stay)] = table.used[places[stay]]
        made.tokens = [table.tokens[place] for place in places[stay]]
        made.index = {names[old]: np.intp(new).tobytes() for new, old in enumerate(stay)}
        self._table = made
        self._recent = ()
        return made


_UNKNOWN = np.intp(-1).tobytes()


def _places(index: dict[Hashable, bytes], keys: Sequence[Hashable]) -> tuple[NDArray[np.intp], bool]:
    """Places of keys, -1 for those that are not there, and whether all are."""
    if len(keys) < 2:
        packed: Sequence[bytes] = [index.get(key, _UNKNOWN) for key in keys]
        return _joined(packed), _UNKNOWN not in packed
    try:
        return _joined(itemgetter(*keys)(index)), True
    except KeyError:
        return _joined([index.get(key, _UNKNOWN) for key in keys]), False


def _joined(packed: Iterable[bytes]) -> NDArray[np.intp]:
    return np.frombuffer(bytearray().join(packed), np.intp)  # writable: the machine's arrays are of one kind


def _place(packed: bytes) -> int:
    return int.from_bytes(packed, sys.byteorder)
