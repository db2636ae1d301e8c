"""The pattern matcher: rules over standard events, as an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saima.events import Event
from saima.features.keys import key_text
from saima.stores.shards import Share
from saima.streams.engine import Change
from saima.streams.matching import state
from saima.streams.matching.batch import collector_paused, relevant
from saima.streams.matching.deployment import replace
from saima.streams.matching.matches import Kind, Match, Raw, make_match, to_frame
from saima.streams.matching.partition import Partition, Rows
from saima.streams.matching.rules import Compiled, RuleSet, Starts
from saima.streams.matching.runs import Run
from saima.streams.matching.timers import Timers

InFlight = Literal["drain", "drop", "migrate"]
BEGINNING = -(1 << 62)


class Matcher:
    """Matches a set of rules on events in order of (time, seq).

    Events before the watermark come too late: they are counted and left out. Outputs that time causes (a ban that held,
    a partial match that ran out) come from `advance` alone, ordered by deadline. `counters` are by rule and what
    happened: `dropped` (partial matches over the limit), `long_loops`, `late`, `no_key`, `migrated`, `abandoned`.
    """

    rules: RuleSet

    def __init__(self, rules: RuleSet, share: Share | None = None) -> None:
        """share: of the keys; others' events are passed by, here without a word."""
        self._share = share or Share()
        self.watermark = BEGINNING
        self.counters: Counter[tuple[str, str]] = Counter()
        self.timers = Timers()
        self.partitions: dict[tuple[str, ...], Partition] = {}
        self.adopt(rules)

    def process(self, event: Event) -> list[Match]:
        """Matches that one event completes."""
        if event.time < self.watermark:
            self.counters["", "late"] += 1
            return []
        found: list[Raw] = []

        def facts(_: int) -> dict[Any, Any]:
            return {
                **event.payload,
                "key": event.key,
                "type": event.type,
                "time": event.time,
                "seq": event.seq,
                "id": event.id,
            }

        for partition in self.partitions.values():
            key = key_text([facts(0).get(name) for name in partition.fields]) if partition.fields else event.key
            if key is None:
                self.counters["", "no_key"] += self._share.first
            elif self._share.owns(key):
                plans = (partition.plan(event.type),)
                rows = Rows(plans, (event.time,), (event.id,), (event.seq,), facts)
                partition.consume(((key, 0, 1),), rows, found)
        return [make_match(raw) for raw in found]

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        """Matches that a batch's events complete, in their order; `row` is the index of the event in the batch."""
        with collector_paused():
            return self._match(events)

    def _match(self, events: pl.DataFrame) -> pl.DataFrame:
        found: list[Raw] = []
        causes: list[NDArray[np.integer[Any]]] = []
        late = (events["time"] < self.watermark).to_numpy()
        on_time = None
        if late.any():
            self.counters["", "late"] += int(late.sum())
            on_time = np.flatnonzero(~late)
            events = events[on_time]
        for partition in self.partitions.values():
            chosen = relevant(partition, events, self._share)
            self.counters["", "no_key"] += chosen.without_key
            before = len(found)
            partition.consume(chosen.groups, chosen.columns, found)
            causes.append(chosen.rows[[raw[0] for raw in found[before:]]])
        if not found:
            return to_frame(found)
        rows = np.concatenate(causes)
        order = np.argsort(rows, kind="stable")
        return to_frame(found, rows if on_time is None else on_time[rows])[order]

    def advance(self, watermark: int) -> list[Match]:
        """Outputs that time causes, now that no event before `watermark` will come."""
        self.watermark = max(self.watermark, watermark)
        found: list[tuple[int, int, str, int, int, Match]] = []
        order = {fields: place for place, fields in enumerate(self.partitions)}
        by_home = {partition.fields: partition for partition in self.partitions.values()}
        for run in self.timers.due(self.watermark):
            if run.state is not None:
                self._expire(run, by_home, order, found)
        for fields, partition in self.partitions.items():
            for key in list(partition.overdue):
                keyed = partition.keys.get(key)
                del partition.overdue[key]
                if keyed is None:
                    continue
                for compiled, queue in list(keyed.ordered.items()):
                    ready = [one for one in queue.due if one[0] <= self.watermark]
                    queue.due = [one for one in queue.due if one[0] > self.watermark]
                    place = 1 + compiled.position
                    found += [(end, order[fields], key, place, i, match) for i, (end, match) in enumerate(ready)]
                    if queue.due:
                        partition.overdue[key] = None
                    if queue.idle:
                        del keyed.ordered[compiled]
                partition.dirty[key] = None
                if keyed.idle:
                    partition.forget(keyed)
            partition.sweep(self.watermark)
            partition.shrink()
        found.sort(key=lambda one: one[:5])
        return [one[-1] for one in found]

    def deploy(self, rules: RuleSet, in_flight: InFlight = "drain") -> None:
        """Swap the rules in; partial matches of those that changed or went `drain`, are dropped, or migrate.

        drain: they go on by the rule that began them. migrate: they go on in the state of the same name of the new
        version; those whose state is gone are abandoned and counted.
        """
        replace(self.partitions, rules, in_flight, self.counters, self.timers)
        self.adopt(rules)

    def changes(self) -> list[Change]:
        """State that changed since the last call, by key; None where a key has no partial matches left."""
        return state.changes(self, clean=True)

    def snapshot(self) -> bytes:
        """The whole state, packed."""
        return state.snapshot(self)

    @classmethod
    def restore(cls, snapshot: bytes) -> Self:
        """A matcher that continues where the snapshot was taken."""
        return cls.load(state.items_of(snapshot))

    @classmethod
    def load(cls, items: Iterable[tuple[str, bytes]], share: Share | None = None) -> Self:
        """A matcher from stored changes: the newest of every key. Raises StoreError if they do not fit its rules."""
        matcher = cls(RuleSet.read([]), share)
        state.load(matcher, items)
        return matcher

    @property
    def live(self) -> int:
        """Number of partial matches."""
        return sum(
            keyed.live + keyed.count for partition in self.partitions.values() for keyed in partition.keys.values()
        )

    def adopt(self, rules: RuleSet, draining: Iterable[Compiled] = ()) -> None:
        """Begin by these rules; `draining` go on only for the partial matches that they have."""
        self.rules = rules
        old = list(draining)
        for fields in {**rules.by_key, **{one.rule.keys: None for one in old}, **self.partitions}:
            starts = rules.by_key.get(fields) or Starts([])
            partition = self.partitions.get(fields)
            if partition is None:
                partition = self.partitions[fields] = Partition(fields, starts, self.timers, self.counters)
            partition.draining += [one for one in old if one.rule.keys == fields]
            partition.adopt(starts)

    def _expire(
        self,
        run: Run,
        partitions: dict[tuple[str, ...], Partition],
        order: dict[tuple[str, ...], int],
        found: list[tuple[int, int, str, int, int, Match]],
    ) -> None:
        """End a run whose deadline has come."""
        keyed, table = run.home, run.state
        assert keyed is not None
        assert table is not None
        compiled: Compiled = table.rule
        fields = compiled.rule.keys
        partition = partitions[fields]
        if compiled.ordered:
            keyed.ordered[compiled].expire(self.watermark)
            partition.overdue[keyed.key] = None
            return
        if table.pending or compiled.rule.emit.timeouts:
            assert run.cell is not None
            kind: Kind = "match" if table.pending else "timeout"
            match = make_match((0, compiled, keyed.key, kind, run.deadline, run.cell))
            found.append((run.deadline, order[fields], keyed.key, 0, run.serial, match))
        keyed.end(run)
        partition.dirty[keyed.key] = None
        if keyed.idle:
            partition.forget(keyed)


__all__ = ["Compiled", "InFlight", "Matcher"]
