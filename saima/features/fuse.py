"""Fusion of models' outputs: which models a set of parameters needs, and the fused score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.expression import Scope, compile_expression, convert, interpret
from saima.features.lowering import lower
from saima.features.nodes import Call, Column, Constant, Node, call_key, column, constant, walk
from saima.features.types import FLOAT64, fits, parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.declaration import Declaration
    from saima.features.types import Type


@dataclass(frozen=True)
class FusePlan:
    """The declared fusion. Models' outputs are float64 columns `<model>.<output>`."""

    node: Node = field(repr=False)
    parameters: dict[str, Type]
    defaults: dict[str, Any]

    def models_needed(self, parameters: Mapping[str, Any] | None = None) -> list[str]:
        """Models whose output the parameters' values let through: a branch that they rule out is pruned.

        Raises SaimaError on an unknown parameter or a wrong type.
        """
        names = [node.name.split(".")[0] for node in walk(self._pruned(parameters)) if isinstance(node, Column)]
        return list(dict.fromkeys(names))

    def evaluate(self, outputs: Mapping[str, np.ndarray], parameters: Mapping[str, Any] | None = None) -> np.ndarray:
        """Fused scores, float64 [n]; NaN where missing. outputs: `<model>.<output>` -> float64 [n]."""
        node = self._pruned(parameters)
        needed = {found.name for found in walk(node) if isinstance(found, Column)}
        absent = sorted(needed - set(outputs))
        if absent:
            raise SaimaError(f"the fusion needs '{absent[0]}'; outputs are {', '.join(outputs) or 'none'}")
        if isinstance(node, Column):
            return np.asarray(outputs[node.name], dtype=np.float64)
        size = len(next(iter(outputs.values()))) if outputs else 0
        if not needed:
            value = interpret(node, {})
            return np.full(size, np.nan if value is None else value, dtype=np.float64)
        frame = pl.DataFrame({name: np.asarray(outputs[name], dtype=np.float64) for name in sorted(needed)})
        result = frame.select(lower(node).cast(pl.Float64).alias("score"))["score"]
        return result.fill_null(float("nan")).to_numpy()

    def _pruned(self, parameters: Mapping[str, Any] | None) -> Node:
        given = dict(parameters or {})
        for name, value in given.items():
            if name not in self.parameters:
                raise SaimaError(f"unknown parameter '{name}'{suggest(name, self.parameters)}")
            if not fits(value, self.parameters[name]):
                raise SaimaError(f"parameter '{name}' is {value!r}; it must be {self.parameters[name]}")
        return _fold(self.node, {f"parameters.{name}": value for name, value in {**self.defaults, **given}.items()})


def compile_fuse(declaration: Declaration) -> FusePlan:
    """Fusion of a declaration; without `fuse:` the only model's output.

    Raises ExpressionError on the text of `fuse.value`, SaimaError where several models have no fusion.
    """
    names: dict[str, Node] = {}
    for model, declared in declaration.models.items():
        for output in declared.produced:
            names[f"{model}.{output}"] = column(f"{model}.{output}", FLOAT64, "item")
    parameters = {name: parse_type(declared.dtype) for name, declared in declaration.parameters.items()}
    names |= {
        f"parameters.{name}": column(f"parameters.{name}", dtype, "request") for name, dtype in parameters.items()
    }
    defaults = {name: declared.default for name, declared in declaration.parameters.items()}
    if declaration.fuse is None:
        if len(declaration.models) != 1:
            raise SaimaError(f"{len(declaration.models)} models and no 'fuse:': say how their outputs become one score")
        return FusePlan(next(iter(names.values())), parameters, defaults)
    node = convert(compile_expression(declaration.fuse.value, Scope(names)), FLOAT64)
    return FusePlan(node, parameters, defaults)


def _fold(node: Node, values: Mapping[str, Any]) -> Node:
    """The node under the parameters' values: constants computed, conditionals with a known test cut to a branch."""
    if isinstance(node, Column):
        return constant(values[node.name], node.type) if node.name in values else node
    if not isinstance(node, Call):
        return node
    args = tuple(_fold(arg, values) for arg in node.args)
    if node.operator.name == "if" and isinstance(args[0], Constant) and args[0].value is not None:
        chosen = args[1] if args[0].value else args[2]
        return convert(chosen, node.type)
    key = call_key(node.operator.name, args, node.constants)
    call = Call(
        type=node.type, side=node.side, key=key, operator=node.operator, args=args, names=node.names,
        constants=node.constants, mapped=node.mapped,
    )  # fmt: skip
    if all(isinstance(arg, Constant) for arg in args):
        return constant(interpret(call, {}), node.type)
    return call
