"""Values that belong to items alone, computed once for each (row version, tile version, hop) and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.nodes import TAME_BITS
from saima.features.online.item_cells import EPOCH, HIGH, LOW, SPAN, Cells, Rows
from saima.features.online.item_reads import ItemReads, Reading
from saima.features.online.item_store import Found, ItemStore
from saima.features.online.vector.columns import from_series, to_series
from saima.features.online.vector.values import Vector, dtype_of, holds
from saima.features.types import TIMESTAMP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.online.vector.program import Program
    from saima.features.plan import Plan
    from saima.features.types import Type
    from saima.stores.interfaces import OnlineRead

_TAME = 2.0**TAME_BITS


class KeptRows:
    """The kept part of one request's candidates; see vector.program.Kept."""

    def __init__(self, found: Found, cells: Cells) -> None:
        self.rows, self.places = found.rows, found.places
        self._found = found
        self._cells = cells

    @property
    def floats(self) -> NDArray[np.float64]:
        """See vector.pairs.Kept."""
        return self._found.columns.view(np.float64)[SPAN : SPAN + len(self._cells.floats)]

    @property
    def wholes(self) -> NDArray[np.int64]:
        """See vector.pairs.Kept."""
        return self._found.columns[SPAN + len(self._cells.floats) :][: len(self._cells.wholes)]

    @cached_property
    def missing(self) -> NDArray[np.bool_] | None:
        """See vector.pairs.Kept."""
        return self._cells.missing(self._found.columns, self._cells.wholes)

    def series(self, name: str) -> pl.Series:
        """A kept column."""
        dtype = self._cells.types[name]
        if name in self._cells.objects:
            return pl.Series(name, self.objects(self._cells.objects[name]), dtype=dtype.polars)
        return to_series(name, self.vector(name), dtype)

    def vector(self, name: str) -> Vector:
        """A kept column of numbers."""
        values, missing = self._cells.get(self._found.rows, self._found.places, name)
        return Vector(values.astype(dtype_of(self._cells.types[name]), copy=False), missing)

    def objects(self, place: int) -> list[Any]:
        """The objects of one place of the rows."""
        found: list[Any] = self._found.rows.objects[self._found.places, place].tolist()
        return found


