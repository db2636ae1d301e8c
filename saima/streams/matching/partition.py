"""All keys of the rules that share a key: the loop over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from saima.streams.matching.closures import Facts
from saima.streams.matching.heavy import Heavy, make_record
from saima.streams.matching.keyed import Keyed
from saima.streams.matching.matches import Raw
from saima.streams.matching.rules import Compiled, Starts
from saima.streams.matching.runs import FOREVER
from saima.streams.matching.tables import CHOOSE, FINISH, MOVE
from saima.streams.matching.timers import KeyTimers, Timers


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

    def consume(self, slots: Sequence[int], names: Sequence[str], rows: Rows, found: list[Raw]) -> None:
        """Process rows in order, each with the place of its key in `names`; matches go to `found`."""
        keys, dirty, kept = self.keys, self.dirty, self.kept
        by_type, otherwise = self.starts.by_type, self.starts.other
        ordered, ordered_otherwise = self.starts.ordered, self.starts.ordered_other
        pruned = bool(ordered or ordered_otherwise)
        ids, seqs, facts_of = rows.ids, rows.seqs, rows.facts
        held = [keys.get(name) for name in names]
        for row, (slot, event_type, time) in enumerate(zip(slots, rows.types, rows.times, strict=True)):
            keyed = held[slot]
            begun = by_type.get(event_type, otherwise)
            pruning = ordered.get(event_type, ordered_otherwise) if pruned else ()
            if keyed is None:
                if not begun and not pruning:
                    continue
                keyed = held[slot] = keys[names[slot]] = Keyed(names[slot])
            light = keyed.light
            touched = light.pop(event_type, None)
            if not touched and not begun and not keyed.live and not keyed.ordered and not pruning:
                continue
            facts: Facts | None = None
            if kept:
                facts = facts_of(row)
                record = make_record(keyed, ids[row], time, seqs[row], facts, kept)
            else:
                keyed.serial += 1
                record = (ids[row], time, seqs[row], keyed.serial, None)
            dirty[keyed.key] = None
            if keyed.live:
                facts = self.touch(keyed, rows, row, event_type, time, record, facts, found)
            if touched:
                stay = []
                for entry in touched:
                    moves, cell, start, end = entry
                    if end <= time:
                        keyed.count -= 1
                        continue
                    follow = moves.straight
                    if follow is not None:
                        waiting = light.get(moves.follow_type)
                        if waiting is None:
                            light[moves.follow_type] = [(follow, (cell, moves.step, record, 1), start, end)]
                        else:
                            waiting.append((follow, (cell, moves.step, record, 1), start, end))
                        continue
                    shape = moves.shape
                    if shape == CHOOSE:
                        if facts is None:
                            facts = facts_of(row)
                        if not moves.guard(facts, cell):  # type: ignore[misc]
                            stay.append(entry)
                            continue
                        shape = FINISH if moves.ends else MOVE
                    elif shape != MOVE and shape != FINISH:  # FORK
                        stay.append(entry)
                        keyed.count += 1
                        shape = FINISH if moves.ends else MOVE
                    after = (cell, moves.step, record, 1)
                    follow = moves.follow
                    if shape == FINISH:
                        found.append((row, moves.rule, keyed.key, "match", time, after))
                        keyed.count -= 1
                    elif follow is not None:
                        waiting = light.get(moves.follow_type)
                        if waiting is None:
                            light[moves.follow_type] = [(follow, after, start, end)]
                        else:
                            waiting.append((follow, after, start, end))
                    else:
                        keyed.count -= 1
                        keyed.place(moves.target, after, start, self.timers)  # type: ignore[arg-type]
                if stay:
                    light[event_type] = stay + light.get(event_type, [])
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
                    waiting = light.get(follow_type)
                    if waiting is None:
                        light[follow_type] = [(follow, (None, step, record, 1), record, end)]
                    else:
                        waiting.append((follow, (None, step, record, 1), record, end))
                else:
                    facts = self.begin(keyed, compiled, moves, rows, row, record, facts, found)
            if pruning or keyed.ordered:
                self.prune(keyed, pruning, rows, row, facts, found)
            if not light and not keyed.live and not keyed.ordered:
                held[slot] = None
                self.forget(keyed)
            elif not keyed.timed and 0 < keyed.until < FOREVER:
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
