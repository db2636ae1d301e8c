"""Text of a plan: what it reads, what serving keeps, selects of a batch, shared subexpressions, stages, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.features.nodes import Call, Column, Constant, Node, show
from saima.features.online.serving import Serving, serving

if TYPE_CHECKING:
    from saima.features.needs import Declared
    from saima.features.plan import Plan, Stage


def explain(algorithm: Declared) -> str:
    """Readable account of an algorithm's plan: reads, how it is served, how a batch is computed, stages, lineage."""
    plan, served = algorithm.plan, serving(algorithm)
    inputs = len(plan.input_schema())
    lines = [f"plan {plan.hash[:12]}: {len(plan.features)} features, {inputs} inputs, {len(plan.stages)} stages"]
    lines += ["", "reads", *_reads(plan), "", "served", *_served(served), "", "batch", *_batch(plan), ""]
    lines += ["shared subexpressions, each computed once", *_shared(plan)]
    for number, stage in enumerate(plan.stages):
        lines += ["", f"stage {number} [{stage.side}]: {len(stage.names)} columns"]
        lines += _stage(plan, stage, served)
    lines += ["", "lineage"]
    lines += [f"  {name} <- {', '.join(columns) or 'constants'}" for name, columns in plan.lineage.items()]
    return "\n".join(lines)


def _reads(plan: Plan) -> list[str]:
    lines = [f"  request   {name}: {dtype}" for name, dtype in plan.request_fields.items()]
    for table in plan.tables.values():
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in table.columns.items())
        declared = table.table
        cache = f", cache {declared.cache.ttl}, {declared.cache.size:,} rows" if declared.cache else ""
        lasts = f", ttl {declared.ttl}" if declared.ttl else ""
        query = f"{table.side}, {declared.query}{cache}{lasts}"
        lines.append(f"  table     {table.name} [{query}] by {', '.join(table.keys)}: {columns}")
    for aggregate in plan.aggregates.values():
        measures = ", ".join(f"{measure}_{window}" for measure, window in aggregate.measures)
        lines.append(f"  windows   {aggregate.name} [{aggregate.side}] by {', '.join(aggregate.keys)}: {measures}")
    return lines


def _served(served: Serving) -> list[str]:
    lines = [f"  once a request, on one row: {len(served.once)} features"]
    if served.kept or served.kernels or served.select:
        kernels = sum(map(len, served.kernels))
        lines += [
            f"  kept with each item, until a row, a tile or a hop that it reads changes: {len(served.kept)} features",
            f"  for each candidate, by NumPy in {len(served.kernels)} levels: {kernels} features",
            f"  for each candidate, by one Polars select: {len(served.select)} features",
        ]
    return lines


def _batch(plan: Plan) -> list[str]:
    """Selects of a frame of inputs, one a step: what is checked or referred to more than once comes first."""
    lines = []
    for frame, steps in (("any frame", plan.steps), ("without NaN, infinities, huge floats", plan.tame_steps)):
        sizes = ", ".join(str(len(exprs)) for exprs in steps.columns)
        before = f"steps of {sizes} values that are checked or used twice, then " if sizes else ""
        lines.append(f"  {frame}: {before}one select of {len(steps.final)} features")
    return lines


def _shared(plan: Plan) -> list[str]:
    if not plan.shared:
        return ["  none"]
    names = {node.key: name for name, node in plan.shared.items()}
    users = {name: [other for stage in plan.stages for other, node in zip(stage.names, stage.nodes, strict=True)
                    if other != name and _holds(node, plan.shared[name].key)] for name in plan.shared}  # fmt: skip
    return [
        f"  {name} = {_text(node, {key: other for key, other in names.items() if other != name})}"
        f"  for {', '.join(users[name])}"
        for name, node in plan.shared.items()
    ]


def _stage(plan: Plan, stage: Stage, served: Serving) -> list[str]:
    texts = {node.key: name for name, node in plan.shared.items()}
    defaults = {feature.name: feature.default for feature in plan.computed}
    lines = []
    for name, node in zip(stage.names, stage.nodes, strict=True):
        kind = "shared" if name in plan.shared else f"{plan.features[name]}, {served.home(name)}"
        inner = {key: column for key, column in texts.items() if column != name}
        default = "" if defaults.get(name) is None else f", default {defaults[name]!r}"
        lines.append(f"  {name} = {_text(node, inner)}  ({kind}{default})")
    return lines


def _holds(node: Node, key: str) -> bool:
    return node.key == key or (isinstance(node, Call) and any(_holds(arg, key) for arg in node.args))


def _text(node: Node, shared: dict[str, str]) -> str:
    """Text of a node with shared parts by name."""
    if node.key in shared:
        return shared[node.key]
    if isinstance(node, Call) and any(_uses(arg, shared) for arg in node.args):
        stand_ins = tuple(
            Column(type=arg.type, side=arg.side, key="", name=_text(arg, shared))
            if not isinstance(arg, Constant)
            else arg
            for arg in node.args
        )
        return show(
            Call(type=node.type, side=node.side, key="", operator=node.operator, args=stand_ins, names=node.names,
                 constants=node.constants, mapped=node.mapped)
        )  # fmt: skip
    return show(node)


def _uses(node: Node, shared: dict[str, str]) -> bool:
    return node.key in shared or (isinstance(node, Call) and any(_uses(arg, shared) for arg in node.args))
