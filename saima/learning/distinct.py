"""Rows told apart by the hashes of their keys, sorted: exact, and several times as fast as a hash table of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray


def codes(values: pl.Series) -> pl.Series:
    """Whole numbers (uint32) in place of values: equal where they are equal, 0 to how many there are less 1.

    The same values always get the same codes; their order means nothing. A null is a value like others.

    >>> codes(pl.Series(["b", "a", "b"])).n_unique()
    2
    """
    if not len(values):
        return pl.Series(values.name, [], dtype=pl.UInt32)
    hashes = values.hash(0).to_numpy()
    order = np.argsort(hashes)
    changes = hashes[order[1:]] != hashes[order[:-1]]
    sorted_ = values.gather(order)
    differs = sorted_.slice(1).ne_missing(sorted_.slice(0, len(values) - 1)).to_numpy()
    if (differs & ~changes).any():  # two values with one hash
        rank = values.rank("dense").fill_null(0)
        return (rank - rank.min()).cast(pl.UInt32)
    found = np.empty(len(values), np.uint32)
    found[order] = np.concatenate([[0], np.cumsum(changes)])
    return pl.Series(values.name, found)


def repeated(frame: pl.DataFrame, keys: Sequence[str]) -> NDArray[np.bool_] | None:
    """Rows whose keys may be those of another row, all that are among them; None: no two rows have equal keys."""
    hashes = np.zeros(frame.height, np.uint64)
    for place, key in enumerate(keys):
        hashes ^= frame[key].hash(place).to_numpy()
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(hashes, twice) if len(twice) else None


def first_of_each(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The first row of each combination of keys, in the order given."""
    found = repeated(frame, keys)
    if found is None:
        return frame
    rows = frame.select(keys).with_row_index("_row").filter(found)
    kept = rows.unique(keys, keep="first", maintain_order=True)["_row"].to_numpy()
    mask = ~found
    mask[kept] = True
    return frame.filter(mask)
