"""Units of a split as one program of the machine, and how it is run for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saima.features.nodes import Constant
from saima.features.online.item_cells import BITS, SPAN
from saima.features.online.vector import machine
from saima.features.online.vector.emission import emit
from saima.features.online.vector.registers import Registers, Unsupported, Value
from saima.features.online.vector.split import Branch, Leaf
from saima.features.types import to_frame_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from saima.features.online.vector.pairs import Pairs
    from saima.features.online.vector.split import Tree, Unit
    from saima.features.types import Type


class Home(NamedTuple):
    """Where the machine leaves a unit: a column of the matrix, or a row of the wide floats or words.

    missing: the row of the words that marks where they are missing.
    """

    kind: str
    place: int
    missing: int | None = None


class Moved(NamedTuple):
    """Columns of the matrix that are only copied; see machine.execute."""

    copies: NDArray[np.int32]
    spreads: NDArray[np.int32]
    once: NDArray[np.float32]


class Assembly:
    """The units that the machine can compute, in an order in which each comes after those that it needs.

    homes: those units. floats, wholes: kept columns that are read, by name; fresh: columns of the request.
    """

    def __init__(self, order: Sequence[Sequence[Unit]], columns: Sequence[str]) -> None:
        """columns: names of the matrix's columns."""
        self.homes: dict[str, Home] = {}
        self.floats: list[str] = []
        self.wholes: list[str] = []
        self.fresh: dict[str, Type] = {}
        self._columns = {name: place for place, name in enumerate(columns)}
        self._registers = Registers()
        self._leaves: dict[tuple[str, str], Value] = {}
        self._units: dict[str, Value] = {}
        self._rows = {True: 0, False: 0}
        self._shared: dict[bool, list[tuple[str, Value]]] = {True: [], False: []}
        self._needed = {name for level in order for unit in level for name in unit.needs}
        for unit in (unit for level in order for unit in level if unit.tree is not None):
            self._unit(unit)
        stored = self._registers.place_stores()
        self._stored, self._stores = len(stored), _table(runs(list(enumerate(stored))), 3)
        self._code = _table(self._registers.code, 5)
        self._initial = {kind: self._registers.initial(kind) for kind in (True, False)}
        self._at = {kind: np.array([one.register for _, one in found], np.intp) for kind, found in self._shared.items()}
        self._marks = np.array([one.missing for _, one in self._shared[False]], np.intp)
        self._names = {kind: [name for name, _ in found] for kind, found in self._shared.items()}
        self._fresh = {kind: [name for name, dtype in self.fresh.items() if dtype.is_float is kind] for kind in _KINDS}

    def bind(self, floats: Sequence[str], wholes: Sequence[str]) -> None:
        """Say which kept columns come first in a row, in order; to be called before `run`."""
        end = SPAN + len(floats) + len(wholes)
        loads = []
        for kind, register, name, part in self._registers.loads:
            match kind:
                case machine.KEPT_FLOAT:
                    loads.append((kind, register, SPAN + floats.index(name), 0))
                case machine.KEPT_WORD:
                    loads.append((kind, register, SPAN + len(floats) + wholes.index(name), 0))
                case machine.KEPT_MISSING:
                    word, bit = divmod(wholes.index(name), BITS)
                    loads.append((kind, register, end + word, bit))
                case machine.FRESH_FLOAT:
                    loads.append((kind, register, self._fresh[True].index(name), 0))
                case _:
                    loads.append((kind, register, 2 * self._fresh[False].index(name) + part, 0))
        self._loads = _table(loads, 4)

    def run(self, pairs: Pairs, moved: Moved) -> None:
        """Compute the units of a request and fill the matrix: kept columns, those of the request and the units'."""
        floats, words = self._initial[True].copy(), self._initial[False].copy()
        shared = pairs.shared
        if self._names[True]:
            floats[self._at[True]] = np.array([shared[name] for name in self._names[True]], np.float64)
        if self._names[False]:
            values = [shared[name] for name in self._names[False]]
            words[self._at[False]] = [0 if value is None else value for value in values]
            words[self._marks] = [value is None for value in values]
        n, rows = pairs.n, pairs.kept.rows
        pairs.homes = self.homes
        pairs.wide = np.empty((self._rows[True], n), np.float64)
        pairs.words = np.empty((self._rows[False], n), np.int64)
        machine.execute(
            self._code, self._loads, floats, words, rows.first, rows.first_floats, rows.matrix, pairs.kept.places,
            moved.copies, moved.spreads, self._stores, self._stored, moved.once, *self._columns_of(pairs),
            pairs.matrix, pairs.wide, pairs.words,
        )  # fmt: skip

    def _columns_of(self, pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if not self.fresh:
            return _NO_FLOATS, _NO_WORDS
        floats = np.empty((len(self._fresh[True]), pairs.n), np.float64)
        words = np.zeros((2 * len(self._fresh[False]), pairs.n), np.int64)
        for row, name in enumerate(self._fresh[True]):
            floats[row] = pairs.fresh.vector(name).values
        for row, name in enumerate(self._fresh[False]):
            values, missing = pairs.fresh.vector(name)
            words[2 * row] = values
            if missing is not None:
                words[2 * row + 1] = missing
        return floats, words

    def _unit(self, unit: Unit) -> None:
        registers = self._registers
        mark = registers.mark()
        try:
            assert unit.tree is not None
            found = self._defaulted(self._value(unit.tree), unit)
        except Unsupported:
            registers.back(mark)
            return
        self._store(unit, found)
        if unit.name in self._needed:
            self._units[unit.name] = found
            registers.release(found)
        else:
            registers.release()

    def _value(self, tree: Tree) -> Value:
        if isinstance(tree, Branch):
            return emit(tree.call, [self._value(arg) for arg in tree.args], self._registers)
        if isinstance(tree, Leaf):
            return self._leaf(tree)
        return self._constant(tree)

    def _constant(self, node: Constant) -> Value:
        number = self._registers.number
        if node.type.is_float:
            value = np.nan if node.value is None else float(node.value)
            return Value(number(value, True), True, known=node.value is not None)
        if node.value is None:
            return Value(number(0, False), False, number(1, False))
        return Value(number(int(node.value), False), False)

    def _leaf(self, leaf: Leaf) -> Value:
        if leaf.kind == "unit":
            if leaf.name not in self._units:
                raise Unsupported
            return self._units[leaf.name]
        key = (leaf.kind, leaf.name)
        if key not in self._leaves:
            self._leaves[key] = self._read(leaf, leaf.node.type.is_float)
        return self._leaves[key]

    def _read(self, leaf: Leaf, floating: bool) -> Value:
        registers, name = self._registers, leaf.name
        match leaf.kind:
            case "cached":
                (self.floats if floating else self.wholes).append(name)
                if floating:
                    return Value(registers.load(machine.KEPT_FLOAT, name), True)
                return Value(registers.load(machine.KEPT_WORD, name), False, registers.load(machine.KEPT_MISSING, name))
            case "fresh":
                self.fresh[name] = leaf.node.type
                if floating:
                    return Value(registers.load(machine.FRESH_FLOAT, name), True)
                return Value(
                    registers.load(machine.FRESH_WORD, name), False, registers.load(machine.FRESH_WORD, name, 1)
                )
        found = Value(registers.place(floating), floating, None if floating else registers.place(False))
        self._shared[floating].append((name, found))
        return found

    def _defaulted(self, found: Value, unit: Unit) -> Value:
        computed, registers = unit.computed, self._registers
        default = None if computed is None else to_frame_value(computed.default, computed.dtype)
        if default is None:
            return found
        if found.floating:
            value = float(np.float32(default)) if unit.dtype.name == "float32" else float(default)
            return Value(registers.emit(machine.PRESENT, found.register, registers.number(value, True)), True)
        if found.missing is None:
            return found
        given = registers.number(int(default), False)
        register = registers.emit(machine.WORD_CHOOSE, found.missing, given, found.register, floating=False)
        return Value(register, False)

    def _store(self, unit: Unit, found: Value) -> None:
        write, column = self._registers.write, self._columns.get(unit.name)
        if column is not None:
            if found.floating and unit.dtype.name == "float32" and unit.name not in self._needed:
                self._registers.finish(column, found.register)
            elif found.floating:
                write(machine.STORE, column, found.register)
            elif found.missing is None:
                write(machine.STORE_WORD, column, found.register)
            else:
                write(machine.STORE_SOME, column, found.register, found.missing)
            if unit.dtype.name == "float32":
                self.homes[unit.name] = Home("matrix", column)
                return
        if found.floating:
            self.homes[unit.name] = Home("float", self._wide(True, found.register))
        else:
            gone = None if found.missing is None else self._wide(False, found.missing)
            self.homes[unit.name] = Home("word", self._wide(False, found.register), gone)

    def _wide(self, floating: bool, register: int) -> int:
        row = self._rows[floating]
        self._rows[floating] += 1
        self._registers.write(machine.KEEP if floating else machine.KEEP_WORD, row, register)
        return row


_KINDS = (True, False)
_NO_FLOATS = np.empty((0, 0), np.float64)
_NO_WORDS = np.empty((0, 0), np.int64)


def runs(found: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Pairs (from, to) as runs (from, to, width) in which both go up by one."""
    made: list[tuple[int, int, int]] = []
    for source, to in found:
        if made and (made[-1][0] + made[-1][2], made[-1][1] + made[-1][2]) == (source, to):
            made[-1] = (*made[-1][:2], made[-1][2] + 1)
        else:
            made.append((source, to, 1))
    return made


def _table(rows: Sequence[tuple[int, ...]], width: int) -> NDArray[np.int32]:
    return np.array(rows, np.int32).reshape(-1, width)
