"""What the loop over events leaves to slower code: runs with time of their own, many types, pruning, limits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from saima.streams.matching.keyed import RECHECK, Keyed, follow, lights
from saima.streams.matching.ordered import Ordered
from saima.streams.matching.runs import first_record
from saima.streams.matching.tables import CHOOSE, DIE, FINISH, FORK, MOVE, STAY, Moves

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.streams.matching.closures import Facts
    from saima.streams.matching.matches import Raw
    from saima.streams.matching.partition import Rows
    from saima.streams.matching.rules import Compiled
    from saima.streams.matching.runs import Record, Run
    from saima.streams.matching.timers import Timers


class Heavy:
    """Runs of all keys. dirty: keys that changed; overdue: keys with outputs that `advance` has to give out."""

    kept: frozenset[str]
    least_limit: int

    def __init__(self, timers: Timers, counters: Counter[tuple[str, str]]) -> None:
        self.timers = timers
        self.counters = counters
        self.dirty: dict[str, None] = {}
        self.overdue: dict[str, None] = {}

    def room(self, keyed: Keyed, compiled: Compiled, time: int) -> bool:
        """Whether a rule may have one more partial match of a key; the oldest gives way if the rule says so."""
        keyed.drop_light(time)
        counts: Counter[Compiled] = Counter(entry[0].rule for flat in keyed.light.values() for entry in lights(flat))
        counts.update(run.state.rule for run in keyed.runs() if run.state is not None)
        total = keyed.count + keyed.live
        left = self.least_limit - max(counts.values(), default=0)
        keyed.recheck = total + max(1, min(left, max(RECHECK, total)))
        limits = compiled.rule.limits
        if counts[compiled] < limits.runs:
            return True
        self.counters[compiled.rule.id, "dropped"] += 1
        keyed.recheck = total
        if limits.exceeded == "drop_newest":
            return False
        self._drop_oldest(keyed, compiled)
        return True

    def touch(
        self,
        keyed: Keyed,
        rows: Rows,
        row: int,
        event_type: str,
        time: int,
        record: Record,
        facts: Facts | None,
        found: list[Raw],
    ) -> Facts | None:
        """Take an event to the runs that it touches; the event's facts, if they were needed."""
        touched = keyed.waiting.pop(event_type, [])
        if keyed.every:
            touched, keyed.every = keyed.every + touched, []
        stay: list[Run] = []
        for run in touched:
            state = run.state
            if state is None:
                continue
            if run.deadline <= time:
                stay.append(run)  # time ends it, in `advance`
                continue
            moves = state.moves.get(event_type, state.other)
            if moves.shape == STAY:
                stay.append(run)
                continue
            if moves.shape == DIE:
                keyed.end(run)
                continue
            if facts is None:
                facts = rows.facts(row)
            if self._follow(keyed, run, moves, record, facts, row, time, found):
                stay.append(run)
        typed = [run for run in stay if run.state is not None and run.state.awaits is not None]
        every = [run for run in stay if run.state is not None and run.state.awaits is None]
        if typed:
            keyed.waiting[event_type] = typed + keyed.waiting.get(event_type, [])
        if every:
            keyed.every = every + keyed.every
        return facts

    def begin(
        self,
        keyed: Keyed,
        compiled: Compiled,
        moves: Moves,
        rows: Rows,
        row: int,
        record: Record,
        facts: Facts | None,
        found: list[Raw],
    ) -> Facts | None:
        """Begin partial matches of a rule; the event's facts, if they were needed."""
        time = record[1]
        if facts is None and moves.shape not in (MOVE, FINISH):
            facts = rows.facts(row)
        going, ended, _ = follow(moves, None, record, facts or {}, compiled.rule.limits.loop)
        found += [(row, compiled, keyed.key, "match", time, cell) for cell in ended]
        for target, after in going:
            if after is not None and self._fits(keyed, compiled, time):
                keyed.place(target, after, record, self.timers)
        return facts

    def prune(
        self,
        keyed: Keyed,
        begun: Iterable[Compiled],
        rows: Rows,
        row: int,
        facts: Facts | None,
        found: list[Raw],
    ) -> None:
        """Rules whose matches prune others: those with partial matches, then those that the event may begin."""
        event_type, time = rows.plans[row][0], rows.times[row]
        record: Record | None = None

        def get_facts() -> Facts:
            nonlocal facts
            if facts is None:
                facts = rows.facts(row)
            return facts

        def get_record() -> Record:
            nonlocal record
            if record is None:
                values = get_facts() if self.kept else {}
                record = make_record(keyed, rows.ids[row], time, rows.seqs[row], values, self.kept)
            return record

        for compiled in [*keyed.ordered, *(one for one in begun if one not in keyed.ordered)]:
            queue = keyed.ordered.get(compiled) or Ordered(compiled, keyed, self.timers)
            matches, dropped = queue.process(event_type, time, get_record, get_facts)
            if dropped:
                self.counters[compiled.rule.id, "dropped"] += dropped
            found += [(row, compiled, keyed.key, "match", end, cell) for end, cell in matches]
            if queue.due:
                self.overdue[keyed.key] = None
            if queue.idle:
                keyed.ordered.pop(compiled, None)
            else:
                keyed.ordered[compiled] = queue

    def _drop_oldest(self, keyed: Keyed, compiled: Compiled) -> None:
        """End the partial match of a rule that began first."""
        found = [
            (first_record(cell)[3], name, i)
            for name, flat in keyed.light.items()
            for i, (moves, cell, _) in enumerate(lights(flat))
            if moves.rule is compiled
        ]
        runs = [run for run in keyed.runs() if run.state is not None and run.state.rule is compiled]
        oldest = min(runs, key=lambda run: (run.start[3], run.serial), default=None)
        first = min(found, default=None)
        if oldest is not None and (first is None or oldest.start[3] < first[0]):
            keyed.end(oldest)
            keyed.compact()
        elif first is not None:
            del keyed.light[first[1]][3 * first[2] : 3 * first[2] + 3]
            if not keyed.light[first[1]]:
                del keyed.light[first[1]]
            keyed.count -= 1

    def _follow(
        self,
        keyed: Keyed,
        run: Run,
        moves: Moves,
        record: Record,
        facts: Facts,
        row: int,
        time: int,
        found: list[Raw],
    ) -> bool:
        """Follow a run's transitions; whether it stays as it is."""
        if moves.shape == CHOOSE and moves.guard is not None and not moves.guard(facts, run.cell):
            return True
        state, cell, start = run.state, run.cell, run.start
        assert state is not None
        compiled: Compiled = state.rule
        going, ended, too_long = follow(moves, cell, record, facts, compiled.rule.limits.loop)
        if too_long:
            self.counters[compiled.rule.id, "long_loops"] += too_long
        found += [(row, compiled, keyed.key, "match", time, one) for one in ended]
        stays = moves.shape == FORK
        forks = 0
        for target, after in going:
            if target is state and after is cell and not forks:
                stays, forks = True, 1
                continue
            assert after is not None
            if len(going) == 1 or self._fits(keyed, compiled, time):
                keyed.place(target, after, start, self.timers)
        if not stays and run.state is not None:
            keyed.end(run)
        return stays and run.state is not None

    def _fits(self, keyed: Keyed, compiled: Compiled, time: int) -> bool:
        return keyed.count + keyed.live < keyed.recheck or self.room(keyed, compiled, time)


def make_record(keyed: Keyed, identity: str, time: int, seq: int, facts: Facts, kept: frozenset[str]) -> Record:
    """What an accepted event leaves in its partial matches."""
    keyed.serial += 1
    values = {name: facts[name] for name in sorted(kept) if facts.get(name) is not None}
    return identity, time, seq, keyed.serial, values or None
