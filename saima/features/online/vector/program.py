"""What is computed for each pair of request and item: by the machine, by blocks of kernels, by one select."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.features.lowering import lower
from saima.features.online.buffers import Buffers
from saima.features.online.vector.assembly import Assembly, Moved
from saima.features.online.vector.block import Block, Load, may_defer, shape
from saima.features.online.vector.pairs import Pairs
from saima.features.online.vector.split import levels
from saima.features.online.vector.values import Compute, Vector, dtype_of
from saima.features.plan import with_default
from saima.features.types import series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.online.vector.split import Leaf, Split, Unit
    from saima.features.types import Type


class Program:
    """The units of a split, compiled: those of the machine, then level after level what it lacks.

    floats, wholes: kept columns that kernels read, by name, in the order in which Kept brings them. fresh: input
    columns that kernels read. hard: units that have no kernel.
    """

    def __init__(self, split: Split, columns: Sequence[str] = ()) -> None:
        """columns: names of the columns of the model's matrix, in order."""
        order = levels(split.units)
        self._machine = Assembly(order, columns)
        self.floats, self.wholes = self._machine.floats, self._machine.wholes
        self.fresh: dict[str, Type] = {}
        done = self._machine.homes
        order = [some for level in order if (some := [unit for unit in level if unit.name not in done])]
        self._slots: dict[str, list[str]] = {"float": [], "int": [], "bool": []}
        self._parts: dict[tuple[str, ...], slice] = {}
        left = {unit.name: unit for level in order for unit in level}
        self.narrow = [name for name in columns if name in left and left[name].tree is not None]
        deferred = self._deferred(split)
        self._late = {name: place for place, name in enumerate(self.narrow) if name in deferred}
        self._tame = [_Level(units, self._load, deferred, self.narrow) for units in order]
        self._wild = [_Level(units, self._load, None, self.narrow) for units in order]
        self.hard = [unit.name for level in self._tame for unit in level.hard]
        self._picks = [(kind, _pick(names), _TYPES[kind]) for kind, names in self._slots.items() if names]
        units = [split.units[name] for name in self.narrow]
        late = np.array([[name in deferred] for name in self.narrow], np.bool_)
        self._defaults = _defaults(units, deferred)
        wholes = all(unit.name in deferred or not unit.dtype.is_float for unit in units)
        self._floats = None if wholes else late  # what is not finite among wholes is missing, and has no default
        self._buffers = Buffers()
        self._machine.bind(self.floats, self.wholes)

    def _deferred(self, split: Split) -> frozenset[str]:
        """Units whose float32 values in `narrow` are all that anybody reads of them."""
        needed = {name for unit in split.units.values() for name in unit.needs}
        return frozenset(name for name in self.narrow if name not in needed and may_defer(split.units[name]))

    def run(self, pairs: Pairs, moved: Moved, *, tame: bool) -> None:
        """Compute all units, NumPy's warnings off, and fill what the machine can of the matrix.

        tame: no input is infinite, nor a float beyond 2**100.
        """
        self._machine.run(pairs, moved)
        if not self._tame:
            return
        for kind, pick, wanted in self._picks:
            pairs.singles[kind] = _single(pick(pairs.shared), wanted)
        pairs.late = self._late if tame else {}
        pairs.narrow = self._buffers.take((len(self.narrow), pairs.n), np.float32)
        for level in self._tame if tame else self._wild:
            level.run(pairs)
        if tame and self._late:
            self._settle(pairs.narrow)

    def _settle(self, narrow: NDArray[np.float32]) -> None:
        """Give what was put off its default where it is missing, or not finite."""
        gaps = np.isfinite(narrow)
        np.logical_not(gaps, out=gaps)
        if self._floats is not None:
            gaps &= self._floats
        if np.count_nonzero(gaps):
            np.copyto(narrow, self._defaults, where=gaps)

    def _load(self, leaves: list[Leaf]) -> Compute:
        dtype = leaves[0].node.type
        names = [leaf.name for leaf in leaves]
        match leaves[0].kind:
            case "shared":
                return self._load_shared(names, dtype)
            case "cached":
                return self._load_kept(names, dtype)
            case "fresh":
                self.fresh |= dict.fromkeys(names, dtype)
                return _plain(lambda pairs: _stack([pairs.fresh.vector(name) for name in names]), dtype)
        return _plain(lambda pairs: _stack([pairs.vector(name, dtype) for name in names]), dtype)

    def _load_shared(self, names: list[str], dtype: Type) -> Compute:
        kind = "float" if dtype.is_float else "bool" if dtype.name == "bool" else "int"
        slots, key = self._slots[kind], (kind, *names)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = slice(len(slots), len(slots) + len(names))
            slots += names
        if dtype.is_float:
            return lambda pairs: pairs.singles["float"].values[part]

        def load(pairs: Pairs) -> Vector:
            values, missing = pairs.singles[kind]
            return Vector(values[part], None if missing is None else missing[part])

        return load

    def _load_kept(self, names: list[str], dtype: Type) -> Compute:
        held = self.floats if dtype.is_float else self.wholes
        held += [name for name in dict.fromkeys(names) if name not in held]
        rows = _rows([held.index(name) for name in names])
        if dtype.is_float:
            return lambda pairs: pairs.kept.floats[rows]
        wanted = dtype_of(dtype)

        def load(pairs: Pairs) -> Vector:
            missing = pairs.kept.missing
            values = pairs.kept.wholes[rows].astype(wanted, copy=False)
            return Vector(values, None if missing is None else missing[rows])

        return load


