"""Results outside an operator's domain, counted by feature: failed casts, divisions by zero, overflows.

Serving answers null there and goes on; what it counted tells that data or declaration are not what somebody thought.
Counting is a select of its own over the inputs, away from the answer: an operator's paths stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.lowering import lower
from saima.features.nodes import Call, Column, Constant, Node, walk
from saima.features.requests import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saima.features.declaration import Request
    from saima.features.extractor import Extractor
    from saima.features.plan import Plan

CASTS = ("cast", "as", "recast")


class Faults:
    """Counts the faults of a plan's features; safe to use from several threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._exprs: list[pl.Expr] = []
        self._named = False
        for feature in plan.computed:
            parts = {node.key: fault(node) for node in walk(feature.node) if _counted(node)}
            if parts:
                self._exprs.append(pl.sum_horizontal(parts.values()).sum().alias(feature.name))
                self._named = self._named or any(isinstance(n, Column) and n.feature for n in walk(feature.node))

    @property
    def features(self) -> list[str]:
        """Features that can have faults."""
        return [expr.meta.output_name() for expr in self._exprs]

    def count(self, inputs: pl.DataFrame) -> dict[str, int]:
        """Faults by feature in a frame of the plan's inputs (as `Extraction.inputs`); features without one are absent.

        An operator that a feature uses twice on the same arguments counts once a row; one inside a list counts
        for each element.
        """
        if not self._exprs or inputs.is_empty():
            return {}
        frame = inputs
        if self._named:
            frame = inputs.hstack(self._plan.evaluate(inputs))
        found: Mapping[str, int] = frame.select(self._exprs).row(0, named=True)
        return {name: count for name, count in found.items() if count}


class RequestFaults:
    """Counts the faults of requests that an extractor answers, on a second look at them; safe to use from threads."""

    def __init__(self, extractor: Extractor, declared: Request) -> None:
        self._extractor = extractor
        self._declared = declared
        self._faults = Faults(extractor.plan)

    def count(
        self,
        request: Mapping[str, Any],
        user: Mapping[str, Any] | None,
        items: Sequence[Mapping[str, Any]] | None,
        time: int,
    ) -> tuple[int, dict[str, int]]:
        """Rows looked at, and faults by feature; casts of delimited text by input column, such as `item.tags`."""
        fields = Fields(self._declared)
        for side, values in (("request", request), ("user", user), *(("item", item) for item in items or [])):
            fields.row(side, values)
        inputs = self._extractor.inputs(request, user, items, time)
        return inputs.height, {**fields.failed, **self._faults.count(inputs)}


def _counted(node: Node) -> bool:
    return isinstance(node, Call) and node.operator.counted is not None


def fault(node: Node) -> pl.Expr:
    """How many faults a call has in each row, UInt32: its own alone, not those of its arguments."""
    if not isinstance(node, Call):
        raise TypeError(type(node))
    args = [lower(arg) for arg in node.args if not isinstance(arg, Constant)]
    present = pl.all_horizontal([arg.is_not_null() for arg in args])
    if node.operator.counted == "lengths":
        sizes = [arg.list.len() for arg in args]
        return (present & (sizes[0] != sizes[1])).cast(pl.UInt32)
    result = lower(node)
    whole = (present & result.is_null()).cast(pl.UInt32)
    if node.type.element is None:
        return whole
    if not node.mapped and node.operator.name not in CASTS:
        return _empty(node, present, result)
    source = next(arg for arg in node.args if arg.type.element is not None)
    if source.type.name == "map" and node.type.is_list:
        return whole  # its keys
    return whole + (_nulls(result, node) - _nulls(lower(source), source)).clip(lower_bound=0).cast(pl.UInt32)


def _empty(node: Call, present: pl.Expr, result: pl.Expr) -> pl.Expr:
    """A list made of something else: missing shows as [], though no list that it was made of is empty."""
    sizes = [lower(arg).list.drop_nulls().list.len() > 0 for arg in node.args if arg.type.is_list]
    return (present & pl.all_horizontal([pl.lit(True), *sizes]) & (result.list.len() == 0)).cast(pl.UInt32)


def _nulls(values: pl.Expr, node: Node) -> pl.Expr:
    """How many elements are missing."""
    if node.type.name == "map":
        values = values.list.eval(pl.element().struct.field("value"))
    missing = values.list.len().cast(pl.Int64) - values.list.drop_nulls().list.len().cast(pl.Int64)
    return missing.fill_null(0)
