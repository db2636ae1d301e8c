"""Keys as dense numbers: a hash table over the bytes of texts that is probed for a whole batch at once."""

from __future__ import annotations

import struct
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

INLINE = 16
"""Keys of so many bytes are compared inside the table; longer ones in the text beside it."""

FEW = 64
"""Texts up to which the call of a kernel costs more than a loop."""


KNOWN = 1 << 20
"""Texts of single events' keys that are remembered at most."""


class Slots:
    """Numbers 0, 1, 2, ... of keys in order of their first appearance.

    An entry of the table is four words, half a cache line: slot + 1 and size, hash, and the key's first 16 bytes.
    """

    def __init__(self) -> None:
        self.count = 0
        self._table = np.zeros((1024, 4), np.uint64)
        self._ends = np.zeros(513, np.int64)
        self._text = np.zeros(8192, np.uint8)
        self._known: dict[str, int] = {}

    def named(self, keys: list[str]) -> Ints:
        """Slots of the keys of single events, new for those that have none; those of a few are remembered by text."""
        if len(keys) > FEW:
            return self.of(pl.Series(keys, dtype=pl.String), insert=True)
        known = self._known
        try:
            return np.array([known[key] for key in keys], np.int64)
        except KeyError:
            slots = [self._single(key, insert=True) for key in keys]
        if len(known) > KNOWN:
            known.clear()
        known.update(zip(keys, slots, strict=True))
        return np.array(slots, np.int64)

    def seek(self, key: str) -> int:
        """Slot of a key, -1 if it has none."""
        slot = self._known.get(key)
        if slot is None:
            slot = self._single(key, insert=False)
            if slot >= 0 and len(self._known) <= KNOWN:
                self._known[key] = slot
        return slot

    def of(self, keys: pl.Series, *, insert: bool) -> Ints:
        """Slots of keys (string, without nulls); those that have none get one, or -1 without `insert`."""
        return self._of(*buffers(keys), insert=insert)

    def keys(self, slots: Ints) -> list[str]:
        """Texts of slots."""
        if len(slots) > FEW:
            return self.texts(slots).to_list()
        starts, ends = self._ends[slots].tolist(), self._ends[slots + 1].tolist()
        return [self._text[start:end].tobytes().decode() for start, end in zip(starts, ends, strict=True)]

    def texts(self, slots: Ints | None = None) -> pl.Series:
        """Texts of slots, of all in their order if none are named."""
        slots = np.arange(self.count) if slots is None else slots
        offsets = np.zeros(len(slots) + 1, np.int64)
        np.cumsum(self._ends[slots + 1] - self._ends[slots], out=offsets[1:])
        data = np.empty(int(offsets[-1]), np.uint8)
        gather(slots, self._ends, self._text, offsets, data)
        found = pa.LargeStringArray.from_buffers(len(slots), pa.py_buffer(offsets), pa.py_buffer(data))
        return pl.Series("key", found, dtype=pl.String)

    def room(self) -> int:
        """Bytes that the table and the texts take."""
        return int(self._table.nbytes + self._ends.nbytes + self._text.nbytes)

    def _single(self, key: str, *, insert: bool) -> int:
        data = key.encode()
        offsets = np.frombuffer(struct.pack("<qq", 0, len(data)), np.int64)
        return int(self._of(offsets, np.frombuffer(data or b"\0", np.uint8), insert=insert)[0])

    def _of(self, offsets: Ints, data: Bytes, *, insert: bool) -> Ints:
        out = np.empty(len(offsets) - 1, np.int64)
        words = np.empty((len(out), 3), np.uint64)
        done = -1
        while True:
            done, self.count = probe(
                offsets, data, words, self._table, self._ends, self._text, self.count, out, done, insert
            )
            if done == len(out):
                return out
            self._grow(int(offsets[done + 1] - offsets[done]))

    def _grow(self, needed: int) -> None:
        if self.count + 1 >= len(self._ends):
            self._ends = np.append(self._ends, np.zeros(len(self._ends), np.int64))
        if 2 * (self.count + 1) > len(self._table):
            old, self._table = self._table, np.zeros((2 * len(self._table), 4), np.uint64)
            replace(old, self._table)
        used = int(self._ends[self.count])
        if used + needed > len(self._text):
            self._text = np.append(self._text, np.zeros(max(len(self._text), needed), np.uint8))


def buffers(keys: pl.Series) -> tuple[Ints, Bytes]:
    """Arrow's offsets and bytes of texts without nulls."""
    array: Any = keys.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    starts: Ints = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return starts, np.frombuffer(data or b"\0", np.uint8)


