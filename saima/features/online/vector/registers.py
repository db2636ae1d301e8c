"""Registers of the machine while a program is written, and the program's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saima.features.online.vector import machine

if TYPE_CHECKING:
    from numpy.typing import NDArray


_NOTHING = (-1, 0, 0, 0, 0)
_STORES = {machine.STORE, machine.STORE_NARROW, machine.STORE_WORD, machine.STORE_SOME}


class Unsupported(Exception):
    """The machine lacks an operation for the types of its arguments; NumPy's kernels have it."""


class Value(NamedTuple):
    """A register: of floats, or of words with the register that marks where they are missing (None: nowhere).

    known: a float that is never NaN.
    """

    register: int
    floating: bool
    missing: int | None = None
    known: bool = False


class Registers:
    """Registers of both sorts, and the operations so far. Temporaries are used again after `release`; others stay."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int, int]] = []
        self.loads: list[tuple[int, int, str, int]] = []
        self.counts = {True: 0, False: 0}
        self._constants: dict[tuple[bool, str], int] = {}
        self._initial: dict[bool, dict[int, float]] = {True: {}, False: {}}
        self._free: dict[bool, list[int]] = {True: [], False: []}
        self._used: list[tuple[bool, int]] = []

    def place(self, floating: bool) -> int:
        """A register that stays."""
        self.counts[floating] += 1
        return self.counts[floating] - 1

    def number(self, value: float, floating: bool) -> int:
        """Register of a constant."""
        key = (floating, repr(value))
        if key not in self._constants:
            register = self._constants[key] = self.place(floating)
            self._initial[floating][register] = value
        return self._constants[key]

    def initial(self, floating: bool) -> NDArray[Any]:
        """Values of all registers before the first operation: constants, and 0."""
        made = np.zeros(self.counts[floating], np.float64 if floating else np.int64)
        for register, value in self._initial[floating].items():
            made[register] = value
        return made

    def load(self, kind: int, name: str, part: int = 0) -> int:
        """Register of a column that is loaded for each row, or of a part of it."""
        register = self.place(kind in (machine.KEPT_FLOAT, machine.FRESH_FLOAT))
        self.loads.append((kind, register, name, part))
        return register

    def emit(self, op: int, a: int = 0, b: int = 0, c: int = 0, *, floating: bool = True) -> int:
        """Write an operation; the register of its result, a temporary. FINITE joins the operation that it follows."""
        own = (True, a) in self._used and self.code and self.code[-1][1] == a
        if op == machine.FINITE and own and self.code[-1][0] in machine.ARITHMETIC:
            self.code[-1] = (*self.code[-1][:4], 1)
            return a
        free = self._free[floating]
        register = free.pop() if free else self.place(floating)
        self._used.append((floating, register))
        self.code.append((op, register, a, b, c))
        return register

    def write(self, op: int, out: int, a: int, b: int = 0) -> None:
        """Write an operation that stores."""
        self.code.append((op, out, a, b, 0))

    def finish(self, column: int, a: int) -> None:
        """Write a float that nobody else reads into a column of the matrix."""
        narrow, present = self.code[-2:] if len(self.code) > 1 else [_NOTHING, _NOTHING]
        if (narrow[0], present[:3]) == (machine.NARROW, (machine.PRESENT, a, narrow[1])):
            self.code[-2:] = [(machine.STORE_NARROW, column, narrow[2], present[3], 0)]
        else:
            self.write(machine.STORE, column, a)

    def place_stores(self) -> list[int]:
        """Columns that are stored, in order; from now on operations name a column by its place among them."""
        columns = sorted(row[1] for row in self.code if row[0] in _STORES)
        places = {column: place for place, column in enumerate(columns)}
        self.code = [(row[0], places[row[1]], *row[2:]) if row[0] in _STORES else row for row in self.code]
        return columns

    def mark(self) -> tuple[int, int]:
        """Where the program stands, for `back`."""
        return len(self.code), len(self._used)

    def back(self, mark: tuple[int, int]) -> None:
        """Forget the operations since a mark."""
        del self.code[mark[0] :]
        self.release()

    def release(self, *keep: Value) -> None:
        """Use temporaries again, but for those of some values."""
        held = {(value.floating, value.register) for value in keep}
        held |= {(False, value.missing) for value in keep if value.missing is not None}
        for floating, register in self._used:
            if (floating, register) not in held:
                self._free[floating].append(register)
        self._used = []
