"""All keys of the rules that share a key: the loop over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from saima.streams.matching.closures import Facts
from saima.streams.matching.heavy import Heavy, make_record
from saima.streams.matching.keyed import Keyed
from saima.streams.matching.matches import Raw
from saima.streams.matching.rules import Begun, Compiled, Starts
from saima.streams.matching.runs import FOREVER, Cell, first_record
from saima.streams.matching.tables import CHOOSE, FINISH, MOVE
from saima.streams.matching.timers import KeyTimers, Timers

Plan = tuple[str, "list[Begun]", "list[Compiled]"]
"""Of an event: its type, the rules that it may begin, those of them whose matches prune others."""

Group = tuple[str, int, int]
"""Rows of one key, which stand together: the key, the first of them, the one after the last."""


class Rows:
    """Events as columns. plans: what each may begin; facts: its fields by name, made when a condition asks for them."""

    __slots__ = ("facts", "ids", "plans", "seqs", "times")

    def __init__(
        self,
        plans: Sequence[Plan],
        times: Sequence[int],
        ids: Sequence[str],
        seqs: Sequence[int],
        facts: Callable[[int], Facts],
    ) -> None:
        self.plans = plans
        self.times = times
        self.ids = ids
        self.seqs = seqs
        self.facts = facts


class Partition(Heavy):
    """Partial matches by key. `fields` are those that make the key, none for the event's own."""

    def __init__(
        self, fields: tuple[str, ...], starts: Starts, timers: Timers, counters: Counter[tuple[str, str]]
    ) -> None:
        super().__init__(timers, counters)
        self.fields = fields
        self.keys: dict[str, Keyed] = {}
        self.draining: list[Compiled] = []
        self._sweep = KeyTimers()
        self._peak = 0
        self.adopt(starts)

    def adopt(self, starts: Starts) -> None:
        """Begin by these rules from now on."""
        self.starts = starts
        rules = [*starts.rules, *self.draining]
        self.kept = frozenset[str]().union(*(compiled.kept for compiled in rules))
        self.reads = self.kept.union(*(compiled.read for compiled in rules))
        self.least_limit = min((compiled.rule.limits.runs for compiled in rules), default=FOREVER)
        self.tables = [table for compiled in rules for table in compiled.tables]

    def plan(self, event_type: str) -> Plan:
        """What an event of a type may begin."""
        starts = self.starts
        begun = starts.by_type.get(event_type, starts.other)
        return event_type, begun, starts.ordered.get(event_type, starts.ordered_other)

    def consume(self, groups: Iterable[Group], rows: Rows, found: list[Raw]) -> None:
        """Process the rows of each key in order; matches go to `found`."""
        keys, dirty, kept = self.keys, self.dirty, self.kept
        plans, times, ids, seqs, facts_of = rows.plans, rows.times, rows.ids, rows.seqs, rows.facts
        for name, first, last in groups:
            keyed = keys.get(name)
            if keyed is not None:
                light = keyed.light
            for row in range(first, last):
                event_type, begun, pruning = plans[row]
                if keyed is None:
                    if not begun and not pruning:
                        continue
                    keyed = keys[name] = Keyed(name)
                    light = keyed.light
                touched = light.pop(event_type, None)
                if touched is None and not begun and not keyed.live and not keyed.ordered and not pruning:
                    continue
                facts: Facts | None = None
                time = times[row]
                if kept:
                    facts = facts_of(row)
                    record = make_record(keyed, ids[row], time, seqs[row], facts, kept)
                else:
                    serial = keyed.serial = keyed.serial + 1
                    record = (ids[row], time, seqs[row], serial, None)
                dirty[name] = None
                if keyed.live:
                    facts = self.touch(keyed, rows, row, event_type, time, record, facts, found)
                if touched is not None:
                    stay: list[Any] = []
                    one = iter(touched)
                    for moves, cell, end in zip(one, one, one, strict=True):
                        if end <= time:
                            keyed.count -= 1
                            continue
                        follow = moves.straight
                        if follow is not None:
                            waiting = light.get(moves.follow_type)
                            if waiting is None:
                                light[moves.follow_type] = [follow, (cell, moves.step, record, 1), end]
                            else:
                                waiting += (follow, (cell, moves.step, record, 1), end)
                            continue
                        shape = moves.shape
                        if shape == CHOOSE:
                            if facts is None:
                                facts = facts_of(row)
                            if not moves.guard(facts, cell):
                                stay += (moves, cell, end)
                                continue
                            shape = FINISH if moves.ends else MOVE
                        elif shape != MOVE and shape != FINISH:  # FORK
                            stay += (moves, cell, end)
                            keyed.count += 1
                            shape = FINISH if moves.ends else MOVE
                        after = (cell, moves.step, record, 1)
                        follow = moves.follow
                        if shape == FINISH:
                            found.append((row, moves.rule, name, "match", time, after))
                            keyed.count -= 1
                        elif follow is not None:
                            light.setdefault(moves.follow_type, []).extend((follow, after, end))
                        else:
                            keyed.count -= 1
                            keyed.place(moves.target, after, first_record(after), self.timers)
                    if stay:
                        light[event_type] = stay + light.get(event_type, [])
                accepted: Cell | None = None  # rules whose first steps have one name share it
                for compiled, moves, guard, follow, follow_type, step, within in begun:
                    if guard is not None:
                        if facts is None:
                            facts = facts_of(row)
                        if not guard(facts, None):
                            continue
                    if keyed.count + keyed.live >= keyed.recheck and not self.room(keyed, compiled, time):
                        continue
                    if follow is not None:
                        end = time + within
                        if end > keyed.until:
                            keyed.until = end
                        keyed.count += 1
                        if accepted is None or accepted[1] != step:
                            accepted = (None, step, record, 1)
                        waiting = light.get(follow_type)
                        if waiting is None:
                            light[follow_type] = [follow, accepted, end]
                        else:
                            waiting += (follow, accepted, end)
                    else:
                        facts = self.begin(keyed, compiled, moves, rows, row, record, facts, found)
                if pruning or keyed.ordered:
                    self.prune(keyed, pruning, rows, row, facts, found)
                if not light and not keyed.live and not keyed.ordered:
                    self.forget(keyed)
                    keyed = None
            if keyed is not None and not keyed.timed and 0 < keyed.until < FOREVER:
                keyed.timed = True
                self._sweep.add(keyed)

    def sweep(self, watermark: int) -> None:
        """Drop keys whose light partial matches are all over."""
        for keyed in self._sweep.due(watermark):
            keyed.timed = False
            if self.keys.get(keyed.key) is not keyed:
                continue
            keyed.drop_light(watermark)
            keyed.until = 0
            self.dirty[keyed.key] = None
            if keyed.idle:
                self.forget(keyed)

    def watch(self, keyed: Keyed) -> None:
        """Keep a key that was restored, and its time."""
        self.keys[keyed.key] = keyed
        if not keyed.timed and 0 < keyed.until < FOREVER:
            keyed.timed = True
            self._sweep.add(keyed)

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
