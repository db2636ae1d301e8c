"""The plan of an algorithm's features: what they read, and how a frame of inputs becomes a frame of them."""

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
from saima.features.lowering import with_default
from saima.features.nodes import Column, Node, walk
from saima.features.online.quick import Quick, compile_quick
from saima.features.stages import Computed, Stage, lineage_of, shared_of, stages_of
from saima.features.steps import Steps, compile_steps
from saima.features.tame import Tamer, is_tame
from saima.features.types import TIMESTAMP, Type, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saima.features.reads import AggregateRead, TableRead
    from saima.features.vocabularies import Vocabulary

__all__ = ["Computed", "FusePlan", "Plan", "Stage", "compile_fuse", "make_plan", "with_default"]

LANGUAGE = 2
"""Version of the language's semantics; it is part of every plan's hash."""

_SMALL = 16


@dataclass(frozen=True)
class Plan:
    """How an algorithm's features are computed from their inputs.

    request_fields: input column -> type of what the request carries. features: name -> type, in declared order.
    lineage: feature -> input columns. steps: how any frame of inputs is computed. hash: stable over processes and
    machines.
    """

    request_fields: dict[str, Type]
    tables: dict[str, TableRead]
    aggregates: dict[str, AggregateRead]
    stages: tuple[Stage, ...]
    features: dict[str, Type]
    lineage: dict[str, list[str]]
    shared: dict[str, Node]
    computed: tuple[Computed, ...] = field(repr=False)
    steps: Steps = field(repr=False)
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
    def tame_steps(self) -> Steps:
        """How frames are computed that have no NaN, no infinity and no float beyond 2**100."""
        return compile_steps({feature.name: feature for feature in self.computed}, self.shared, tame=True)

    @cached_property
    def _tamer(self) -> Tamer:
        return Tamer(self.input_types())

    def evaluate(self, inputs: pl.DataFrame) -> pl.DataFrame:
        """Features of a frame of inputs: exactly the feature columns, in declared order and dtypes, rows in order.

        A row's values do not depend on the other rows. Raises SaimaError on a missing column or another type.
        """
        frame = self._conform(inputs)
        quick = self._quick
        if quick is not None and 0 < frame.height <= _SMALL:
            rows = quick.rows(frame)
            if is_tame(rows):
                return quick.evaluate(frame, rows)
        tamed = self._tamer.tamed(frame)
        return self.steps.run(frame) if tamed is None else self.tame_steps.run(tamed)

    def evaluate_lazy(self, inputs: pl.LazyFrame) -> pl.LazyFrame:
        """As `evaluate`, lazily."""
        return self.steps.run_lazy(inputs.cast(cast("Any", self._inputs), strict=False))

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
    shared = shared_of(computed.values())
    return Plan(
        request_fields=request_fields,
        tables=tables,
        aggregates=aggregates,
        stages=stages_of(computed, shared),
        features={name: feature.dtype for name, feature in computed.items()},
        lineage={name: lineage_of(feature, computed) for name, feature in computed.items()},
        shared=shared,
        computed=tuple(computed.values()),
        steps=compile_steps(computed, shared, tame=False),
        hash=_hash(computed.values(), vocabularies or {}),
    )


def _hash(features: Iterable[Computed], vocabularies: Mapping[str, Vocabulary]) -> str:
    parts: list[Any] = [LANGUAGE]
    parts += [[f.name, f.node.key, str(f.dtype), f.default] for f in features]
    parts += [[name, list(vocabularies[name].ids.items())] for name in sorted(vocabularies)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
