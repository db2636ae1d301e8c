"""Units of equal shape as one: the same kernels on blocks [k, n], a row a unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.split import Branch, Leaf
from saima.features.online.vector.values import Step, Vector, dtype_of, literal, step
from saima.features.types import to_frame_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.online.vector.split import Tree, Unit

SAFE_BITS = {"float64": 1000.0, "float32": 126.0}

Load = Callable[[list[Leaf]], Callable[[Any], Vector]]
"""From the leaves of one place, one a unit, to what reads them from a request's values as [k, n] or [k, 1]."""


def shape(tree: Tree) -> str:
    """Text that is equal for trees that differ in their leaves' names alone."""
    if isinstance(tree, Leaf):
        return f"{tree.kind}:{tree.node.type}"
    if isinstance(tree, Constant):
        return tree.key
    call = tree.call
    bits = ",".join(f"{arg.bits:.2f}" for arg in call.args)
    inner = ",".join(shape(arg) for arg in tree.args)
    constants = ",".join(f"{name}={call.constants[name]!r}" for name in sorted(call.constants))
    return f"{call.operator.name}:{call.type}:{_safe(call)}:{bits}({inner};{constants})"


def _safe(call: Call) -> bool:
    return not call.type.is_float or call.bits <= SAFE_BITS[call.type.name]


@dataclass(frozen=True)
class Defaults:
    """Defaults of a block's features: values [k, 1] of the block's dtype, and which of them there are [k, 1]."""

    values: NDArray[Any]
    given: NDArray[np.bool_]


class Block:
    """Units of one shape, in the order given; leaves that differ are stacked.

    deferred: every input is tame and whoever asked makes the result float32 and what is not finite missing; then
    checks wait until the end wherever what is not finite stays so. It needs units of float32 (see `may_defer`).
    """

    def __init__(self, units: list[Unit], load: Load, *, tame: bool, deferred: bool) -> None:
        self.units = units
        self.deferred = deferred
        self.dtype = units[0].node.type
        self._tame = tame
        self._constants: list[tuple[int, Vector]] = []
        self._loads: list[tuple[int, Callable[[Any], Vector]]] = []
        self._steps: list[tuple[Step, tuple[int, ...], int]] = []
        self._registers = 0
        trees = [unit.tree for unit in units if unit.tree is not None]
        if deferred and all(isinstance(tree, Branch) and _narrows(tree.call) for tree in trees):
            trees = [tree.args[0] for tree in trees if isinstance(tree, Branch)]
        self._result = self._compile(trees, load, deferred)
        self._defaults = _defaults(units)

    def _compile(self, trees: list[Tree], load: Load, deferred: bool) -> int:
        first = trees[0]
        if isinstance(first, Branch):
            call = first.call
            columns = zip(*(tree.args for tree in trees if isinstance(tree, Branch)), strict=True)
            below = deferred and call.operator.propagates and call.type.is_float
            args = tuple(self._compile(list(column), load, below) for column in columns)
            at = self._new()
            finite = call.operator.finite and call.type.is_float
            self._steps.append(
                (step(call, check=finite and not deferred and not (self._tame and _safe(call))), args, at)
            )
            return at
        at = self._new()
        if isinstance(first, Leaf):
            self._loads.append((at, load([tree for tree in trees if isinstance(tree, Leaf)])))
        else:
            self._constants.append((at, literal(first)))
        return at

    def _new(self) -> int:
        self._registers += 1
        return self._registers - 1

    def run(self, values: Any, n: int) -> Vector:
        """Values of the units [k, n], with their defaults; if deferred, float64 without them."""
        registers: list[Any] = [None] * self._registers
        for at, constant in self._constants:
            registers[at] = constant
        for at, load in self._loads:
            registers[at] = load(values)
        for run, args, at in self._steps:
            registers[at] = run([registers[arg] for arg in args])
        found: Vector = registers[self._result]
        return found if self.deferred else self._defaulted(found, (len(self.units), n))

    def _defaulted(self, found: Vector, size: tuple[int, int]) -> Vector:
        values, missing = found
        wanted = dtype_of(self.dtype)
        if values.dtype != wanted:
            values = values.astype(wanted)
        if values.shape != size:
            values = np.broadcast_to(values, size)
        if missing is not None and missing.shape != size:
            missing = np.broadcast_to(missing, size)
        defaults = self._defaults
        if defaults is None:
            return Vector(values, missing)
        if values.dtype.kind == "f":
            return Vector(np.where(np.isnan(values), defaults.values, values))
        if missing is None:
            return Vector(values)
        return Vector(np.where(missing, defaults.values, values), missing & ~defaults.given)


def may_defer(unit: Unit) -> bool:
    """Whether a unit is a float32 feature that a float64 computation ends in."""
    tree = unit.tree
    return unit.dtype.name == "float32" and isinstance(tree, Branch) and _narrows(tree.call)


def _narrows(call: Call) -> bool:
    return call.operator.name in ("cast", "as") and call.type.name == "float32" and call.args[0].type.name == "float64"


def _defaults(units: list[Unit]) -> Defaults | None:
    found = [
        None if unit.computed is None else to_frame_value(unit.computed.default, unit.computed.dtype) for unit in units
    ]
    if all(default is None for default in found):
        return None
    dtype = dtype_of(units[0].node.type)
    empty: Any = np.nan if units[0].node.type.is_float else 0
    values = np.array([[empty if default is None else default] for default in found], dtype)
    return Defaults(values, np.array([[default is not None] for default in found]))
