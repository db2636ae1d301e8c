"""How a frame becomes features: steps of expressions, then one select.

A value that is checked, or that several expressions or one operator refer to more than once, is a column of its own:
written out in each place, nested checks would double the expression at every level. A step is one `with_columns`; it
holds everything that needs only the inputs and earlier steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from saima.features.lowering import Lowered, Lowerer, default_of, with_default
from saima.features.nodes import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.nodes import Call, Node
    from saima.features.operators.base import Lowering
    from saima.features.stages import Computed

_FEW = 4096
"""Rows below which handing expressions to threads costs more than it saves."""


@dataclass(frozen=True)
class Steps:
    """Compiled features of a frame of inputs.

    columns: columns that each step adds. final: the features, in declared order.
    """

    columns: tuple[list[pl.Expr], ...] = field(repr=False)
    final: list[pl.Expr] = field(repr=False)
    names: list[str]

    def run(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Features of a frame of inputs."""
        few = frame.height <= _FEW
        height = frame.height
        for exprs in self.columns:
            frame = frame.with_columns_seq(exprs) if few else frame.with_columns(exprs)
        made = frame.select_seq(self.final) if few else frame.select(self.final)
        # Features that are all constants are one row whatever the frame.
        return made if made.height == height else frame.with_columns(self.final).select(self.names)

    def run_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """As `run`, lazily."""
        for exprs in self.columns:
            frame = frame.with_columns(exprs)
        return frame.with_columns(self.final).select(self.names)


def compile_steps(features: Mapping[str, Computed], shared: Mapping[str, Node], *, tame: bool) -> Steps:
    """Steps of features by name; `shared` are the nodes that several of them hold, by name. tame: as of `lower`."""
    compiler = _Compiler(features, {node.key: name for name, node in shared.items()}, tame=tame)
    final = [compiler.final(feature) for feature in features.values()]
    return Steps(tuple(compiler.columns), final, list(features))


class _Compiler(Lowerer):
    """Lowers nodes, giving columns of their own to those that are referred to more than once."""

    def __init__(self, features: Mapping[str, Computed], shared: Mapping[str, str], *, tame: bool) -> None:
        super().__init__({}, tame=tame)
        self._features = features
        self._shared = shared
        self._held: dict[str, Lowered] = {}
        self._named: dict[str, Lowered] = {}
        self.columns: list[list[pl.Expr]] = []
        self._count = 0

    def final(self, feature: Computed) -> pl.Expr:
        """A feature's expression in the select that comes after all steps."""
        found = self._named.get(feature.name)
        return (self._value(feature).expr if found is None else found.expr).alias(feature.name)

    def raw(self, node: Node) -> Lowered:
        """A node, its own result perhaps not checked; a shared one is checked, in its column."""
        found = self._held.get(node.key)
        if found is None:
            found = super().raw(node)
            if node.key in self._shared:
                found = self._held[node.key] = self._store(self.checked(found), self._shared[node.key])
        return found

    def column(self, node: Column) -> Lowered:
        """A column of the inputs, what is missing already null, or of another feature."""
        if not node.feature:
            found = super().column(node)
            return found if found.plain else self._settled(node, found)
        if node.name not in self._named:
            self._named[node.name] = self._store(self._value(self._features[node.name]), node.name)
        return self._named[node.name]

    def hold(self, found: Lowered) -> Lowered:
        """The expression as a column."""
        return found if found.plain else self._store(found, self._name())

    def arguments(self, found: list[Lowered], node: Call, run: Lowering, /) -> list[Lowered]:
        """Arguments, those that the call's lowering refers to more than once as columns."""
        marks = [f"__argument_{place}" for place in range(len(found))]
        given = [one.expr if one.plain else pl.col(mark) for one, mark in zip(found, marks, strict=True)]
        names = run(node, *given).meta.root_names()
        return [
            self._settled(arg, one) if names.count(mark) > 1 else one
            for arg, one, mark in zip(node.args, found, marks, strict=True)
        ]

    def _settled(self, node: Node, found: Lowered) -> Lowered:
        held = self._held.get(node.key)
        if held is None:
            held = self.hold(found)
            if not held.dirty:
                self._held[node.key] = held
        return held

    def _value(self, feature: Computed) -> Lowered:
        """A feature's value with its default: where its check fails the default comes at once."""
        found = self.raw(feature.node)
        if found.dirty and feature.default is not None:
            held = self.hold(found)
            chosen = pl.when(held.expr.is_finite()).then(held.expr).otherwise(default_of(feature))
            return Lowered(chosen, step=held.step)
        found = self.checked(found)
        return Lowered(with_default(found.expr, feature), step=found.step)

    def _store(self, found: Lowered, name: str) -> Lowered:
        while len(self.columns) <= found.step:
            self.columns.append([])
        self.columns[found.step].append(found.expr.alias(name))
        return Lowered(pl.col(name), found.dirty, plain=True, step=found.step + 1)

    def _name(self) -> str:
        self._count += 1
        return f"__value_{self._count - 1}"
