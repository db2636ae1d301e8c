"""Tame frames: no NaN, no infinity, no float beyond 2**100; most checks of results are then known to pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from saima.features.nodes import TAME_BITS
from saima.features.types import Type

BOUND = 2.0**TAME_BITS


def is_tame(rows: Iterable[Iterable[Any]]) -> bool:
    """Whether rows of scalars as Python values are tame."""
    return all(-BOUND <= value <= BOUND for row in rows for value in row if type(value) is float)


class Tamer:
    """Looks at the floats of frames of the same columns.

    The sum of the magnitudes of a column bounds each of them, and is NaN where one is: one number a column tells.
    """

    def __init__(self, types: Mapping[str, Type]) -> None:
        self._sums: dict[str, pl.Expr] = {}
        self._scalars = [name for name, dtype in types.items() if dtype.is_float]
        self._opaque = False
        for name, dtype in types.items():
            values = _floats(pl.col(name), dtype)
            if values is not None:
                self._sums[name] = values.abs().sum().alias(name)
            self._opaque = self._opaque or (values is None and _has_floats(dtype))

    def tamed(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """The frame with null for NaN, if it is tame then; else None."""
        if self._opaque:
            return None
        sums = self._of(frame, self._sums)
        unknown = [name for name, total in sums.items() if total != total and name in self._scalars]
        if unknown:
            frame = frame.with_columns(pl.col(unknown).fill_nan(None))
            sums |= self._of(frame, unknown)
        return frame if all(total <= BOUND for total in sums.values()) else None

    def _of(self, frame: pl.DataFrame, names: Iterable[str]) -> dict[str, float]:
        chosen = {name: self._sums[name] for name in names}
        if not chosen:
            return {}
        return dict(zip(chosen, frame.select_seq(chosen.values()).row(0), strict=True))


def _floats(expr: pl.Expr, dtype: Type) -> pl.Expr | None:
    """All floats of a column; None where it has none, or has them deeper than in a list or a map."""
    if dtype.is_float:
        return expr
    if dtype.is_list and dtype.of.is_float:
        return expr.explode().fill_nan(None)
    if dtype.name == "map" and dtype.of.is_float:
        return expr.explode().struct.field("value").fill_nan(None)
    return None


def _has_floats(dtype: Type) -> bool:
    return dtype.is_float or (dtype.element is not None and _has_floats(dtype.of))
