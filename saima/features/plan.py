"""The plan of an algorithm's features: stages of expressions, one Polars select a stage."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.expression import interpret
from saima.features.fuse import FusePlan, compile_fuse
from saima.features.lowering import empty_list, literal, lower
from saima.features.nodes import TAME_BITS, Call, Column, Node, Side, constant, walk
from saima.features.online.quick import Quick, compile_quick
from saima.features.types import TIMESTAMP, Type, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saima.features.reads import AggregateRead, TableRead
    from saima.features.vocabularies import Vocabulary

__all__ = ["Computed", "FusePlan", "Plan", "Stage", "compile_fuse", "make_plan"]

LANGUAGE = 2
"""Version of the language's semantics; it is part of every plan's hash."""

_SMALL = 16
_TAME = 2.0**TAME_BITS


@dataclass(frozen=True)
class Computed:
    """A feature ready to be planned: the node of its final value before the default."""

    name: str
    node: Node
    dtype: Type
    default: Any


@dataclass(frozen=True)
class Stage:
    """Columns computed by one select: shared subexpressions and features of one side; they see earlier stages."""

    names: tuple[str, ...]
    side: Side
    level: int
    nodes: tuple[Node, ...] = field(repr=False)
    exprs: list[pl.Expr] = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """How an algorithm's features are computed from their inputs.

    request_fields: input column -> type of what the request carries. features: name -> type, in declared order.
    lineage: feature -> input columns. hash: stable over processes and machines.
    """

    request_fields: dict[str, Type]
    tables: dict[str, TableRead]
    aggregates: dict[str, AggregateRead]
    stages: tuple[Stage, ...]
    features: dict[str, Type]
    lineage: dict[str, list[str]]
    shared: dict[str, Node]
    computed: tuple[Computed, ...] = field(repr=False)
    hash: str = ""

    def input_schema(self) -> dict[str, pl.DataType]:
        """Every input column that `evaluate` needs, with its dtype."""
        return dict(self._inputs)

    def input_types(self) -> dict[str, Type]:
        """Every input column that `evaluate` needs, with its type."""
        columns: dict[str, Type] = {"request.time": TIMESTAMP, **self.request_fields}
        for table in self.tables.values():
            columns |= {f"{table.name}.{name}": dtype for name, dtype in table.columns.items()}
        for aggregate in self.aggregates.values():
            columns |= aggregate.columns
        return columns

    @cached_property
    def _inputs(self) -> dict[str, pl.DataType]:
        return {name: dtype.polars for name, dtype in self.input_types().items()}

    @cached_property
    def _names(self) -> list[str]:
        return list(self._inputs)

    @cached_property
    def _dtypes(self) -> list[pl.DataType]:
        return list(self._inputs.values())

    @cached_property
    def _quick(self) -> Quick | None:
        return compile_quick(self.computed, self._inputs)

    @cached_property
    def _steps(self) -> list[list[pl.Expr]]:
        """Per level but the last, the expressions of all its stages."""
        last = max(stage.level for stage in self.stages)
        return [[e for stage in self.stages if stage.level == level for e in stage.exprs] for level in range(last)]

    @cached_property
    def _final(self) -> list[pl.Expr]:
        last = max(stage.level for stage in self.stages)
        found = {
            name: expr if stage.level == last else pl.col(name)
            for stage in self.stages
            for name, expr in zip(stage.names, stage.exprs, strict=True)
        }
        return [found[name] for name in self.features]

    def evaluate(self, inputs: pl.DataFrame) -> pl.DataFrame:
        """Features of a frame of inputs: exactly the feature columns, in declared order and dtypes, rows in order.

        A row's values do not depend on the other rows. Raises SaimaError on a missing column or another type.
        """
        frame = self._conform(inputs)
        quick = self._quick
        if quick is not None and 0 < frame.height <= _SMALL:
            rows = quick.rows(frame)
            if _is_tame(rows):
                return quick.evaluate(frame, rows)
        for exprs in self._steps:
            frame = frame.with_columns(exprs)
        if all(computed.node.side == "const" for computed in self.computed):
            return frame.with_columns(self._final).select(list(self.features))
        return frame.select(self._final)

    def evaluate_lazy(self, inputs: pl.LazyFrame) -> pl.LazyFrame:
        """As `evaluate`, lazily."""
        frame = inputs.cast(cast("Any", self._inputs), strict=False)
        for exprs in self._steps:
            frame = frame.with_columns(exprs)
        return frame.with_columns(self._final).select(list(self.features))

    def reference(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features of one row of inputs as Python values (timestamps int ms), by the operators' references."""
        cells = dict(row)
        waiting = list(self.computed)
        while waiting:
            feature = waiting.pop(0)
            needs = {node.name for node in walk(feature.node) if isinstance(node, Column) and node.feature}
            if not needs <= set(cells):
                waiting.append(feature)
                continue
            value = interpret(feature.node, cells)
            default = feature.default
            cells[feature.name] = _as_declared(default, feature.dtype) if value is None else value
        return {name: cells[name] for name in self.features}

    def _conform(self, inputs: pl.DataFrame) -> pl.DataFrame:
        names, wanted = self._names, self._dtypes
        if inputs.columns != names:
            missing = [name for name in names if name not in inputs.columns]
            if missing:
                raise SaimaError(f"the inputs lack the column '{missing[0]}'{suggest(missing[0], inputs.columns)}"
                                 + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""))  # fmt: skip
            inputs = inputs.select(names)
        if inputs.dtypes == wanted:
            return inputs
        casts = [
            _conversion(name, found, dtype)
            for name, found, dtype in zip(names, inputs.dtypes, wanted, strict=True)
            if found != dtype
        ]
        return inputs.with_columns(casts)


