"""How a plan is served: what is computed once a request, what is kept with an item, what is left for each candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from saima.features.needs import Declared, of_item, table_needs, window_needs
from saima.features.nodes import Column, walk
from saima.features.online.vector.split import Split, levels
from saima.features.requests import Fields

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Serving:
    """Features by where they are computed.

    once: on one row a request. kept: with each item, as columns that are gathered by index, until a row, a window's
    tile or a hop that they read changes. kernels: for each candidate by the machine or NumPy, level after level.
    select: for each candidate by the one Polars select of what has no kernel.
    """

    once: tuple[str, ...]
    kept: tuple[str, ...]
    kernels: tuple[tuple[str, ...], ...]
    select: tuple[str, ...]

    def home(self, feature: str) -> str:
        """Where a feature is computed, in a word: once, kept, kernel or select."""
        if feature in self.once:
            return "once"
        if feature in self.kept:
            return "kept"
        return "select" if feature in self.select else "kernel"


def serving(algorithm: Declared) -> Serving:
    """How an algorithm's features are served; without candidates all are computed once a request."""
    plan, request = algorithm.plan, algorithm.declaration.request
    if request.items is None:
        return Serving(tuple(plan.features), (), (), ())
    split = Split(plan, kept_columns(algorithm))
    order = levels(split.units)
    return Serving(
        once=tuple(name for name in plan.features if name in split.shared),
        kept=tuple(name for name in plan.features if name in split.cached),
        kernels=tuple(
            names
            for level in order
            if (names := tuple(unit.name for unit in level if unit.computed is not None and unit.tree is not None))
        ),
        select=tuple(unit.name for level in order for unit in level if unit.computed is not None and unit.tree is None),
    )


def kept_columns(algorithm: Declared) -> list[str]:
    """Input columns that belong to the item alone: of tables and windows by its key, the key's fields, texts."""
    types = Fields(algorithm.declaration.request).types
    tables = [need for need in table_needs(algorithm) if of_item(need.inputs, types)]
    windows = [need for need in window_needs(algorithm) if of_item(need.inputs, types)]
    columns = [name for need in tables for name in need.inputs]
    columns += [name for need in windows for name in need.inputs]
    for feature in algorithm.plan.computed:
        for node in walk(feature.node):
            if isinstance(node, Column) and node.name.startswith("item.") and node.type.name == "string":
                columns.append(node.name)
    columns += [column for table in tables for column, _, _ in table.places]
    columns += [ask.column for window in windows for ask in window.asks]
    return list(dict.fromkeys(columns))
