"""One row without a frame: exact operators run as Python closures, the others in one select for each level.

An expression costs Polars some 15 us whatever the rows. Operators that are exact, or whose home is their reference
anyway, run as plain Python; the others stay with Polars, which is their home.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.lowering import lower
from saima.features.nodes import TAME_BITS, Call, Column, Node, walk
from saima.features.online.quick import Closure, closure, with_default
from saima.features.operators.kernel import by_rows
from saima.features.types import TIMESTAMP, Type, from_frame_value, narrow, series, to_frame_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from saima.features.plan import Computed, Plan

_TAME = 2.0**TAME_BITS


@dataclass(frozen=True)
class _Level:
    """What is computed together: the roots of one select, then features, each (cell, closure)."""

    exprs: list[pl.Expr]
    roots: list[tuple[int, Type]]
    reads: list[tuple[str, int, Type]]
    features: list[tuple[int, Closure]]


class Single:
    """A plan's features of one row, as plain Python values: timestamps as ms, maps as dictionaries."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        features = {feature.name: feature for feature in plan.computed}
        read = {node.name for one in plan.computed for node in walk(one.node) if isinstance(node, Column)}
        inputs = {name: dtype for name, dtype in plan.input_types().items() if name in read}
        self._inputs = [(name, _converter(dtype), dtype.is_float, _nests(dtype)) for name, dtype in inputs.items()]
        depths = _Depths(features)
        cells = {name: place for place, name in enumerate(inputs)}
        roots = {node.key: node for feature in plan.computed for node in _inexact(feature.node)}
        cells |= {key: len(cells) + place for place, key in enumerate(roots)}
        start = len(cells)
        cells |= {f"feature {name}": start + place for place, name in enumerate(features)}
        self._size = len(cells)
        self._outputs = [(name, cells[f"feature {name}"]) for name in plan.features]
        types = {**inputs, **{feature.name: feature.dtype for feature in plan.computed}}
        self._levels = [
            _level(
                [root for root in roots.values() if depths.root(root) == depth],
                [feature for feature in depths.ordered if depths.feature(feature.name) == depth],
                cells,
                types,
            )
            for depth in range(depths.deepest + 1)
        ]

    def evaluate(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Features of a row of inputs, as a frame holds them or as a request brings them; an absent input is missing.

        Whether what they read is tame comes with them: no NaN, no infinity, no float beyond 2**100.
        """
        get = row.get
        cells: list[Any] = []
        for name, convert, floating, nested in self._inputs:
            value = get(name)
            if value is not None and convert is not None:
                value = convert(value)
                if (floating and not -_TAME <= value <= _TAME) or (nested and not _is_tame(value)):
                    return self._evaluate_wild(row), False
            cells.append(value)
        cells.extend([None] * (self._size - len(cells)))
        for level in self._levels:
            if level.exprs:
                frame = pl.DataFrame([series(name, [cells[at]], dtype) for name, at, dtype in level.reads])
                for (at, dtype), value in zip(level.roots, frame.select_seq(level.exprs).row(0), strict=True):
                    cells[at] = from_frame_value(value, dtype)
            for at, run in level.features:
                cells[at] = run(cells)
        return {name: cells[at] for name, at in self._outputs}, True

    def _evaluate_wild(self, row: Mapping[str, Any]) -> dict[str, Any]:
        types = self._plan.input_types()
        columns = []
        for name, dtype in types.items():
            plain = row.get(name)
            columns.append(
                pl.Series(name, [plain], dtype=pl.Int64 if dtype == TIMESTAMP else dtype.polars).cast(dtype.polars)
            )
        made = self._plan.evaluate(pl.DataFrame(columns))
        plain = made.with_columns(pl.col(pl.Datetime("ms", "UTC")).cast(pl.Int64))
        return {
            name: from_frame_value(value, self._plan.features[name])
            for name, value in zip(plain.columns, plain.row(0), strict=True)
        }


def _level(roots: list[Node], features: list[Computed], cells: Mapping[str, int], types: Mapping[str, Type]) -> _Level:
    exprs = []
    for place, node in enumerate(roots):
        expr = lower(node, tame=True)
        exprs.append((expr.cast(pl.Int64) if node.type == TIMESTAMP else expr).alias(f"__inexact_{place}"))
    columns = {node.name: node for root in roots for node in walk(root) if isinstance(node, Column)}
    return _Level(
        exprs,
        [(cells[node.key], node.type) for node in roots],
        [(name, cells[node.key], types[name]) for name, node in columns.items()],
        [
            (
                cells[f"feature {feature.name}"],
                with_default(closure(feature.node, cells), _default(feature)),
            )
            for feature in features
        ],
    )


def _default(feature: Computed) -> Any:
    return from_frame_value(to_frame_value(feature.default, feature.dtype), feature.dtype)


class _Depths:
    """How many selects come before a feature, or an inexact root, can be computed."""

    def __init__(self, features: Mapping[str, Computed]) -> None:
        self._features = features
        self._depths: dict[str, int] = {}
        self.ordered: list[Computed] = []
        for name in features:
            self.feature(name)
        self.deepest = max(self._depths.values(), default=0)

    def feature(self, name: str) -> int:
        if name not in self._depths:
            node = self._features[name].node
            named = [self.feature(found) for found in _named(node)]
            roots = [self.root(root) for root in _inexact(node)]
            self._depths[name] = max([*named, *roots], default=0)
            self.ordered.append(self._features[name])
        return self._depths[name]

    def root(self, root: Node) -> int:
        return max((self.feature(name) + 1 for name in _named(root)), default=0)


def _named(node: Node) -> list[str]:
    return [found.name for found in walk(node) if isinstance(found, Column) and found.feature]


def _inexact(node: Node) -> list[Node]:
    """Outermost nodes whose home is Polars."""
    if not isinstance(node, Call):
        return []
    if not (node.operator.exact or node.operator.lower is by_rows):
        return [node]
    return [found for arg in node.args for found in _inexact(arg)]


def _converter(dtype: Type) -> Callable[[Any], Any] | None:
    """From a value as a request or a frame brings it to the reference's; None: they are the same."""
    if dtype.name == "float64":
        return float
    if dtype.name == "float32":
        return _single
    if dtype.name == "map":
        return lambda value: _plain(value, dtype)
    if dtype.element is not None:
        return lambda value: _plain(value, dtype)
    return None


def _nests(dtype: Type) -> bool:
    return dtype.element is not None


def _single(value: float) -> float:
    narrowed = narrow(value)
    return math.inf if narrowed is None else narrowed


def _plain(value: Any, dtype: Type) -> Any:
    if value is None:
        return None
    if dtype.name == "map":
        pairs = value.items() if isinstance(value, dict) else [(pair["key"], pair["value"]) for pair in value]
        return {key: _plain(item, dtype.of) for key, item in pairs}
    if dtype.is_list:
        return [_plain(item, dtype.of) for item in value]
    if dtype.name == "float32":
        return _single(value)
    return float(value) if dtype.name == "float64" else value


def _is_tame(value: Any) -> bool:
    if type(value) is float:
        return bool(-_TAME <= value <= _TAME)
    if type(value) is list:
        return all(_is_tame(item) for item in value)
    if type(value) is dict:
        return all(_is_tame(item) for item in value.values())
    return True
