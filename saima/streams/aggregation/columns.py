"""Tiles in arrays: keys are slots, events and tiles are runs of shared arrays, kernels do the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows import BehindHead
from saima.features.windows.component import Row
from saima.features.windows.definition import Ask, Group
from saima.features.windows.measure import components
from saima.streams.aggregation import adding, kernels, measuring, packing, words
from saima.streams.aggregation.regions import CLASSES, ROOM, longer, pool
from saima.streams.aggregation.slots import FEW, Slots
from saima.streams.aggregation.tiles import Fetch
from saima.streams.aggregation.totals import ColumnView

Ints = npt.NDArray[np.int64]

KINDS = {"count": (1,), "sum": (2, 3), "min": (4,), "max": (5,)}
"""Words of a tile that a component packs."""

STAGED = 4 * 1024
"""Entries of `staged` at which single events are taken into the arrays together."""


def columnar(group: Group) -> bool:
    """Whether arrays can hold a group: counts, exact sums, extremes."""
    return not group.is_text and set(components(group)) <= KINDS.keys() and not (group.is_float and _sums(group))


def _sums(group: Group) -> bool:
    return "sum" in components(group)


class ColumnTiles:
    """Tiles of one group in arrays; groups that are not `columnar` are refused with ValueError.

    staged: single events that are not yet in the arrays, each as four entries: key, time, seq, value.
    """

    def __init__(self, group: Group, fetch: Fetch | None = None) -> None:
        if not columnar(group):
            raise ValueError(f"{group.table}: {', '.join(sorted(group.measures))} are not held in columns")
        self.group = group
        self._fetch = fetch
        self._shape = words.Shape(group, sum(map(len, (KINDS[name] for name in components(group)))))
        self._kinds = np.array([kind for name in components(group) for kind in KINDS[name]], np.int64)
        self._hops, self._widths = np.array(group.hops, np.int64), np.array(group.widths, np.int64)
        self.staged: list[Any] = []
        self.clear()

    def clear(self) -> None:
        self._slots = Slots()
        self._fetched = 0
        self._keys = self._fresh(512)
        self._changed, self._changes = np.empty(512, np.int64), 0
        self._rows, self._tiles = np.zeros((4096, 3), np.int64), np.zeros((4096, 6), np.int64)
        self._row_heads, self._tile_heads = pool(), pool()
        self.staged.clear()

    def _fresh(self, count: int) -> Ints:
        keys = np.zeros((count, kernels.TILES + 4 * len(self._hops)), np.int64)
        keys[:, kernels.LATEST] = kernels.NONE
        return keys

    def __len__(self) -> int:
        return self._slots.count

    def __contains__(self, key: str) -> bool:
        return self._slots.seek(key) >= 0

    def add(self, key: str, row: Row) -> None:
        self.staged += (key, row[0], row[1], row[2] or 0)
        if len(self.staged) >= STAGED:
            self.settle()

    def settle(self) -> None:
        staged = self.staged
        if staged:
            keys, times, seqs, values = staged[::4], staged[1::4], staged[2::4], staged[3::4]
            staged.clear()
            self._insert(self._slots.named(keys), packing.whole(times), packing.whole(seqs), self._words_of(values))

    def _words_of(self, values: list[Any]) -> Ints:
        return packing.ordered(np.array(values, np.float64)) if self.group.is_float else packing.whole(values)

    def add_batch(self, keys: pl.Series, times: Ints, seqs: Ints, values: pl.Series | None) -> None:
        self.settle()
        slots = self._slots.of(keys, insert=True)
        numbers: npt.NDArray[Any] = np.zeros(len(slots), np.int64) if values is None else values.to_numpy()
        ordered = packing.ordered(numbers) if self.group.is_float else np.array(numbers)
        self._insert(slots, np.array(times), np.array(seqs), ordered)  # writable: one compilation serves all

    def _insert(self, slots: Ints, times: Ints, seqs: Ints, values: Ints) -> None:
        """Events into the arrays, which grow as they need."""
        self._widen()
        self._fetch_new()
        self._changes = packing.mark(slots, self._keys, self._changed, self._changes)
        done = 0
        while True:
            done, _ = adding.add_many(
                slots, times, seqs, values, done, self._keys, self.group.keep, self._hops, self._widths,
                *self._arrays(),
            )  # fmt: skip
            if done == len(slots):
                return
            key = self._keys[slots[done]]
            rooms = int(key[kernels.TILES + ROOM :: 4].sum())
            self._grow(2 * int(key[kernels.ROWS + ROOM]) + 64, 8 * rooms + 256 * len(self._hops))

    def _fetch_new(self) -> None:
        """Take in what is stored of the keys that have come since the last call."""
        if self._fetch is None or self._fetched == self._slots.count:
            return
        slots = np.arange(self._fetched, self._slots.count)
        keys = self._slots.keys(slots)
        found = self._fetch(keys)
        stored = [place for place, data in enumerate(found) if data is not None]
        if stored:
            self._fill(slots[stored], [keys[i] for i in stored], [data for data in found if data is not None])
        self._fetched = self._slots.count

    def _arrays(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Events, then tiles, each with its free rooms, as the kernels take them."""
        return self._row_heads, self._rows, self._tile_heads, self._tiles

    def _widen(self) -> None:
        """Give every slot its words."""
        if self._slots.count > len(self._keys):
            more = max(self._slots.count, 2 * len(self._keys)) - len(self._keys)
            self._keys = np.concatenate([self._keys, self._fresh(more)])
            self._changed = np.concatenate([self._changed, np.empty(more, np.int64)])

    def _grow(self, rows: int, tiles: int) -> None:
        """Double the arrays that have not so many rows left."""
        self._rows = longer(self._rows, int(self._row_heads[CLASSES]), rows)
        self._tiles = longer(self._tiles, int(self._tile_heads[CLASSES]), tiles)

    def count(self) -> int:
        self.settle()
        slots, starts = np.arange(self._slots.count), np.empty(self._slots.count + 1, np.int64)
        packing.measure(slots, self._keys, 1, 0, self._hops, self._widths, self._rows, self._tiles, starts)
        return int(starts[-1]) - len(slots) * (6 + len(self._hops))

    def view(self, asks: Sequence[Ask]) -> ColumnView:
        return ColumnView(self, asks)

    def seek(self, key: str) -> int:
        """Slot of a key, -1 without one; what was staged is in the arrays."""
        if self.staged:
            self.settle()
        return self._slots.seek(key)

    def seek_batch(self, keys: pl.Series) -> Ints:
        """The same for many keys."""
        self.settle()
        return self._slots.of(keys, insert=False)

    def measure(self, slots: Ints, q: Ints, windows: Ints, totals: Ints) -> None:
        """Totals of windows (width, hop, level) of slots, each as of its q. Raises BehindHead."""
        done = measuring.read_many(
            slots, q, self._keys, windows, self.group.slide, self._hops, self._rows, self._tiles, totals
        )
        if done < len(slots):
            latest, head = self._keys[slots[done], : kernels.DIRTY].tolist()
            raise BehindHead(
                f"{self.group.table}: a read at {q[done]} is {latest - int(q[done])} ms behind the newest event; reads "
                f"are right from {head + self.group.slide} on; raise the lateness of source '{self.group.source}'"
            )

    def pack(self, *, changed: bool) -> list[tuple[str, bytes]]:
        self.settle()
        if not changed:
            slots = np.arange(self._slots.count)
            return list(zip(self._slots.keys(slots), self._words(slots), strict=True))
        slots = self._changed[: self._changes].copy()
        self._changes = 0
        self._keys[slots, kernels.DIRTY] = 0
        if len(slots) <= FEW:
            named = self._slots.keys(slots)
            places = sorted(range(len(named)), key=named.__getitem__)
            return list(zip(map(named.__getitem__, places), self._words(slots[places]), strict=True))
        keys = self._slots.texts(slots)
        order = keys.arg_sort()
        return list(zip(keys.gather(order).to_list(), self._words(slots[order.to_numpy()]), strict=True))

    def _words(self, slots: Ints) -> list[bytes]:
        starts = np.empty(len(slots) + 1, np.int64)
        valued = self.group.value is not None
        packing.measure(
            slots, self._keys, 1 + len(self._kinds), 3 if valued else 2, self._hops, self._widths, self._rows,
            self._tiles, starts,
        )  # fmt: skip
        out = np.empty(int(starts[-1]), np.int64)
        packing.pack(
            slots, self._keys, len(self._hops), self._kinds, valued, self.group.is_float, self._rows, self._tiles,
            starts, out,
        )  # fmt: skip
        return words.cut(out, starts)

    def load(self, keys: Sequence[str], entities: Sequence[bytes]) -> None:
        self.settle()
        slots = self._slots.of(pl.Series(keys, dtype=pl.String), insert=True)
        self._widen()
        self._fill(slots, keys, entities)
        self._fetched = self._slots.count

    def _fill(self, slots: Ints, keys: Sequence[str], entities: Sequence[bytes]) -> None:
        """Packed entities into the arrays of new keys."""
        found, starts = words.joined(self._shape, keys, entities)
        self._grow(*words.rooms(self._shape, found, starts))
        packing.unpack(
            slots, self._keys, found, starts, self._kinds, self.group.value is not None, self.group.is_float,
            self._hops, self._widths, *self._arrays(),
        )  # fmt: skip

    def room(self) -> int:
        rows, tiles = int(self._row_heads[CLASSES]), int(self._tile_heads[CLASSES])
        return 24 * rows + 48 * tiles + int(self._keys.nbytes) + self._slots.room()

    def expire(self, before: int) -> list[str]:
        self.settle()
        keys = self._keys[: self._slots.count]
        old = np.flatnonzero(keys[:, kernels.LATEST] < before)
        if not len(old):
            return []
        gone, kept = self._slots.keys(old), np.flatnonzero(keys[:, kernels.LATEST] >= before)
        names, entities, dirty = self._slots.keys(kept), self._words(kept), keys[kept, kernels.DIRTY]
        self.clear()
        if names:
            self.load(names, entities)
            self._keys[: len(dirty), kernels.DIRTY] = dirty
            changed = np.flatnonzero(dirty)
            self._changed[: len(changed)], self._changes = changed, len(changed)
        return gone