@numba.njit(cache=True, nogil=True)
def digest(offsets: Ints, data: Bytes, words: Words) -> None:
    """Per text its hash and its first 16 bytes as two words."""
    prime, mixer = np.uint64(1099511628211), np.uint64(0xD6E8FEB86659FD93)
    for i in range(len(offsets) - 1):
        low, size = offsets[i], offsets[i + 1] - offsets[i]
        first = second = np.uint64(0)
        for j in range(min(size, 8)):
            first |= np.uint64(data[low + j]) << np.uint64(8 * j)
        for j in range(8, min(size, 16)):
            second |= np.uint64(data[low + j]) << np.uint64(8 * j - 64)
        value = (first ^ np.uint64(size)) * mixer
        value = (value ^ (value >> np.uint64(32)) ^ second) * mixer
        for j in range(16, size):  # FNV-1a of the rest
            value = (value ^ np.uint64(data[low + j])) * prime
        value = (value ^ (value >> np.uint64(32))) * mixer
        words[i, 0] = value ^ (value >> np.uint64(29))
        words[i, 1], words[i, 2] = first, second


@numba.njit(cache=True, nogil=True)
def probe(
    offsets: Ints, data: Bytes, words: Words, table: Words, ends: Ints, text: Bytes, count: int, out: Ints, start: int,
    insert: bool,
) -> tuple[int, int]:  # fmt: skip
    """Fill `out` from `start`; returns where it stopped for want of room (or the end), and how many slots there are.

    At the beginning `start` is -1: the keys have no digests yet.
    """
    if start < 0:
        digest(offsets, data, words)
        start = 0
    mask = np.uint64(len(table) - 1)
    touched = np.uint64(0)
    for i in range(start, len(out)):  # independent loads, so that the misses of a batch overlap
        touched |= table[np.int64(words[i, 0] & mask), 0]
    if touched == np.uint64(0) and not insert:
        out[start:] = -1
        return len(out), count
    for i in range(start, len(out)):
        low, size = offsets[i], offsets[i + 1] - offsets[i]
        value = words[i, 0]
        short = np.uint64(min(size, INLINE + 1))
        place = np.int64(value & mask)
        slot = np.int64(-1)
        while table[place, 0] != np.uint64(0):
            entry = table[place]
            if (
                entry[1] == value
                and entry[2] == words[i, 1]
                and entry[3] == words[i, 2]
                and (entry[0] & np.uint64(31)) == short
            ):
                found = np.int64(entry[0] >> np.uint64(5)) - 1
                if size <= INLINE or equal(data, low, size, text, ends[found], ends[found + 1]):
                    slot = found
                    break
            place = np.int64(np.uint64(place + 1) & mask)
        if slot < 0 and insert:
            if count + 1 >= len(ends) or 2 * (count + 1) > len(table) or ends[count] + size > len(text):
                return i, count
            slot = np.int64(count)
            table[place, 0] = np.uint64(slot + 1) << np.uint64(5) | short
            table[place, 1], table[place, 2], table[place, 3] = value, words[i, 1], words[i, 2]
            at = ends[slot]
            for j in range(size):
                text[at + j] = data[low + j]
            ends[slot + 1] = at + size
            count += 1
        out[i] = slot
    return len(out), count


@numba.njit(cache=True, nogil=True)
def equal(data: Bytes, low: int, size: int, text: Bytes, start: int, end: int) -> bool:
    """Whether data[low:low + size] is text[start:end]."""
    if end - start != size:
        return False
    same = True
    for j in range(INLINE, size):
        same = same and data[low + j] == text[start + j]
    return same


@numba.njit(cache=True, nogil=True)
def gather(slots: Ints, ends: Ints, text: Bytes, offsets: Ints, data: Bytes) -> None:
    """Copy the texts of slots to their offsets."""
    for i in range(len(slots)):
        start, at = ends[slots[i]], offsets[i]
        for j in range(offsets[i + 1] - at):
            data[at + j] = text[start + j]


@numba.njit(cache=True, nogil=True)
def replace(old: Words, table: Words) -> None:
    """Put every entry of an old table into an empty one."""
    mask = np.int64(len(table) - 1)
    for i in range(len(old)):
        if old[i, 0] != np.uint64(0):
            place = np.int64(old[i, 1] & np.uint64(mask))
            while table[place, 0] != np.uint64(0):
                place = (place + 1) & mask
            table[place] = old[i]
