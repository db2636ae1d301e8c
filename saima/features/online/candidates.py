"""Features of a request's candidates: the shared part once, the kept part found by key, the rest for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.needs import of_item
from saima.features.nodes import Column, walk
from saima.features.online.fresh import FreshColumns
from saima.features.online.item_cells import Cells
from saima.features.online.item_reads import ItemReads, Reading
from saima.features.online.item_rows import ItemRows, KeptRows
from saima.features.online.item_store import Found
from saima.features.online.pair_values import Filling, PairValues
from saima.features.online.single import Single
from saima.features.online.vector.pairs import Pairs
from saima.features.online.vector.program import Program
from saima.features.online.vector.split import Split, part_plan
from saima.features.online.vector.values import holds

if TYPE_CHECKING:
    from saima.features.declaration import Declaration
    from saima.features.online.gathered import Reader, Row
    from saima.features.online.table_reader import TableReader
    from saima.features.online.window_reader import WindowReader
    from saima.features.plan import Plan
    from saima.features.requests import Fields
    from saima.features.types import Type
    from saima.stores.interfaces import OnlineRead

SIZE = 100_000
"""Items kept where no table of theirs declares a `cache.size`."""


class Candidates:
    """An algorithm's features for requests with candidates; any number of threads."""

    def __init__(
        self,
        plan: Plan,
        declaration: Declaration,
        fields: Fields,
        tables: Sequence[TableReader],
        windows: Sequence[WindowReader],
    ) -> None:
        """tables, windows: readers of what is read for each candidate; what needs more than the item stays loose."""
        self._fields = fields
        self._types = plan.features
        self._inputs = plan.input_types()
        whole = [reader for reader in tables if of_item(reader.need.inputs, fields.types)]
        closed = [window for window in windows if of_item(window.need.inputs, fields.types)]
        readers: list[Reader] = [*tables, *windows]
        kept: list[Reader] = [*whole, *closed]
        self.loose = [reader for reader in readers if reader not in kept]
        keys = self._key_fields(plan, [name for reader in kept for name in reader.need.inputs])
        read = [column for reader in whole for column, _, _ in reader.need.places]
        read += [ask.column for window in closed for ask in window.need.asks]
        self._split = Split(plan, [*keys, *read])
        self._single = Single(part_plan(plan, self._split.shared, self._request_inputs()))
        columns = matrix_columns(declaration, self._types)
        self._program = Program(self._split, columns)
        kept_columns = [name for name in columns if name in self._split.cached]
        self._filling = Filling(columns, [*self._split.shared], kept_columns, self._program)
        self.items: ItemRows | None = None
        if self._split.cached:
            sizes = [reader.need.read.cache_size for reader in whole if declaration.tables[reader.need.name].cache]
            self.items = ItemRows(
                part_plan(plan, self._split.cached, [*keys, *read]),
                self._program,
                keys,
                ItemReads(whole, closed),
                kept_columns,
                max(sizes, default=SIZE),
            )
        else:
            self.loose = readers

    def read(self, read: OnlineRead | None, items: Sequence[Mapping[str, Any]], row: Row, reading: Reading) -> KeptRows:
        """The kept part of candidates, within a request's transaction; what is loose is gathered in `row`."""
        if read is not None:
            for reader in self.loose:
                reader.read(read, row)
        if self.items is not None:
            return self.items.read(read, items, row.time, reading)
        cells = Cells({}, [], [])
        return KeptRows(Found(cells.rows(len(items), 0, 0), np.arange(len(items))), cells)

    def values(self, items: Sequence[Mapping[str, Any]], row: Row, kept: KeptRows) -> PairValues:
        """Features of candidates from what was read."""
        shared, tame = self._single.evaluate(row.shared)
        fresh = FreshColumns(items, row.items or None, self._inputs, self._fields)
        pairs = Pairs(len(items), self._filling.take(len(items)), shared, kept, fresh)
        tame = tame and not (self.items is not None and self.items.wild) and fresh.tame(self._program.fresh)
        with np.errstate(all="ignore"):  # a kernel's infinity or NaN is no fault
            self._program.run(pairs, self._filling.moved(shared), tame=tame)
        return PairValues(self._types, pairs, kept, self._filling)

    def _key_fields(self, plan: Plan, names: Iterable[str]) -> dict[str, Type]:
        """Fields that an item's key is made of: the keys of what is read, and texts that features read."""
        found = dict.fromkeys(names)
        for feature in plan.computed:
            for node in walk(feature.node):
                if isinstance(node, Column) and node.name.startswith("item.") and node.type.name == "string":
                    found[node.name] = None
        return {name: self._fields.types[name] for name in found}

    def _request_inputs(self) -> list[str]:
        return [name for name in self._inputs if not name.startswith("item.")]


def matrix_columns(declaration: Declaration, types: Mapping[str, Type]) -> list[str]:
    """Columns of the matrix that is filled first: the inputs of the model with the most; without one all numbers."""
    widest: list[str] = []
    for model in declaration.models.values():
        if isinstance(model.inputs, list) and len(model.inputs) > len(widest):
            widest = list(model.inputs)
    numbers = [name for name, dtype in types.items() if holds(dtype)]
    return [name for name in widest if name in types and holds(types[name])] or numbers
