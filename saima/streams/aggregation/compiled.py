"""Kernels compiled before the first event: at install, and loaded from where numba keeps them when a worker starts."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from saima.features.windows.definition import Group, Window
from saima.streams.aggregation.columns import ColumnTiles
from saima.streams.aggregation.slots import FEW


@cache
def compile_kernels() -> None:
    """Run every kernel of the windows' write path once, on events of no consequence; nothing in a second call."""
    group = Group(
        "", ("",), "", "int64", None, (Window("", 10, 2), Window("", 40, 8)), frozenset({"sum", "max"}), 1, 0, 4
    )
    count = 2 * FEW
    keys, times = pl.Series([str(i % FEW) for i in range(count)]), np.arange(count)
    tiles = ColumnTiles(group)
    tiles.add("0", (0, 0, 1))
    tiles.settle()
    tiles.add_batch(keys, times, times, pl.Series(times))
    stored = dict(tiles.pack(changed=True))
    tiles = ColumnTiles(group, lambda wanted: [stored.get(key) for key in wanted])
    more, twice = pl.Series([f"new {i}" for i in range(count)]), np.arange(2 * count)
    tiles.add_batch(pl.concat([keys, more]), twice, twice, None)
    tiles.pack(changed=True)
