"""Keys as small whole numbers, so that (key, time) fits one int64 that sorts and searches fast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

_WIDE = 2**31


class KeyCodes:
    """Codes of the keys of a set of events; the order of codes means nothing."""

    def __init__(self, keys: pl.Series) -> None:
        """`keys` are int64 or text, without nulls."""
        self._least: int | None = None
        if keys.dtype.is_integer():
            values = keys.cast(pl.Int64).to_numpy()
            least, most = int(values.min(initial=0)), int(values.max(initial=0))
            if most - least < _WIDE:
                self._least, self.size = least, most - least + 1
                self.codes: Ints = values - least
                return
        texts = keys.cast(pl.String).cast(pl.Categorical(pl.Categories.random()))
        self._known = texts.clear()  # categories live as long as a series of them
        self.codes = texts.to_physical().cast(pl.Int64).to_numpy()
        self.size = int(self.codes.max(initial=-1)) + 1

    def of(self, keys: pl.Series) -> Ints:
        """Codes of other keys, -1 for null and for those that no event has; a whole number and its text are one key."""
        if self._least is None:
            codes = keys.cast(pl.String).cast(self._known.dtype).to_physical().cast(pl.Int64)
            return codes.set(codes >= self.size, -1).fill_null(-1).to_numpy()
        if not keys.dtype.is_integer():
            whole = keys.cast(pl.String).cast(pl.Int64, strict=False)
            keys = whole.set(whole.cast(pl.String) != keys.cast(pl.String), None)
        values: Ints = keys.cast(pl.Int64).fill_null(self._least - 1).to_numpy()
        known = (values >= self._least) & (values < self._least + self.size)
        return np.where(known, values - self._least, -1)


def sort_places(places: Ints) -> tuple[Ints, Ints]:
    """The order that sorts whole numbers >= 0, ties as they stand, and the sorted numbers."""
    bits = len(places).bit_length()
    if int(places.max(initial=0)) >= 1 << (63 - bits):
        order = np.argsort(places, kind="stable").astype(np.int64)
        return order, places[order]
    packed = places << bits  # number and place in one word: sorting words is four times faster than sorting indices
    packed |= np.arange(len(places))
    packed.sort()
    order = packed & ((1 << bits) - 1)
    packed >>= bits
    return order, packed


class Moments:
    """Codes and times as one int64 a pair, in the order of both."""

    def __init__(self, codes: KeyCodes, times: Ints) -> None:
        self._first = int(times.min(initial=0)) if len(times) else 0
        self._span = int(times.max()) - self._first + 2 if len(times) else 1
        self._known: Ints | None = None
        if codes.size * self._span >= 2**62:  # too many keys or too long a time: number the moments instead
            self._known = np.unique(times)
            self._span = len(self._known) + 1

    def places(self, codes: Ints, times: Ints) -> Ints:
        """Place of each (code, time); a time between two events' is at the later one, one beyond all after them."""
        if self._known is not None:
            return codes * self._span + np.searchsorted(self._known, times)
        return codes * self._span + np.clip(times - self._first, 0, self._span - 1)

    def start(self, codes: Ints) -> Ints:
        """The place before everything of each code."""
        return codes * self._span
