"""Names of one algorithm as a plan of their own, read and computed by the extractor that serves predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saima.errors import StoreError
from saima.features.compiler import compile_plan
from saima.features.declaration import Declaration, Feature
from saima.features.entries import closure
from saima.features.extractor import Extractor
from saima.features.needs import window_needs
from saima.features.requests import Fields
from saima.features.types import from_frame_value
from saima.features.types.decimals import number_of
from saima.host.features_keys import Sides
from saima.host.features_names import Named
from saima.host.features_reads import Ages

if TYPE_CHECKING:
    from saima.events import Position
    from saima.features.algorithm import Algorithm
    from saima.features.caches.tables import Caches
    from saima.features.online.extraction import Extraction
    from saima.features.plan import Plan
    from saima.features.types import Type
    from saima.stores.interfaces import OnlineRead, OnlineStore

COLUMN = "column "
"""Begins the name of a feature that is a column of a table or window, as no declared feature's name does."""


@dataclass(frozen=True)
class Cut:
    """The part of a declaration that some names are computed from, and its plan."""

    declaration: Declaration
    plan: Plan


class NamedFeatures:
    """Some names of one algorithm: what they need of a request, and their values with age and version.

    A column of a table or window is computed as a feature that is nothing but the column, so that there is one way of
    reading. Every table is read in the request's own transaction, whatever the declaration lets predictions do.
    """

    def __init__(self, algorithm: Algorithm, names: Sequence[Named], online: OnlineStore, caches: Caches) -> None:
        self._names = names
        self._hash = algorithm.plan.hash
        cut = cut_of(algorithm, names)
        self._plan = cut.plan
        self._has_items = cut.declaration.request.items is not None
        self._fields = Fields(cut.declaration.request)
        self._extractor = Extractor(cut, online, caches)
        needs = window_needs(cut)
        self._ages = [Ages(need) for need in needs]
        self._tiles: dict[str, list[str]] = {}
        for need in needs:
            self._tiles.setdefault(need.name, []).append(need.read.group.table)
        self.needed: dict[str, str] = {}
        for named in names:
            for column in self._fields_of(named):
                self.needed.setdefault(column, named.name)

    def answer(self, read: OnlineRead | None, sides: Sides, q: int) -> tuple[list[dict[str, Any]], Position]:
        """One document a name as of q (int64 ms), as JSON data, and the position that was read.

        read: the transaction that the extractor reads, too; None: there is no store, and all that it holds is missing.
        """
        items = [sides["item"]] if self._has_items else None
        found = self._extractor.extract(sides["request"], sides["user"], items, q)
        values = {name: column[0] for name, column in found.plain([0]).items()}
        newest = self._newest(read, sides, values, q)
        return [self._document(named, values, newest, found, q) for named in self._names], found.position

    def _document(
        self, named: Named, values: dict[str, Any], newest: dict[str, int], found: Extraction, q: int
    ) -> dict[str, Any]:
        lineage = self._plan.lineage[feature_of(named)]
        owners = _owners(lineage)
        tables = [name for name in self._plan.tables if name in owners]
        windows = [name for name in self._plan.aggregates if name in owners]
        times = [newest[column] for column in (*lineage, *tables) if column in newest]
        sources = [self._plan.tables[name].table.source for name in tables]
        sources += [self._plan.aggregates[name].aggregate.source for name in windows]
        return {
            "name": named.full_name,
            "value": written(from_frame_value(values[feature_of(named)], named.dtype), named.dtype),
            "dtype": str(named.dtype),
            "kind": named.kind,
            "age_ms": q - max(times) if times else None,
            "version": {
                "plan": self._hash,
                "rows": {name: (found.rows.get(name) or [None])[0] for name in tables},
                "tiles": {name: self._tiles[name] for name in windows},
            },
            "source": list(dict.fromkeys(sources)) or ["request"],
            "degraded": [name for name in found.degraded if name in owners],
        }

    def _newest(self, read: OnlineRead | None, sides: Sides, values: dict[str, Any], q: int) -> dict[str, int]:
        """Event times of the newest rows by table, and of the newest events by column of a window."""
        times = {name: values[f"{COLUMN}{name}.time"] for name in self._plan.tables}
        newest: dict[str, int] = {name: time for name, time in times.items() if time is not None}
        if read is not None:
            inputs: dict[str, Any] = {}
            for side, fields in sides.items():
                inputs |= self._fields.row(side, fields)
            for ages in self._ages:
                try:
                    newest |= ages.newest(read, inputs, q)
                except StoreError:
                    continue  # the extractor has named the aggregate as degraded
        return newest

    def _fields_of(self, named: Named) -> list[str]:
        """Fields of the request that a name is computed from, the keys of what it reads included."""
        lineage = self._plan.lineage[feature_of(named)]
        owners = _owners(lineage)
        reads = [read for reads in (self._plan.tables, self._plan.aggregates) for read in reads.values()]
        keys = [key for read in reads if read.name in owners for key in read.keys]
        return [column for column in (*lineage, *keys) if column in self._fields.types]


def feature_of(named: Named) -> str:
    """Name of the feature that computes what is named."""
    return named.name if named.kind == "feature" else f"{COLUMN}{named.name}"


def cut_of(algorithm: Algorithm, names: Sequence[Named]) -> Cut:
    """The features that are named, those that they name, and one a column; of every table's row its time, too."""
    declared, plan = algorithm.declaration, algorithm.plan
    computed = {feature.name: feature for feature in plan.computed}
    wanted = [named.name for named in names if named.kind == "feature"]
    kept = set(closure(computed, wanted))
    columns = {named.name: str(named.dtype) for named in names if named.kind != "feature"}
    owners = _owners([*columns, *(column for name in wanted for column in plan.lineage[name])])
    columns |= {f"{table}.time": "timestamp" for table in declared.tables if table in owners}
    own = {f"{COLUMN}{column}": Feature(value=column, dtype=dtype) for column, dtype in columns.items()}
    features = {name: feature for name, feature in declared.features.items() if name in kept}
    tables = {
        name: table.model_copy(update={"query": "sync", "cache": None}) for name, table in declared.tables.items()
    }
    update = {"features": {**features, **own}, "tables": tables, "models": {}, "fuse": None, "label": None}
    cut = declared.model_copy(update=update)
    return Cut(cut, compile_plan(cut, algorithm.vocabularies, algorithm.operators))


def written(value: Any, dtype: Type) -> Any:
    """A value as JSON has it: a decimal as a number, NaN as null, an infinity as text.

    >>> from saima.features.types import parse_type
    >>> written([125, None], parse_type("list<decimal(2)>")), written(float("inf"), parse_type("float64"))
    ([1.25, None], 'Infinity')
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: written(item, dtype.of) for key, item in value.items()}
    if isinstance(value, list):
        return [written(item, dtype.of) for item in value]
    if dtype.is_decimal:
        return number_of(value, dtype.size)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _owners(columns: Sequence[str]) -> set[str]:
    """Tables and aggregates among the owners of input columns."""
    return {column.partition(".")[0] for column in columns}
