"""Text of a plan: stages, sides, shared subexpressions, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.features.nodes import Call, Column, Constant, Node, show

if TYPE_CHECKING:
    from saima.features.plan import Plan


def explain(plan: Plan) -> str:
    """Readable account of a plan: what it reads, the selects in order, where each feature comes from."""
    lines = [f"plan {plan.hash[:12]}: {len(plan.features)} features, {len(plan.input_schema())} inputs", "", "reads"]
    lines += [f"  request   {name}: {dtype}" for name, dtype in plan.request_fields.items()]
    for table in plan.tables.values():
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in table.columns.items())
        lines.append(
            f"  table     {table.name} [{table.side}, {table.table.query}] by {', '.join(table.keys)}: {columns}"
        )
    for aggregate in plan.aggregates.values():
        measures = ", ".join(f"{measure}_{window}" for measure, window in aggregate.measures)
        lines.append(f"  windows   {aggregate.name} [{aggregate.side}] by {', '.join(aggregate.keys)}: {measures}")
    texts = {node.key: name for name, node in plan.shared.items()}
    defaults = {feature.name: feature.default for feature in plan.computed}
    for number, stage in enumerate(plan.stages):
        lines += ["", f"stage {number} [{stage.side}]: {len(stage.names)} columns in one select"]
        for name, node in zip(stage.names, stage.nodes, strict=True):
            kind = "shared" if name in plan.shared else str(plan.features[name])
            inner = {key: column for key, column in texts.items() if column != name}
            default = "" if defaults.get(name) is None else f", default {defaults[name]!r}"
            lines.append(f"  {name} = {_text(node, inner)}  ({kind}{default})")
    lines += ["", "lineage"]
    lines += [f"  {name} <- {', '.join(columns) or 'constants'}" for name, columns in plan.lineage.items()]
    return "\n".join(lines)


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
