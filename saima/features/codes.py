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
            least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
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
        values: Ints = keys.cast(pl.Int64).fill_null(self._least).to_numpy()
        known = (values >= self._least) & (values < self._least + self.size) & keys.is_not_null().to_numpy()
        return np.where(known, values - self._least, -1)


def sort_pairs(codes: Ints, times: Ints) -> Ints:
    """The order that sorts by code (>= 0), then time; equal pairs stay as they stand."""
    if (times[1:] >= times[:-1]).all():  # as a log has them
        return _sort(codes)
    by_time = _sort(times - times.min())
    return by_time[_sort(codes[by_time])]


def _sort(numbers: Ints) -> Ints:
    """The stable order of whole numbers >= 0."""
    bits = len(numbers).bit_length()
    if int(numbers.max(initial=0)) >= 1 << (63 - bits):
        return np.argsort(numbers, kind="stable").astype(np.int64)
    packed = numbers << bits  # number and place in one word: sorting words is four times faster than sorting indices
    packed |= np.arange(len(numbers))
    packed.sort()
    packed &= (1 << bits) - 1
    return packed


class Moments:
    """Codes and times as one int64 a pair, in the order of both."""

    def __init__(self, codes: KeyCodes, times: Ints) -> None:
        self._first = int(times.min()) if len(times) else 0
        self._span = int(times.max()) - self._first + 2 if len(times) else 1
        self._known: Ints | None = None
        if codes.size * self._span >= 2**62:  # too many keys or too long a time: number the moments instead
            self._known = np.unique(times)
            self._span = len(self._known) + 1

    def start(self, codes: Ints) -> Ints:
        """The place before everything of each code."""
        return codes * self._span

    def places(self, starts: Ints, times: Ints) -> Ints:
        """Place of each time after its code's start; one that no event has is that of the next event, or the end."""
        if self._known is not None:
            return starts + np.searchsorted(self._known, times)
        places = times - self._first
        np.maximum(places, 0, out=places)
        np.minimum(places, self._span - 1, out=places)
        places += starts
        return places
