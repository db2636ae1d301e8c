"""Partial matches of a rule whose matches prune others: all of a key together, in the order of their first events.

Source of the meaning: Apache Flink, `NFA.doProcess`, `NFA.advanceTime` and `AfterMatchSkipStrategy` (flink-cep).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.streams.matching.keyed import deadline, follow
from saima.streams.matching.matches import Kind, Match, make_match
from saima.streams.matching.priority import offer, poll, prune
from saima.streams.matching.runs import FOREVER, Cell, Record, Run, cells
from saima.streams.matching.tables import STAY, StateTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from saima.streams.matching.closures import Facts
    from saima.streams.matching.keyed import Keyed
    from saima.streams.matching.rules import Compiled
    from saima.streams.matching.timers import Timers

_BEGINNING: Record = ("", 0, 0, FOREVER, None)


class Ordered:
    """partial: runs, and the start state that always waits. completed: matches that earlier partial matches hold back.

    due: outputs that time has caused and `advance` has not yet given out.
    """

    __slots__ = ("compiled", "completed", "due", "home", "partial", "timers")

    def __init__(self, compiled: Compiled, home: Keyed, timers: Timers, begins: bool = True) -> None:
        self.compiled = compiled
        self.home = home
        self.timers = timers
        self.partial: list[Run] = []
        self.completed: list[Run] = []
        self.due: list[tuple[int, Match]] = []
        if begins:
            self.partial.append(Run(compiled.start, None, _BEGINNING, FOREVER, 0, home))

    @property
    def idle(self) -> bool:
        """Whether nothing but the start is left."""
        return not self.completed and not self.due and all(run.cell is None for run in self.partial)

    def process(
        self, event_type: str, time: int, record: Callable[[], Record], facts: Callable[[], Facts]
    ) -> tuple[list[tuple[int, Cell]], int]:
        """Times and newest cells of the matches that an event causes, and how many partial matches the limits ended."""
        self.expire(time)
        touched = [run.state.moves.get(event_type, run.state.other) for run in self.partial if run.state]
        if all(moves.shape == STAY for moves in touched):
            return [], 0
        limits, dropped = self.compiled.rule.limits, 0
        partial: list[Run] = []
        potential: list[Run] = []
        for run, moves in zip(list(self.partial), touched, strict=True):
            if moves.shape == STAY:
                offer(partial, run)
                continue
            going, ended, too_long = follow(moves, run.cell, record(), facts(), limits.loop)
            dropped += too_long
            first = run.start if run.cell is not None else record()
            for cell in ended:
                offer(potential, self._completed(cell, first, time))
            stays = False
            for table, after in going:
                if table is run.state and after is run.cell:
                    stays = True
                    offer(partial, run)
                else:
                    made = self._run(table, after, first)
                    offer(partial, made)
                    if made.deadline < FOREVER:
                        self.timers.add(made)
            if run.cell is None:
                offer(partial, run)
            elif not stays:
                self._over(run)
        self.partial = partial
        dropped += self._bounded(limits.runs, limits.exceeded == "drop_newest")
        return self._complete(potential), dropped

    def expire(self, time: int) -> None:
        """End what is due by a time, in order of deadlines; outputs wait in `due`."""
        while self.partial:
            first = min(run.deadline for run in self.partial)
            if first > time or first >= FOREVER:
                return
            gone = [run for run in self.partial if run.deadline <= first]
            left: list[Run] = []
            for run in self.partial:
                if run.deadline > first:
                    offer(left, run)
            potential: list[Run] = []
            for run in gone:
                assert run.cell is not None
                if run.state is not None and run.state.pending:
                    offer(potential, self._completed(run.cell, run.start, first))
                elif self.compiled.rule.emit.timeouts:
                    self._owe(first, "timeout", first, run.cell)
                self._over(run)
            self.partial = left
            for end, cell in self._complete(potential):
                self._owe(first, "match", end, cell)

    def _run(self, table: StateTable, cell: Cell | None, first: Record) -> Run:
        home = self.home
        home.serial += 1
        home.live += 1
        assert cell is not None
        end = deadline(table, first[1], cell[2][1])
        return Run(table, cell, first, end, home.serial, home)

    def _completed(self, cell: Cell, first: Record, time: int) -> Run:
        """A match; its deadline is the time at which it was complete."""
        self.home.serial += 1
        self.home.live += 1
        return Run(None, cell, first, time, self.home.serial, self.home)

    def _over(self, run: Run) -> None:
        self.home.end(run)

    def _bounded(self, most: int, newest: bool) -> int:
        """Drop partial matches beyond the limit."""
        begun = [run for run in self.partial if run.cell is not None]
        excess = len(begun) - most
        if excess <= 0:
            return 0
        begun.sort(key=lambda run: (run.start[3], run.serial), reverse=newest)
        gone = {id(run) for run in begun[:excess]}
        for run in prune(self.partial, lambda run: id(run) in gone):
            self._over(run)
        return excess

    def _owe(self, due: int, kind: Kind, time: int, cell: Cell) -> None:
        self.due.append((due, make_match((0, self.compiled, self.home.key, kind, time, cell))))

    def _complete(self, potential: list[Run]) -> list[tuple[int, Cell]]:
        """Give out completed matches that no earlier partial match holds back, pruning as the rule says."""
        for run in potential:
            offer(self.completed, run)
        found = []
        while self.completed:
            first = self.completed[0].start[3]
            if self.partial and first > self.partial[0].start[3]:
                break
            match = poll(self.completed)
            assert match.cell is not None
            self._prune(match.cell)
            found.append((match.deadline, match.cell))
            self._over(match)
        return found

    def _prune(self, cell: Cell) -> None:
        bound = _bound(self.compiled, cell)
        if bound is None:
            return
        for queue in (self.partial, self.completed):
            for run in prune(queue, lambda run: run.start[3] < bound):
                self._over(run)


def _bound(compiled: Compiled, cell: Cell) -> int | None:
    """Partial matches that began before this ordinal are pruned by a match."""
    skip = compiled.rule.skip
    found = cells(cell)
    match skip.to:
        case "next":
            return found[0][2][3] + 1
        case "past_last":
            return found[-1][2][3] + 1
        case "first":
            return next((one[2][3] for one in found if one[1] == skip.step), None)
        case "last":
            return next((one[2][3] for one in reversed(found) if one[1] == skip.step), None)
    return None
