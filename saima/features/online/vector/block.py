"""Units of equal shape as one: the same kernels on blocks [k, n], a row a unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.vector.split import Branch, Leaf
from saima.features.online.vector.values import Compute, Vector, dtype_of, literal, some, step
from saima.features.types import to_frame_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call
    from saima.features.online.vector.split import Tree, Unit
    from saima.features.types import Type

SAFE_BITS = {"float64": 1000.0, "float32": 126.0}

Load = Callable[[list[Leaf]], Compute]
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
        trees = [unit.tree for unit in units if unit.tree is not None]
        if deferred and all(isinstance(tree, Branch) and _narrows(tree.call) for tree in trees):
            trees = [tree.args[0] for tree in trees if isinstance(tree, Branch)]
        self.compute = self._compile(trees, load, deferred)
        self._floating = _type(trees[0]).is_float
        self._defaults = _defaults(units)

    def _compile(self, trees: list[Tree], load: Load, deferred: bool) -> Compute:
        first = trees[0]
        if isinstance(first, Branch):
            call = first.call
            columns = zip(*(tree.args for tree in trees if isinstance(tree, Branch)), strict=True)
            below = deferred and call.operator.propagates and call.type.is_float
            args = [self._compile(list(column), load, below) for column in columns]
            finite = call.operator.finite and call.type.is_float
            return step(call, args, check=finite and not deferred and not (self._tame and _safe(call)))
        if isinstance(first, Leaf):
            return load([tree for tree in trees if isinstance(tree, Leaf)])
        known = literal(first)
        constant: Any = known.values if first.type.is_float else known
        return lambda _: constant

    def run(self, values: Any, n: int) -> Vector:
        """Values of the units [k, n], with their defaults; of a deferred block `compute` gives float64 without them."""
        found = self.compute(values)
        return self._defaulted(Vector(found) if self._floating else found, (len(self.units), n))

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
            missing = some(np.isnan(values))
            return Vector(values if missing is None else np.where(missing, defaults.values, values))
        if missing is None:
            return Vector(values)
        return Vector(np.where(missing, defaults.values, values), missing & ~defaults.given)


def _type(tree: Tree) -> Type:
    if isinstance(tree, Branch):
        return tree.call.type
    return tree.node.type if isinstance(tree, Leaf) else tree.type


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