class ItemRows:
    """Finds the kept rows of candidates, and computes those that are missing or no longer good.

    columns: the model's columns that are kept, in order: each row's float32 matrix.
    """

    def __init__(
        self,
        plan: Plan,
        program: Program,
        fields: Mapping[str, Type],
        reads: ItemReads,
        columns: Sequence[str],
        size: int,
    ) -> None:
        """plan: of the kept part. fields: input columns `item.<name>` that make the key, with their types."""
        self.plan = plan
        self.reads = reads
        self.wild = False
        """Whether a row has held an infinity or a float beyond 2**100."""
        self.asked_at = 0
        """The q of the last request."""
        self._fields = dict(fields)
        self._names = [name.removeprefix("item.") for name in fields]
        self._get = itemgetter(*self._names)
        self.cells = Cells(dict(plan.features), program.floats, program.wholes)
        self._width = len(columns)
        self._columns = list(enumerate(columns))
        objects = len(self.cells.objects) + len(reads.tables)
        self.store = ItemStore(self.cells, objects, self._width, size)
        self._inputs = plan.input_types()

    def read(self, read: OnlineRead | None, items: Sequence[Mapping[str, Any]], q: int, reading: Reading) -> KeptRows:
        """Rows of candidates at q; what could not be read is in `reading`. read None: nothing is there to read."""
        try:
            keys: list[Any] = list(map(self._get, items))
        except KeyError:
            keys = [self._get({name: item.get(name) for name in self._names}) for item in items]
        self.asked_at = q
        epoch = -1 if read is None else self.reads.epoch(read, reading)
        found, good, tokens = self.store.find(keys, q, epoch)
        if good is None:
            reading.hits = len(keys)
        else:
            found = self._renew(read, keys, found, good, tokens, q, epoch, reading)
        return KeptRows(found, self.cells)

    def latest(self, most: int) -> list[dict[str, Any]]:
        """So many of the items that were asked for last at most, with the fields that make their keys."""
        keys = self.store.latest(most)
        if len(self._names) == 1:
            return [{self._names[0]: key} for key in keys]
        return [dict(zip(self._names, key, strict=True)) for key in keys]  # type: ignore[call-overload]

    def alike(self, other: ItemRows) -> bool:
        """Whether both know items by the same fields."""
        return self._names == other._names

    def _renew(
        self,
        read: OnlineRead | None,
        keys: list[Any],
        found: Found,
        good: NDArray[np.bool_],
        tokens: list[Any],
        q: int,
        epoch: int,
        reading: Reading,
    ) -> Found:
        wanted: dict[Any, list[int]] = {}
        for place in np.flatnonzero(~good).tolist():
            wanted.setdefault(keys[place], []).append(place)
        distinct = list(wanted)
        firsts = [places[0] for places in wanted.values()]
        values = [key if len(self._names) > 1 else (key,) for key in distinct]
        inputs = [dict(zip(self._fields, parts, strict=True)) for parts in values]
        fetched = self.reads.read(read, inputs, q, reading)
        parts = [None if one is None else tuple(one) for one in fetched.parts]
        spans = found.columns[:EPOCH, firsts].T.tolist()
        fresh = [
            i
            for i, (part, place, (low, high)) in enumerate(zip(parts, firsts, spans, strict=True))
            if part is None or part != tokens[place] or not low <= q < high
        ]
        reading.hits = int(np.count_nonzero(good))
        reading.misses = len(fresh)
        reading.checked = len(distinct) - len(fresh)
        rows = found.rows.take(found.places)
        if fresh:
            computed = self._compute([inputs[i] for i in fresh], fetched.of(fresh), epoch)
            places = [(place, new) for new, i in enumerate(fresh) for place in wanted[distinct[i]]]
            into, among = np.array(places, np.intp).T
            rows.write(into, computed.take(among))
            keep = [new for new, i in enumerate(fresh) if parts[i] is not None]
            if keep and epoch >= 0:
                some = [fresh[new] for new in keep]
                self.store.put(
                    [distinct[i] for i in some], computed.take(np.array(keep, np.intp)), [parts[i] for i in some]
                )
        if epoch >= 0:
            proven = sorted({*range(len(distinct))} - {*fresh})
            self.store.prove([distinct[i] for i in proven], [parts[i] for i in proven], epoch)
        return Found(rows, np.arange(len(keys)))

    def _compute(self, inputs: Sequence[Mapping[str, Any]], found: Reading, epoch: int) -> Rows:
        n = len(inputs)
        columns: dict[str, list[Any]] = {name: [row[name] for row in inputs] for name in self._fields}
        columns |= found.columns
        frame = pl.DataFrame([_column(name, columns.get(name), dtype, n) for name, dtype in self._inputs.items()])
        self.wild = self.wild or not all(_is_tame(column) for column in frame.iter_columns())
        features = self.plan.evaluate(frame)
        rows = self.cells.rows(n, len(self.cells.objects) + len(self.reads.tables), self._width)
        rows.first[:, [LOW, HIGH]] = found.spans
        rows.first[:, EPOCH] = epoch
        for name, dtype in self.plan.features.items():
            if holds(dtype):
                self.cells.put(rows, name, from_series(features[name], dtype))
            else:
                rows.objects[:, self.cells.objects[name]] = _objects(features[name].to_list())
        for place, name in enumerate(self.reads.tables):
            rows.objects[:, len(self.cells.objects) + place] = _objects(found.versions[name])
        for place, name in self._columns:
            rows.matrix[:, place] = as_float32(from_series(features[name], self.plan.features[name]))
        return rows

    def versions(self, kept: KeptRows) -> dict[str, list[Any]]:
        """By table the versions of the candidates' rows."""
        start = len(self.cells.objects)
        return {name: kept.objects(start + place) for place, name in enumerate(self.reads.tables)}


def as_float32(vector: Vector) -> NDArray[np.float32]:
    """Values as a model's column; missing is NaN."""
    with np.errstate(all="ignore"):  # what float32 does not hold is infinite, as in every other cast to it
        values = vector.values.astype(np.float32)
    if vector.missing is not None:
        values[vector.missing] = np.nan
    return values


def _objects(values: list[Any]) -> NDArray[np.object_]:
    made = np.empty(len(values), np.object_)
    made[:] = values
    return made


def _column(name: str, values: list[Any] | None, dtype: Type, n: int) -> pl.Series:
    if values is None:
        return pl.Series(name, [None] * n, dtype=dtype.polars)
    if dtype == TIMESTAMP:
        return pl.Series(name, values, dtype=pl.Int64).cast(dtype.polars)
    return pl.Series(name, values, dtype=dtype.polars)


def _is_tame(column: pl.Series) -> bool:
    """Whether a column holds no infinity and no float beyond 2**100; NaN is missing."""
    if isinstance(column.dtype, pl.List):
        return _is_tame(column.explode())
    if isinstance(column.dtype, pl.Struct):
        return all(_is_tame(inner) for inner in column.struct.unnest().iter_columns())
    if not column.dtype.is_float():
        return True
    size: Any = column.abs().fill_nan(None).max()
    return size is None or bool(size <= _TAME)
