"""The seam of the two backends: the state of one group of aggregates, by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.windows.component import Row
from saima.features.windows.definition import Ask, Group

Ints = npt.NDArray[np.int64]

Fetch = Callable[[Sequence[str]], Sequence[bytes | None]]
"""Packed entities that a store holds of keys, None where there is none."""


class View(Protocol):
    """Reads of some measures and windows of one group."""

    def read(self, key: str, q: int) -> list[Any]:
        """Values of the asks, in their order, as of q.

        Raises BehindHead if q lies before what is kept event by event, WindowOverflow where an int64 sum does not fit.
        """
        ...

    def read_batch(self, keys: pl.Series, q: Ints) -> list[list[Any]]:
        """The same for many keys, each with its q."""
        ...


class Tiles(Protocol):
    """Tiles of one group: in every backend equal events give equal packed entities and equal reads, bit for bit.

    With a `Fetch`, keys that are not held are fetched before the first event is added to them; reads see what is held.
    """

    group: Group

    def add(self, key: str, row: Row) -> None:
        """Add one event; its value is not null."""
        ...

    def add_batch(self, keys: pl.Series, times: Ints, seqs: Ints, values: pl.Series | None) -> None:
        """Add events in order of arrival; keys and values have no nulls."""
        ...

    def settle(self) -> None:
        """Fold what was only noted of single events."""
        ...

    def count(self) -> int:
        """How many closed tiles are held, of every level."""
        ...

    def view(self, asks: Sequence[Ask]) -> View:
        """What reads the asks, at any time from now on."""
        ...

    def pack(self, *, changed: bool) -> list[tuple[str, bytes]]:
        """Packed entities: all, or, ordered by key, those that changed since the last call with `changed`."""
        ...

    def load(self, keys: Sequence[str], entities: Sequence[bytes]) -> None:
        """Take in packed entities of keys that are not held."""
        ...

    def expire(self, before: int) -> list[str]:
        """Drop the keys whose newest event lies before a time; returns them."""
        ...

    def room(self) -> int:
        """About how many bytes all that is held takes."""
        ...

    def clear(self) -> None:
        """Drop all that is held, changed or not."""
        ...

    def __len__(self) -> int:
        """How many keys are held."""
        ...

    def __contains__(self, key: str) -> bool: ...


def expiry(group: Group, watermark: int) -> int:
    """Newest event of keys that nothing can ask for any more: dropped, they would come back with the same bytes."""
    return watermark - group.reach - group.lateness