def _conversion(name: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    number = wanted.is_float() and found.is_numeric()
    integer = wanted == pl.Int64() and found.is_integer()
    when = wanted.is_temporal() and (found == pl.Int64() or isinstance(found, pl.Datetime))
    nested = wanted.is_nested() and found.is_nested()
    if not (found == pl.Null() or number or integer or when or nested):
        raise SaimaError(f"the input column '{name}' is {found}; the declaration wants {wanted}")
    if when and isinstance(found, pl.Datetime) and found.time_zone is None:
        raise SaimaError(f"the input column '{name}' is a timestamp without a time zone; {wanted} is wanted")
    return pl.col(name).cast(wanted, strict=False)


def _is_tame(rows: list[tuple[Any, ...]]) -> bool:
    """No NaN, no infinity, no float beyond 2**100: then the quick path leaves checks out that could never fail."""
    return all(-_TAME <= value <= _TAME for row in rows for value in row if type(value) is float)


def _as_declared(default: Any, dtype: Type) -> Any:
    return default if dtype.element is not None else to_frame_value(default, dtype)


def make_plan(
    *,
    features: Iterable[Computed],
    request_fields: dict[str, Type],
    tables: dict[str, TableRead],
    aggregates: dict[str, AggregateRead],
    vocabularies: Mapping[str, Vocabulary] | None = None,
) -> Plan:
    """Plan of features given in declared order; what they need comes earlier in no particular order."""
    computed = {feature.name: feature for feature in features}
    shared = _shared(computed.values())
    levels: dict[str, int] = {}
    for feature in computed.values():
        _level(Column(type=feature.dtype, side="const", key=f"feature {feature.name}", name=feature.name, feature=True),
               computed, shared, levels)  # fmt: skip
    last = max(levels.values(), default=0)
    referenced = {
        node.name
        for feature in computed.values()
        for node in walk(feature.node)
        if isinstance(node, Column) and node.feature
    }
    outputs: dict[str, tuple[int, Node]] = {}
    names = {node.key: name for name, node in shared.items()}
    for name, node in shared.items():
        outputs[name] = (levels[node.key], node)
    for name, feature in computed.items():
        early = name in referenced and levels[f"feature {name}"] < last
        outputs[name] = (levels[f"feature {name}"] if early else last, feature.node)
    stages: list[Stage] = []
    sides: tuple[Side, ...] = ("const", "request", "item", "cross")
    for level in range(last + 1):
        for side in sides:
            members = {name: node for name, (at, node) in outputs.items() if at == level and node.side == side}
            if members:
                stages.append(_stage(members, side, level, computed, names))
    return Plan(
        request_fields=request_fields,
        tables=tables,
        aggregates=aggregates,
        stages=tuple(stages),
        features={name: feature.dtype for name, feature in computed.items()},
        lineage={name: _lineage(feature, computed) for name, feature in computed.items()},
        shared=shared,
        computed=tuple(computed.values()),
        hash=_hash(computed.values(), vocabularies or {}),
    )


def _stage(
    members: dict[str, Node], side: Side, level: int, computed: dict[str, Computed], names: dict[str, str]
) -> Stage:
    exprs: list[pl.Expr] = []
    for name, node in members.items():
        expr = lower(node, {key: column for key, column in names.items() if column != name})
        exprs.append((with_default(expr, computed[name]) if name in computed else expr).alias(name))
    return Stage(tuple(members), side, level, tuple(members.values()), exprs)


def with_default(expr: pl.Expr, feature: Computed) -> pl.Expr:
    """The expression with the feature's default where it is missing."""
    if feature.default is not None:
        default = constant(feature.default, feature.dtype)
        return expr.fill_null(literal(default) if feature.default != [] else empty_list(feature.dtype))
    return expr


def _trivial(node: Node) -> bool:
    if not isinstance(node, Call):
        return True
    return node.operator.name in ("cast", "as", "negate", "is_null") and _trivial(node.args[0])


def _shared(features: Iterable[Computed]) -> dict[str, Node]:
    """Subexpressions that occur more than once, by the name of the column that will hold them."""
    counts: dict[str, int] = {}
    nodes: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if _trivial(node):
            return
        counts[node.key] = counts.get(node.key, 0) + 1
        if counts[node.key] == 1 and isinstance(node, Call):
            nodes[node.key] = node
            for arg in node.args:
                visit(arg)

    for feature in features:
        visit(feature.node)
    repeated = [key for key, count in counts.items() if count > 1]
    return {f"__shared_{place}": nodes[key] for place, key in enumerate(repeated)}


def _level(node: Node, computed: dict[str, Computed], shared: dict[str, Node], levels: dict[str, int]) -> int:
    """Level of the stage that can compute a node: above every shared node and feature that it reads."""
    if node.key in levels:
        return levels[node.key]
    below: list[Node] = []
    if isinstance(node, Column) and node.feature:
        below = [computed[node.name].node]
    elif isinstance(node, Call):
        below = list(node.args)
    keys = {found.key for found in shared.values()}
    level = 0
    for part in below:
        inner = _level(part, computed, shared, levels)
        stored = part.key in keys or (isinstance(part, Column) and part.feature)
        level = max(level, inner + 1 if stored else inner)
    levels[node.key] = level
    return level


def _lineage(feature: Computed, computed: dict[str, Computed]) -> list[str]:
    found: dict[str, None] = {}
    for node in walk(feature.node):
        if isinstance(node, Column):
            inner = _lineage(computed[node.name], computed) if node.feature else [node.name]
            found |= dict.fromkeys(inner)
    return list(found)


def _hash(features: Iterable[Computed], vocabularies: Mapping[str, Vocabulary]) -> str:
    parts: list[Any] = [LANGUAGE]
    parts += [[f.name, f.node.key, str(f.dtype), f.default] for f in features]
    parts += [[name, list(vocabularies[name].ids.items())] for name in sorted(vocabularies)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
