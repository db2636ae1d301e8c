"""All keys of the rules that share a key: the loop over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from saima.streams.matching.closures import Facts
from saima.streams.matching.keyed import Keyed, deadline, follow
from saima.streams.matching.matches import Match, make_match
from saima.streams.matching.ordered import Ordered
from saima.streams.matching.rules import Compiled, Starts
from saima.streams.matching.runs import FOREVER, Record, Run
from saima.streams.matching.tables import CHOOSE, DIE, FINISH, FORK, MOVE, Moves, StateTable
from saima.streams.matching.timers import Timers

Found = list[tuple[int, Match]]
"""Matches, each with the row that caused it."""


class Rows:
    """Events as columns. facts: the fields of a row by name, made when a condition asks for them."""

    __slots__ = ("facts", "ids", "seqs", "times", "types")

    def __init__(
        self,
        types: Sequence[str],
        times: Sequence[int],
        ids: Sequence[str],
        seqs: Sequence[int],
        facts: Callable[[int], Facts],
    ) -> None:
        self.types = types
        self.times = times
        self.ids = ids
        self.seqs = seqs
        self.facts = facts


class Partition:
    """Partial matches by key. `fields` are those that make the key, none for the event's own."""

    def __init__(
        self, fields: tuple[str, ...], starts: Starts, timers: Timers, counters: Counter[tuple[str, str]]
    ) -> None:
        self.fields = fields
        self.timers = timers
        self.counters = counters
        self.keys: dict[str, Keyed] = {}
        self.dirty: dict[str, None] = {}
        self.overdue: dict[str, None] = {}
        self.draining: list[Compiled] = []
        self._peak = 0
        self.adopt(starts)

    def adopt(self, starts: Starts) -> None:
        """Begin by these rules from now on."""
        self.starts = starts
        rules = [*starts.rules, *self.draining]
        self.kept = frozenset[str]().union(*(compiled.kept for compiled in rules))
        self.reads = self.kept.union(*(compiled.read for compiled in rules))
        self.tables = [table for compiled in rules for table in compiled.tables]

    def consume(self, order: Iterable[tuple[int, int]], names: Sequence[str], rows: Rows, found: Found) -> None:
        """Process rows: (row, place of its key in `names`), in order; matches go to `found`."""
        keys, dirty, timers = self.keys, self.dirty, self.timers
        by_type, otherwise = self.starts.by_type, self.starts.other
        ordered, ordered_otherwise = self.starts.ordered, self.starts.ordered_other
        kept_fields = self.kept
        types, times, ids, seqs = rows.types, rows.times, rows.ids, rows.seqs
        held = [keys.get(name) for name in names]
        for row, slot in order:
            event_type = types[row]
            keyed = held[slot]
            begun = by_type.get(event_type, otherwise)
            pruning = ordered.get(event_type, ordered_otherwise)
            if keyed is None:
                if not begun and not pruning:
                    continue
                keyed = Keyed(names[slot], self.starts.limit)
            time = times[row]
            facts: Facts | None = None
            record: Record | None = None
            waiting = keyed.waiting
            touched = waiting.pop(event_type, None)
            if keyed.every:
                touched = keyed.every + touched if touched else keyed.every
                keyed.every = []
            if touched or begun:
                if kept_fields:
                    facts = rows.facts(row)
                    record = make_record(keyed, ids[row], time, seqs[row], facts, kept_fields)
                else:
                    keyed.serial += 1
                    record = (ids[row], time, seqs[row], keyed.serial, None)
            if touched:
                stay: list[Run] = []
                for run in touched:
                    state = run.state
                    if state is None:
                        continue
                    if run.deadline <= time:
                        stay.append(run)  # time ends it, in `advance`
                        continue
                    moves = state.moves.get(event_type, state.other)
                    shape = moves.shape
                    if shape == CHOOSE:
                        if facts is None:
                            facts = rows.facts(row)
                        if not moves.guard(facts, run.cell):  # type: ignore[misc]
                            stay.append(run)
                            continue
                        shape = FINISH if moves.ends else MOVE
                    if shape == MOVE:
                        self._move(keyed, run, state, moves, record)  # type: ignore[arg-type]
                    elif shape == FINISH:
                        cell = (run.cell, moves.step, record, 1)
                        found.append((row, make_match(state.rule, keyed.key, "match", time, cell)))  # type: ignore[arg-type]
                        keyed.end(run)
                    elif shape == DIE:
                        keyed.end(run)
                    elif shape == FORK:
                        cell = (run.cell, moves.step, record, 1)
                        if moves.ends:
                            found.append((row, make_match(state.rule, keyed.key, "match", time, cell)))  # type: ignore[arg-type]
                        else:
                            self._branch(keyed, moves.target, cell, run.start)  # type: ignore[arg-type]
                        stay.append(run)
                    else:
                        if facts is None:
                            facts = rows.facts(row)
                        if self._general(keyed, run, moves, record, facts, row, time, found):  # type: ignore[arg-type]
                            stay.append(run)
                if stay:
                    self._wait_on(keyed, event_type, stay)
                dirty[keyed.key] = None
            for compiled, moves in begun:
                if moves.guard is not None:
                    if facts is None:
                        facts = rows.facts(row)
                    if not moves.guard(facts, None):
                        continue
                if keyed.live >= keyed.recheck and not self._room(keyed, compiled):
                    continue
                shape = moves.shape
                if shape == MOVE or (shape == CHOOSE and not moves.ends):
                    target = moves.target
                    end = deadline(target, time, time)  # type: ignore[arg-type]
                    keyed.serial += 1
                    keyed.live += 1
                    run = Run(target, (None, moves.step, record, 1), record, end, keyed.serial, keyed)  # type: ignore[arg-type]
                    keyed.register(run, target)  # type: ignore[arg-type]
                    if end < FOREVER:
                        timers.add(run)
                    dirty[keyed.key] = None
                elif shape in (FINISH, CHOOSE):
                    cell = (None, moves.step, record, 1)
                    found.append((row, make_match(compiled, keyed.key, "match", time, cell)))  # type: ignore[arg-type]
                else:
                    if facts is None:
                        facts = rows.facts(row)
                    self._begin(keyed, compiled, moves, record, facts, row, time, found)  # type: ignore[arg-type]
            if pruning or keyed.ordered:
                self._ordered(keyed, pruning, rows, row, found)
            if held[slot] is None:
                if keyed.live or keyed.ordered:
                    held[slot] = keys[keyed.key] = keyed
            elif not keyed.live and not keyed.ordered:
                held[slot] = None
                self.forget(keyed)

    def _move(self, keyed: Keyed, run: Run, state: StateTable, moves: Moves, record: Record) -> None:
        target = moves.target
        assert target is not None
        cell = (run.cell, moves.step, record, 1)
        if state.awaits is None or len(state.awaits) == 1:
            keyed.serial += 1
            run.serial = keyed.serial
            run.state, run.cell = target, cell
            keyed.register(run, target)
            if target.expires or state.expires:
                run.deadline = deadline(target, run.start[1], record[1])
                if run.deadline < FOREVER:
                    self.timers.add(run)
        else:
            start = run.start
            keyed.end(run)
            self._branch(keyed, target, cell, start)

    def _branch(self, keyed: Keyed, target: StateTable, cell: Any, start: Record) -> Run:
        keyed.serial += 1
        keyed.live += 1
        run = Run(target, cell, start, deadline(target, start[1], cell[2][1]), keyed.serial, keyed)
        keyed.register(run, target)
        if run.deadline < FOREVER:
            self.timers.add(run)
        return run

    def _general(
        self, keyed: Keyed, run: Run, moves: Moves, record: Record, facts: Facts, row: int, time: int, found: Found
    ) -> bool:
        """Follow a run's transitions; whether it stays as it is."""
        state, cell, start = run.state, run.cell, run.start
        assert state is not None
        compiled: Compiled = state.rule
        going, ended, too_long = follow(moves, cell, record, facts, compiled.rule.limits.loop)
        if too_long:
            self.counters[compiled.rule.id, "long_loops"] += too_long
        for one in ended:
            found.append((row, make_match(compiled, keyed.key, "match", time, one)))
        stays = False
        for target, after in going:
            if target is state and after is cell and not stays:
                stays = True
            elif keyed.live < keyed.recheck or self._room(keyed, compiled):
                self._branch(keyed, target, after, start)
        if not stays and run.state is not None:
            keyed.end(run)
        return stays and run.state is not None

    def _begin(
        self,
        keyed: Keyed,
        compiled: Compiled,
        moves: Moves,
        record: Record,
        facts: Facts,
        row: int,
        time: int,
        found: Found,
    ) -> None:
        going, ended, _ = follow(moves, None, record, facts, compiled.rule.limits.loop)
        for one in ended:
            found.append((row, make_match(compiled, keyed.key, "match", time, one)))
        for target, after in going:
            if after is not None and (keyed.live < keyed.recheck or self._room(keyed, compiled)):
                self._branch(keyed, target, after, record)
                self.dirty[keyed.key] = None

    def _wait_on(self, keyed: Keyed, event_type: str, stay: list[Run]) -> None:
        """Put runs that stay back before those that came since."""
        typed = [run for run in stay if run.state is not None and run.state.awaits is not None]
        every = [run for run in stay if run.state is not None and run.state.awaits is None]
        if typed:
            keyed.waiting[event_type] = typed + keyed.waiting.get(event_type, [])
        if every:
            keyed.every = every + keyed.every

    def _ordered(self, keyed: Keyed, begun: list[Compiled], rows: Rows, row: int, found: Found) -> None:
        """Rules whose matches prune others: those with partial matches, then those that the event may begin."""
        event_type, time = rows.types[row], rows.times[row]
        facts: Facts | None = None
        record: Record | None = None

        def get_facts() -> Facts:
            nonlocal facts
            if facts is None:
                facts = rows.facts(row)
            return facts

        def get_record() -> Record:
            nonlocal record
            if record is None:
                kept = self.kept
                record = make_record(keyed, rows.ids[row], time, rows.seqs[row], get_facts() if kept else {}, kept)
            return record

        for compiled in [*keyed.ordered, *(one for one in begun if one not in keyed.ordered)]:
            queue = keyed.ordered.get(compiled) or Ordered(compiled, keyed, self.timers)
            before = keyed.serial
            matches, dropped = queue.process(event_type, time, get_record, get_facts)
            if dropped:
                self.counters[compiled.rule.id, "dropped"] += dropped
            found += [(row, match) for match in matches]
            if queue.due:
                self.overdue[keyed.key] = None
            if queue.idle:
                keyed.ordered.pop(compiled, None)
            else:
                keyed.ordered[compiled] = queue
            if matches or keyed.serial != before or queue.due:
                self.dirty[keyed.key] = None

    def _room(self, keyed: Keyed, compiled: Compiled) -> bool:
        """Whether a rule may have one more partial match of a key; the oldest gives way if the rule says so."""
        runs = keyed.runs()
        counts = Counter(run.state.rule for run in runs if run.state is not None)
        limits = compiled.rule.limits
        keyed.recheck = keyed.live + max(1, min(one.rule.limits.runs - counts[one] for one in (*counts, compiled)))
        if counts[compiled] < limits.runs:
            return True
        self.counters[compiled.rule.id, "dropped"] += 1
        keyed.recheck = keyed.live
        if limits.exceeded == "drop_newest":
            return False
        oldest = min(
            (run for run in runs if run.state and run.state.rule is compiled),
            key=lambda run: (run.start[3], run.serial),
        )
        keyed.end(oldest)
        keyed.compact()
        return True

    def forget(self, keyed: Keyed) -> None:
        """Let go of a key without partial matches."""
        self._peak = max(self._peak, len(self.keys))
        self.keys.pop(keyed.key, None)
        self.dirty[keyed.key] = None
        keyed.clear()

    def shrink(self) -> None:
        """Give back the memory of keys that are gone."""
        if self._peak > 1024 and len(self.keys) * 4 < self._peak:
            self.keys = dict(self.keys)
            self._peak = len(self.keys)


def make_record(keyed: Keyed, identity: str, time: int, seq: int, facts: Facts, kept: frozenset[str]) -> Record:
    """What an accepted event leaves in its partial matches."""
    keyed.serial += 1
    values = {name: facts[name] for name in sorted(kept) if facts.get(name) is not None}
    return identity, time, seq, keyed.serial, values or None
