"""Where each feature of a plan is computed: once a request, once an item and kept, or for each pair of the two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from saima.features.binding import convert
from saima.features.nodes import Column, Constant, Node, walk
from saima.features.online.vector.values import holds, vectorises
from saima.features.plan import Computed, make_plan
from saima.features.types import FLOAT64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.nodes import Call
    from saima.features.plan import Plan
    from saima.features.types import Type

Home = Literal["const", "shared", "cached", "crossed"]
LEAF = "__leaf_"
HARD = "__hard_"


@dataclass(frozen=True)
class Leaf:
    """A value that is there when pairs are computed: of the shared or cached part, a fresh column, or another unit."""

    kind: Literal["shared", "cached", "fresh", "unit"]
    name: str
    node: Node


@dataclass(frozen=True)
class Branch:
    """A call that has a kernel, on trees."""

    call: Call
    args: tuple[Tree, ...]


Tree = Leaf | Branch | Constant


@dataclass(frozen=True)
class Unit:
    """What is computed for each pair: a feature (`computed`), or a part that kernels cannot compute.

    tree: by kernels; None: by one Polars expression of `node`, in which `columns` stand for what is there already.
    needs: units that come before.
    """

    name: str
    node: Node
    computed: Computed | None
    tree: Tree | None
    columns: dict[str, str]
    leaves: tuple[Leaf, ...]

    @property
    def dtype(self) -> Type:
        """Type of its values."""
        return self.node.type

    @property
    def needs(self) -> tuple[str, ...]:
        """Units that come before."""
        return tuple(leaf.name for leaf in self.leaves if leaf.kind == "unit")


class Split:
    """The parts of a plan. A leaf that is no feature becomes an output `__leaf_<n>` of its part."""

    def __init__(self, plan: Plan, cached_columns: Iterable[str]) -> None:
        """cached_columns: input columns that belong to the item alone and are kept with it."""
        self._cached = frozenset(cached_columns)
        self._features = {feature.name: feature for feature in plan.computed}
        self._homes: dict[str, Home] = {}
        self._leaves: dict[str, Leaf] = {}
        self.shared: dict[str, Computed] = {}
        self.cached: dict[str, Computed] = {}
        self.units: dict[str, Unit] = {}
        for feature in plan.computed:
            home = self._home(feature.node)
            if home in ("const", "shared"):
                self.shared[feature.name] = feature
            elif home == "cached":
                self.cached[feature.name] = feature
        for feature in plan.computed:
            if self._home(feature.node) == "crossed":
                self._unit(feature)
        self.outputs = tuple(name for name in self.cached if name in plan.features)

    def _home(self, node: Node) -> Home:
        if isinstance(node, Constant):
            return "const"
        found = self._homes.get(node.key)
        if found is None:
            found = self._homes[node.key] = self._find_home(node)
        return found

    def _find_home(self, node: Node) -> Home:
        if isinstance(node, Column):
            if node.feature:
                return self._home(self._features[node.name].node)
            if node.side in ("request", "const"):
                return "shared"
            return "cached" if node.name in self._cached else "crossed"
        homes = {self._home(arg) for arg in getattr(node, "args", ())} - {"const"}
        if not homes:
            return "const"
        return homes.pop() if len(homes) == 1 else "crossed"

    def _unit(self, feature: Computed) -> None:
        tree = self._tree(feature.node) if holds(feature.dtype) else None
        if tree is None or (isinstance(tree, Leaf) and tree.name.startswith(HARD)):
            self.units[feature.name] = self._hard(feature.name, feature.node, feature)
        else:
            self.units[feature.name] = Unit(feature.name, feature.node, feature, tree, {}, tuple(_leaves(tree)))

    def _tree(self, node: Node) -> Tree:
        leaf = self._leaf(node)
        if leaf is not None:
            return leaf
        if isinstance(node, Constant):
            return node
        call: Call = node  # type: ignore[assignment]
        if vectorises(call):
            call = _widened(call)
            return Branch(call, tuple(self._tree(arg) for arg in call.args))
        name = f"{HARD}{node.key}"
        if name not in self.units:
            self.units[name] = self._hard(name, node, None)
        return Leaf("unit", name, node)

    def _leaf(self, node: Node) -> Leaf | None:
        home = self._home(node)
        if isinstance(node, Constant):
            return None
        if home == "crossed":
            if not isinstance(node, Column):
                return None
            return Leaf("unit" if node.feature else "fresh", node.name, node)
        leaf = self._leaves.get(node.key)
        if leaf is None:
            part = self.cached if home == "cached" else self.shared
            name = node.name if isinstance(node, Column) and node.feature else f"{LEAF}{len(self._leaves)}"
            leaf = self._leaves[node.key] = Leaf("cached" if home == "cached" else "shared", name, node)
            part.setdefault(name, Computed(name, node, node.type, None))
        return leaf

    def _hard(self, name: str, node: Node, feature: Computed | None) -> Unit:
        found: dict[str, Leaf] = {}

        def visit(part: Node) -> None:
            leaf = self._leaf(part)
            if leaf is not None:
                found[part.key] = leaf
            else:
                for arg in getattr(part, "args", ()):
                    visit(arg)

        visit(node)
        columns = {key: leaf.name for key, leaf in found.items() if leaf.kind != "fresh"}  # fresh ones may hold NaN
        return Unit(name, node, feature, None, columns, tuple(found.values()))


_ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!="})


def _widened(call: Call) -> Call:
    """Arithmetic with floats on float64 alone: whole arguments are cast where they are computed, often once an item."""
    mixed = call.type.is_float or any(arg.type.is_float for arg in call.args)
    if call.operator.name not in _ARITHMETIC or not mixed:
        return call
    return replace(call, args=tuple(convert(arg, FLOAT64) for arg in call.args))


def _leaves(tree: Tree) -> Iterable[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    elif isinstance(tree, Branch):
        for arg in tree.args:
            yield from _leaves(arg)


def part_plan(plan: Plan, part: dict[str, Computed], inputs: Iterable[str]) -> Plan:
    """A plan of a part's outputs over the input columns `inputs`; constant features that they name are outputs, too."""
    names = frozenset(inputs)
    whole = {feature.name: feature for feature in plan.computed}
    chosen = dict(part)
    for feature in list(chosen.values()):
        _close(feature, whole, chosen)
    return make_plan(
        features=chosen.values(),
        request_fields={name: dtype for name, dtype in plan.request_fields.items() if name in names},
        tables={n: t for n, t in plan.tables.items() if any(f"{n}.{c}" in names for c in t.columns)},
        aggregates={n: a for n, a in plan.aggregates.items() if any(c in names for c in a.columns)},
    )


def _close(feature: Computed, whole: dict[str, Computed], chosen: dict[str, Computed]) -> None:
    for node in walk(feature.node):
        if isinstance(node, Column) and node.feature and node.name not in chosen:
            chosen[node.name] = whole[node.name]
            _close(whole[node.name], whole, chosen)


def levels(units: dict[str, Unit]) -> list[list[Unit]]:
    """Units by level, each level after those that it needs."""
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max((depth(before) for before in units[name].needs), default=-1)
        return depths[name]

    made: list[list[Unit]] = [[] for _ in range(1 + max((depth(name) for name in units), default=-1))]
    for name, unit in units.items():
        made[depths[name]].append(unit)
    return made