def _plain(load: Callable[[Pairs], Vector], dtype: Type) -> Compute:
    return (lambda pairs: load(pairs).values) if dtype.is_float else load


_TYPES: dict[str, Any] = {"float": np.float64, "int": np.int64, "bool": np.bool_}


class _Level:
    """Units that need nothing of each other; those of `deferred` are made float32 only (None: the inputs are wild)."""

    def __init__(
        self,
        units: list[Unit],
        load: Load,
        deferred: frozenset[str] | None,
        narrow: list[str],
    ) -> None:
        places = {name: place for place, name in enumerate(narrow)}
        late = deferred or frozenset()
        shapes: dict[str, list[Unit]] = {}
        for unit in units:
            if unit.tree is not None:
                kind = f"{unit.dtype}|{unit.name in late}|{unit.name in places}|{shape(unit.tree)}"
                shapes.setdefault(kind, []).append(unit)
        self._blocks = [
            (
                Block(members, load, tame=deferred is not None, deferred=members[0].name in late),
                _rows([places[unit.name] for unit in members]) if members[0].name in places else None,
                list(enumerate(unit.name for unit in members)),
            )
            for members in shapes.values()
        ]
        self.hard = [unit for unit in units if unit.tree is None]
        self._exprs = [_expression(unit) for unit in self.hard]
        self._leaves = list({leaf.name: leaf for unit in self.hard for leaf in unit.leaves}.values())

    def run(self, pairs: Pairs) -> None:
        for block, rows, names in self._blocks:
            if block.deferred:
                pairs.narrow[rows] = block.compute(pairs)
                continue
            values, missing = found = block.run(pairs, pairs.n)
            if rows is not None:
                pairs.narrow[rows] = values if missing is None else np.where(missing, np.float32(np.nan), values)
            for row, name in names:
                pairs.found[name] = found, row
        if self.hard:
            made = self._frame(pairs).select_seq(self._exprs)
            pairs.columns.update(zip((unit.name for unit in self.hard), made.iter_columns(), strict=True))

    def _frame(self, pairs: Pairs) -> pl.DataFrame:
        columns = [pl.Series("", np.zeros(pairs.n, np.int8))]
        once: list[pl.Expr] = []
        for leaf in self._leaves:
            match leaf.kind:
                case "shared":
                    value = series(leaf.name, [pairs.shared[leaf.name]], leaf.node.type)
                    once.append(pl.lit(value).first().alias(leaf.name))
                case "cached":
                    columns.append(pairs.kept.series(leaf.name))
                case "fresh":
                    columns.append(pairs.fresh.series(leaf.name))
                case "unit":
                    columns.append(pairs.series(leaf.name, leaf.node.type))
        return pl.DataFrame(columns).with_columns(once)


def _expression(unit: Unit) -> pl.Expr:
    expr = lower(unit.node, unit.columns)
    return (expr if unit.computed is None else with_default(expr, unit.computed)).alias(unit.name)


def _rows(places: list[int]) -> slice | NDArray[np.intp]:
    """Places as a slice where they follow one another: a slice copies nothing."""
    if places == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, np.intp)


def _pick(names: list[str]) -> Callable[[dict[str, Any]], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    only = names[0]
    return lambda shared: (shared[only],)


def _single(values: Sequence[Any], wanted: Any) -> Vector:
    """Values of the one request as [k, 1]."""
    if wanted is np.float64:
        return Vector(np.array([np.nan if value is None else value for value in values], wanted)[:, None])
    if None not in values:
        return Vector(np.array(values, wanted)[:, None])
    missing = np.array([value is None for value in values])
    return Vector(np.array([0 if value is None else value for value in values], wanted)[:, None], missing[:, None])


def _stack(vectors: list[Vector]) -> Vector:
    """Vectors [n] as [k, n]."""
    if len(vectors) == 1:
        values, missing = vectors[0]
        return Vector(values[None, :], None if missing is None else missing[None, :])
    values = np.stack([vector.values for vector in vectors])
    if all(vector.missing is None for vector in vectors):
        return Vector(values)
    nowhere = np.zeros(values.shape[1], np.bool_)
    return Vector(values, np.stack([nowhere if vector.missing is None else vector.missing for vector in vectors]))


def _defaults(units: list[Unit], deferred: frozenset[str]) -> NDArray[np.float32]:
    """Defaults of the deferred units [units, 1]; NaN of the others, and where there is none."""
    found = [unit.computed.default if unit.name in deferred and unit.computed else None for unit in units]
    plain = np.array([[np.nan if default is None else default] for default in found], np.float64)
    return plain.reshape(-1, 1).astype(np.float32)
