"""What an extractor found for one request: features as a matrix for models, as a frame for everybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from saima.events import Position
from saima.features.online.block import Block
from saima.features.online.gathered import Version
from saima.features.types import TIMESTAMP, Type, series, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Rows = dict[str, list[Version | None]]


class Values(Protocol):
    """Features of n rows, in whatever form they were computed."""

    @property
    def types(self) -> Mapping[str, Type]:
        """Types of all features, in declared order."""
        ...

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Values of some rows by feature: None or NaN is missing, a timestamp is its ms, a map its {key, value}."""
        ...

    def block(self, rows: Sequence[int]) -> Block | None:
        """Features of some rows that one float32 matrix holds exactly; None where no such matrix is at hand."""
        ...

    def frame(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """Features in their types: all in declared order, or the named ones."""
        ...

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Features as one C-ordered float32 matrix [n, len(names)], missing as NaN."""
        ...


class Extraction:
    """Features of one request, and all that they were read from.

    position: what the state read covers. positions: the offset that each shard's state covers, where there are several;
    a key's values are as of its own shard's. degraded: tables and aggregates that could not be read; what they would
    have given is missing.
    """

    def __init__(
        self,
        values: Values,
        position: Position,
        rows: Callable[[], Rows],
        degraded: list[str],
        positions: Sequence[int] = (),
    ) -> None:
        """rows: makes the versions when somebody asks for them."""
        self.position = position
        self.positions = positions
        self.degraded = degraded
        self._values = values
        self._rows = rows

    @cached_property
    def features(self) -> pl.DataFrame:
        """All features, n rows, one a candidate (or the request itself); made when first asked for."""
        return self._values.frame()

    @property
    def types(self) -> Mapping[str, Type]:
        """Types of the features, in declared order."""
        return self._values.types

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Values of some rows by feature, for the journal: None or NaN is missing, a timestamp is its ms."""
        return self._values.plain(rows, names)

    def block(self, rows: Sequence[int]) -> Block | None:
        """Features of some rows that one float32 matrix holds exactly, for the journal; None where there is none."""
        return self._values.block(rows)

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """Some features, for tensors that are no matrix: ids, lists, texts."""
        made = self.__dict__.get("features")
        return self._values.frame(names) if made is None else made.select(names)

    @cached_property
    def rows(self) -> Rows:
        """By table the versions read, [valid_from, known_at or null, offset] or null.

        One a candidate for tables of the item's side, else one.
        """
        return self._rows()

    def matrix(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Features as one C-ordered float32 matrix [n, len(names)] for models, missing as NaN; not to be written to.

        No frame is made on the way. Its memory is used again for other requests once the last reference is gone.
        """
        return self._values.matrix(tuple(names))


class Framed:
    """Features as a frame."""

    def __init__(self, features: pl.DataFrame, types: Mapping[str, Type]) -> None:
        self.types = types
        self._features = features

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """See Values."""
        return {name: plain_column(self._features.get_column(name), rows) for name in names or self.types}

    def block(self, rows: Sequence[int]) -> Block | None:  # noqa: ARG002  see Values
        """See Values."""
        return None

    def frame(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """See Values."""
        return self._features if names is None else self._features.select(names)

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """See Values."""
        made = np.empty((self._features.height, len(names)), np.float32)
        for place, name in enumerate(names):
            made[:, place] = self._features.get_column(name).cast(pl.Float32).to_numpy()
        return made


class OneRow:
    """Features of one row as plain Python values."""

    def __init__(self, values: Mapping[str, Any], types: Mapping[str, Type]) -> None:
        self._values = values
        self.types = types

    def plain(self, rows: Sequence[int], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """See Values."""
        values = self._values
        types = self.types if names is None else {name: self.types[name] for name in names}
        return {
            name: [values[name] if dtype.element is None else to_frame_value(values[name], dtype)] * len(rows)
            for name, dtype in types.items()
        }

    def block(self, rows: Sequence[int]) -> Block | None:  # noqa: ARG002  see Values
        """See Values."""
        return None

    def frame(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """See Values."""
        values = self._values
        types = self.types if names is None else {name: self.types[name] for name in names}
        times = [name for name, dtype in types.items() if dtype == TIMESTAMP]
        row = {name: to_frame_value(values[name], dtype) for name, dtype in types.items()}
        schema = {name: pl.Int64() if dtype == TIMESTAMP else dtype.polars for name, dtype in types.items()}
        made = pl.from_dicts([row], schema=schema)
        return made.with_columns(pl.col(times).cast(TIMESTAMP.polars)) if times else made

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """See Values."""
        values = self._values
        row = [[np.nan if (value := values[name]) is None else value for name in names]]
        with np.errstate(all="ignore"):  # what float32 does not hold is infinite, as in every other cast to it
            return np.array(row, np.float32)


def plain_column(column: pl.Series, rows: Sequence[int]) -> list[Any]:
    """Values of some rows of a column, a timestamp as its ms."""
    some = column.gather(list(rows))
    return (some.cast(pl.Int64) if some.dtype.is_temporal() else some).to_list()


def repeated(name: str, value: Any, dtype: Type, n: int) -> pl.Series:
    """One value as a column of n rows."""
    return series(name, [value], dtype).new_from_index(0, n)
