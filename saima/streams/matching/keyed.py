"""The partial matches of one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.streams.matching.runs import FOREVER, Run
from saima.streams.matching.tables import END, IGNORE, PASS_END, STOP, TAKE, Moves, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saima.streams.matching.closures import Facts
    from saima.streams.matching.ordered import Ordered
    from saima.streams.matching.runs import Cell, Record
    from saima.streams.matching.timers import Timers

Light = tuple[Moves, Any, int]
"""A partial match in a light state: what the awaited event does, newest cell, deadline."""

_NOTHING = ("\0",)
"""What a run waits for that only time can end."""

_DEAD = 32
"""Runs that are over may stay in the lists of a key up to this number, or twice that of the live ones."""

RECHECK = 64
"""Partial matches of a key beyond which those that are over are looked for, and the limits minded."""


class Keyed:
    """Partial matches of one key, by the event types that touch them.

    light: event type -> partial matches that await it alone, one after the other in a flat list, see `lights`: they are
    most of what a matcher holds, and a tuple each would be one more miss of the cache. waiting: event type -> runs.
    every: runs that the next event touches, whatever its type. ordered: of the rules whose matches prune others.
    serial: number of the newest run or record. count: light ones; live: runs. until: after this time no light one is
    left. recheck: number of light ones and runs from which on the limits are looked at again.
    """

    __slots__ = (
        "count", "dead", "every", "key", "light", "live", "ordered", "recheck", "serial", "timed", "until", "waiting",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key = key
        self.light: dict[str, list[Any]] = {}
        self.waiting: dict[str, list[Run]] = {}
        self.every: list[Run] = []
        self.ordered: dict[Any, Ordered] = {}
        self.serial = 0
        self.count = 0
        self.live = 0
        self.dead = 0
        self.until = 0
        self.timed = False
        self.recheck = 0

    @property
    def idle(self) -> bool:
        """Whether no partial match is left."""
        return not (self.light or self.live or self.ordered)

    def place(self, table: StateTable, cell: Cell, start: Record, timers: Timers) -> None:
        """Let a partial match wait in a state."""
        end = deadline(table, start[1], cell[2][1])
        if table.light:
            assert table.awaits is not None
            self.light.setdefault(table.awaits[0], []).extend((table.awaited(), cell, end))
            self.count += 1
            self.until = max(self.until, end)
            return
        self.serial += 1
        self.live += 1
        run = Run(table, cell, start, end, self.serial, self)
        self.register(run, table)
        if end < FOREVER:
            timers.add(run)

    def register(self, run: Run, state: StateTable) -> None:
        """Let a run wait for what its state awaits."""
        awaits = state.awaits
        if awaits is None:
            self.every.append(run)
            return
        for name in awaits or _NOTHING:
            self.waiting.setdefault(name, []).append(run)

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

    def drop_light(self, time: int) -> None:
        """Drop light ones whose time is over."""
        for name in list(self.light):
            kept: list[Any] = []
            for entry in lights(self.light[name]):
                if entry[2] > time:
                    kept += entry
                else:
                    self.count -= 1
            if kept:
                self.light[name] = kept
            else:
                del self.light[name]

    def clear(self) -> None:
        """Let go of everything, so that no cycle of references waits for the collector."""
        self.light.clear()
        self.waiting.clear()
        self.every.clear()
        self.ordered.clear()


def lights(flat: list[Any]) -> Iterator[Light]:
    """The light partial matches of a flat list."""
    one = iter(flat)
    return zip(one, one, one, strict=True)


def deadline(table: StateTable, start: int, previous: int) -> int:
    """When a partial match in a state ends: by its rule's time from the first event, its step's from the last."""
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
