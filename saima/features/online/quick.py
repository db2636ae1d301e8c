"""Small frames: exact operators run as Python closures, the rest in one select.

One row through Polars costs some 20 us an operator whatever it does. Operators that are exact (their reference and
their lowering agree bit for bit) therefore run as plain Python where rows are few; the others keep their one home.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.lowering import lower
from saima.features.nodes import Call, Column, Constant, Node, walk
from saima.features.types import narrow, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saima.features.plan import Computed

Closure = Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Quick:
    """A compiled small-frame path over tame inputs.

    A row's cells are its inputs, then the inexact nodes of the one select, then the features in computing order.
    """

    timestamps: frozenset[int]
    exprs: list[pl.Expr] = field(repr=False)
    names: tuple[str, ...]
    closures: tuple[Closure, ...] = field(repr=False)
    schema: dict[str, pl.DataType] = field(repr=False)

    def rows(self, frame: pl.DataFrame) -> list[tuple[Any, ...]]:
        """Rows of an input frame as Python values, timestamps as int ms."""
        columns = [
            (column.cast(pl.Int64) if place in self.timestamps else column).to_list()
            for place, column in enumerate(frame.get_columns())
        ]
        return list(zip(*columns, strict=True))

    def evaluate(self, frame: pl.DataFrame, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
        """Features of a tame frame, whose rows are given too."""
        inexact = frame.select_seq(self.exprs).rows() if self.exprs else [()] * len(rows)
        made = [self._features([*row, *found]) for row, found in zip(rows, inexact, strict=True)]
        return pl.from_dicts(made, schema=self.schema)

    def _features(self, cells: list[Any]) -> dict[str, Any]:
        start = len(cells)
        for closure in self.closures:
            cells.append(closure(cells))
        return dict(zip(self.names, cells[start:], strict=True))


def compile_quick(computed: Sequence[Computed], inputs: Mapping[str, pl.DataType]) -> Quick | None:
    """The small-frame path of features; None where they hold lists or inexact operators on other features."""
    nodes = [node for feature in computed for node in walk(feature.node)]
    if any(node.type.element is not None for node in nodes):
        return None
    if any(feature.dtype.name == "timestamp" for feature in computed):
        return None
    inexact: dict[str, Node] = {}
    for feature in computed:
        _collect(feature.node, inexact)
    if any(isinstance(node, Column) and node.feature for root in inexact.values() for node in walk(root)):
        return None
    cells = {name: place for place, name in enumerate(inputs)}
    cells |= {key: len(inputs) + place for place, key in enumerate(inexact)}
    start = len(cells)
    features = {feature.name: feature for feature in computed}
    order = _ordered(features)
    cells |= {f"feature {name}": start + place for place, name in enumerate(order)}
    closures = [
        with_default(closure(features[name].node, cells), to_frame_value(features[name].default, features[name].dtype))
        for name in order
    ]
    exprs = [lower(node, tame=True).alias(f"__inexact_{place}") for place, node in enumerate(inexact.values())]
    timestamps = frozenset(place for place, dtype in enumerate(inputs.values()) if dtype.is_temporal())
    schema = {feature.name: feature.dtype.polars for feature in computed}
    return Quick(timestamps, exprs, tuple(order), tuple(closures), schema)


def with_default(run: Closure, default: Any) -> Closure:
    """The closure with a default where its value is missing."""
    if default is None:
        return run

    def defaulted(cells: list[Any]) -> Any:
        value = run(cells)
        return default if value is None else value

    return defaulted


def _collect(node: Node, found: dict[str, Node]) -> None:
    """Outermost inexact nodes."""
    if isinstance(node, Call):
        if not node.operator.exact:
            found.setdefault(node.key, node)
            return
        for arg in node.args:
            _collect(arg, found)


def _ordered(features: Mapping[str, Computed]) -> list[str]:
    """Features, each after those it names."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in order:
            return
        for node in walk(features[name].node):
            if isinstance(node, Column) and node.feature:
                visit(node.name)
        order[name] = None

    for name in features:
        visit(name)
    return list(order)


def closure(node: Node, cells: Mapping[str, int]) -> Closure:
    """A node as a function of a row's cells; `cells` are the places of inputs, roots and features by their keys."""
    if isinstance(node, Constant):
        value = node.value
        return lambda _: value
    if node.key in cells:
        at = cells[node.key]
        return lambda row: row[at]
    if not isinstance(node, Call):
        raise TypeError(type(node))
    if node.operator.name in ("cast", "as") and node.type.is_float and node.args[0].type.is_number:
        return _to_float(closure(node.args[0], cells), narrow if node.type.name == "float32" else float)
    args = [closure(arg, cells) for arg in node.args]
    if node.type.element is not None or node.mapped:
        return _listed(node, args)
    run = _bound(node)
    found = _present(run, args) if node.operator.nulls == "pass" else _any(run, args)
    if not node.type.is_float:
        return found
    return _to_float(found, narrow if node.type.name == "float32" else _finite if node.operator.finite else float)


_FAULTS = (ValueError, ZeroDivisionError, OverflowError)
"""What a reference raises outside its domain."""


def _any(run: Callable[..., Any], args: list[Closure]) -> Closure:
    def call(row: list[Any]) -> Any:
        try:
            return run(*[arg(row) for arg in args])
        except _FAULTS:
            return None

    return call


def _present(run: Callable[..., Any], args: list[Closure]) -> Closure:
    """A call that null passes through."""
    if len(args) == 1:
        only = args[0]

        def one(row: list[Any]) -> Any:
            value = only(row)
            if value is None:
                return None
            try:
                return run(value)
            except _FAULTS:
                return None

        return one

    def call(row: list[Any]) -> Any:
        values = [arg(row) for arg in args]
        if None in values:
            return None
        try:
            return run(*values)
        except _FAULTS:
            return None

    return call


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _listed(node: Call, args: list[Closure]) -> Closure:
    """A call that gives a list or a map, or that maps over a list."""
    operator, names, constants = node.operator, node.names, node.constants
    if node.mapped:
        at = names.index(operator.maps or "")

        def each(row: list[Any]) -> Any:
            values = [arg(row) for arg in args]
            return [
                operator.run([*values[:at], item, *values[at + 1 :]], names, constants) for item in values[at] or []
            ]

        return each
    empty = node.type.name == "list" and not operator.hidden

    def whole(row: list[Any]) -> Any:
        result = operator.run([arg(row) for arg in args], names, constants)
        return [] if result is None and empty else result

    return whole


def _to_float(run: Closure, convert: Callable[[float], float | None]) -> Closure:
    def cast(cells: list[Any]) -> Any:
        value = run(cells)
        return None if value is None else convert(value)

    return cast


def _bound(node: Call) -> Callable[..., Any]:
    """The reference with its constants bound, taking the arguments in the call's order."""
    reference, constants, names = node.operator.reference, node.constants, node.names
    parameters = node.operator.parameters.values()
    variadic = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    plain = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if variadic or list(names) == plain[: len(names)]:
        return partial(reference, **constants) if constants else reference
    return lambda *values: reference(**dict(zip(names, values, strict=True)), **constants)
