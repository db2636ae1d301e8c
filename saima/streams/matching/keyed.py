"""The partial matches of one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.streams.matching.runs import Run
from saima.streams.matching.tables import END, IGNORE, PASS_END, STOP, TAKE, Moves, StateTable

if TYPE_CHECKING:
    from saima.streams.matching.closures import Facts
    from saima.streams.matching.ordered import Ordered
    from saima.streams.matching.runs import Cell, Record

_DEAD = 32
"""Runs that are over may stay in the lists of a key up to this number, or twice that of the live ones."""

_NOTHING = ("\0",)
"""What a run waits for that only time can end."""


class Keyed:
    """Runs of one key, by the event types that touch them.

    waiting: event type -> runs. every: runs that the next event touches, whatever its type. ordered: of the rules whose
    matches prune others. serial: number of the newest run or record. live: runs that are not over. recheck: number of
    live runs from which on the limits are looked at again.
    """

    __slots__ = ("dead", "every", "key", "live", "ordered", "recheck", "serial", "waiting")

    def __init__(self, key: str, recheck: int) -> None:
        self.key = key
        self.waiting: dict[str, list[Run]] = {}
        self.every: list[Run] = []
        self.ordered: dict[Any, Ordered] = {}
        self.serial = 0
        self.live = 0
        self.dead = 0
        self.recheck = recheck

    def register(self, run: Run, state: StateTable) -> None:
        """Let a run wait for what its state awaits."""
        awaits = state.awaits
        if awaits is None:
            self.every.append(run)
            return
        waiting = self.waiting
        for name in awaits or _NOTHING:
            found = waiting.get(name)
            if found is None:
                waiting[name] = [run]
            else:
                found.append(run)

    def end(self, run: Run) -> None:
        """A run is over."""
        run.state = None
        run.cell = None
        run.home = None
        self.live -= 1
        self.dead += 1
        if self.dead > _DEAD and self.dead > 2 * self.live:
            self.compact()

    def runs(self) -> list[Run]:
        """Live runs of the rules that prune nothing, by serial."""
        found = {id(run): run for runs in (self.every, *self.waiting.values()) for run in runs if run.state is not None}
        return sorted(found.values(), key=lambda run: run.serial)

    def compact(self) -> None:
        """Drop runs that are over from the lists."""
        self.every = [run for run in self.every if run.state is not None]
        kept = {name: [run for run in runs if run.state is not None] for name, runs in self.waiting.items()}
        self.waiting = {name: runs for name, runs in kept.items() if runs}
        self.dead = 0

    def clear(self) -> None:
        """Let go of everything, so that no cycle of references waits for the collector."""
        self.waiting.clear()
        self.every.clear()
        self.ordered.clear()


def deadline(table: StateTable, start: int, previous: int) -> int:
    """When a run in a state ends: its rule's time from the first event, or its step's from the previous one.

    A pending state with a gap ends at the nearer of the two.
    """
    end: int = start + table.rule.within
    if table.expires and table.gap is not None:
        return min(end, previous + table.gap)
    return end


def follow(
    moves: Moves, cell: Cell | None, record: Record, facts: Facts, loop: int
) -> tuple[list[tuple[StateTable, Cell | None]], list[Cell], int]:
    """States and cells in which a run goes on, cells of its matches, and how often a loop was too long to go on."""
    going: list[tuple[StateTable, Cell | None]] = []
    ended: list[Cell] = []
    stopped, too_long = False, 0
    for transition in moves.transitions:
        if transition.guard is not None and not transition.guard(facts, cell):
            continue
        kind = transition.kind
        if kind == IGNORE:
            assert transition.target is not None
            going.append((transition.target, cell))
        elif kind == TAKE:
            assert transition.target is not None
            length = cell[3] + 1 if cell is not None and cell[1] == transition.step else 1
            if length > loop and transition.target.looping:
                too_long += 1
                continue
            taken = (cell, transition.step, record, length)
            going.append((transition.target, taken))
            if transition.ends and (transition.ends_if is None or transition.ends_if(facts, cell)):
                ended.append(taken)
        elif kind == STOP:
            stopped = True
        elif kind == END:
            ended.append((cell, transition.step, record, 1))
        elif kind == PASS_END:
            assert cell is not None
            ended.append(cell)
    return ([] if stopped else going), ended, too_long
