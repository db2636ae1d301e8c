"""What a plan needs of tables and windows: which state it reads, by which columns of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from saima.features import lookups
from saima.features.declaration import Declaration
from saima.features.lookups import RowRead
from saima.features.plan import Plan
from saima.features.windows import Ask, WindowRead, reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saima.features.types import Type


class Declared(Protocol):
    """A loaded algorithm, as far as reading its features goes."""

    @property
    def declaration(self) -> Declaration: ...

    @property
    def plan(self) -> Plan: ...


@dataclass(frozen=True)
class TableNeed:
    """A table: its rows, the input columns of their key in order, whether it is read per candidate, its columns."""

    name: str
    read: RowRead
    inputs: tuple[str, ...]
    per_item: bool
    columns: tuple[str, ...]

    @property
    def places(self) -> list[tuple[str, str, int | None]]:
        """Per column its input column, its name, and its place among the row's values (None: a version's time)."""
        stored = self.read.rows.columns
        return [
            (f"{self.name}.{name}", name, None if name in ("valid_from", "known_at") else stored.index(name))
            for name in self.columns
        ]


@dataclass(frozen=True)
class WindowNeed:
    """An aggregate's windows over one group: the input columns of the key in the group's order, and what is asked."""

    name: str
    read: WindowRead
    inputs: tuple[str, ...]
    per_item: bool
    asks: tuple[Ask, ...]


def table_needs(algorithm: Declared) -> list[TableNeed]:
    """Tables that the plan's features read."""
    found = {read.table: read for read in lookups.reads(algorithm.declaration)}
    return [
        TableNeed(name, found[name], table.keys, _per_item(table.keys), tuple(table.columns))
        for name, table in algorithm.plan.tables.items()
    ]


def window_needs(algorithm: Declared) -> list[WindowNeed]:
    """Windows that the plan's features read, by aggregate and group."""
    needs = []
    for read in reads(algorithm.declaration):
        wanted = algorithm.plan.aggregates.get(read.aggregate)
        if wanted is None:
            continue
        declared = wanted.aggregate.key
        fields = [declared] if isinstance(declared, str) else declared
        inputs = dict(zip(fields, wanted.keys, strict=True))
        asks = tuple(ask for ask in read.asks if ask.column in wanted.columns)
        if asks:
            key = tuple(inputs[part] for part in read.group.key)
            needs.append(WindowNeed(read.aggregate, read, key, _per_item(key), asks))
    return needs


KEY_TYPES = frozenset({"string", "int64", "bool", "timestamp"})
"""Types of fields that make an item's key; a float is no key, since equal floats may differ in their bits."""


def of_item(inputs: Iterable[str], types: Mapping[str, Type]) -> bool:
    """Whether what is read by these input columns belongs to the item alone, and can be kept with it."""
    return all(name.startswith("item.") and types[name].name in KEY_TYPES for name in inputs)


def _per_item(inputs: tuple[str, ...]) -> bool:
    return any(name.startswith("item.") for name in inputs)
