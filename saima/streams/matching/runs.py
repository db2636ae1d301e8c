"""Partial matches: immutable cons cells that share their prefixes, and the run that points at the newest cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saima.streams.matching.keyed import Keyed
    from saima.streams.matching.tables import StateTable

Record = tuple[str, int, int, int, dict[str, Any] | None]
"""An accepted event: id, time, seq, its ordinal within the key, the fields that rules refer to later."""

Cell = tuple[Any, str, Record, int]
"""An accepted event on top of those before it: (cell or None, step, record, how many a loop has accepted in a row)."""

FOREVER = 1 << 62
"""Deadline of a run that no time ends."""


class Run:
    """A partial match: its state (None once it is over), newest cell, first event, deadline and number in its key."""

    __slots__ = ("cell", "deadline", "home", "serial", "start", "state")

    def __init__(
        self, state: StateTable | None, cell: Cell | None, start: Record, deadline: int, serial: int, home: Keyed | None
    ) -> None:
        self.state = state
        self.cell = cell
        self.start = start
        self.deadline = deadline
        self.serial = serial
        self.home = home


def cells(cell: Cell | None) -> list[Cell]:
    """Accepted events, oldest first."""
    found: list[Cell] = []
    while cell is not None:
        found.append(cell)
        cell = cell[0]
    found.reverse()
    return found


def first_record(cell: Cell) -> Record:
    """The first accepted event."""
    while cell[0] is not None:
        cell = cell[0]
    return cell[2]


def count_accepted(cell: Cell | None, step: str) -> int:
    """How many events a step has accepted."""
    count = 0
    while cell is not None:
        count += cell[1] == step
        cell = cell[0]
    return count


def accepted_values(cell: Cell | None, step: str, name: str) -> list[Any]:
    """A field of a step's accepted events, oldest first; missing ones are left out."""
    found: list[Any] = []
    while cell is not None:
        if cell[1] == step:
            value = (cell[2][4] or {}).get(name)
            if value is not None:
                found.append(value)
        cell = cell[0]
    found.reverse()
    return found
