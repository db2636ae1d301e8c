"""Swapping one snapshot of rules for another, with what becomes of partial matches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from saima.streams.matching.errors import Problems
from saima.streams.matching.keyed import Keyed, deadline, lights
from saima.streams.matching.ordered import Ordered
from saima.streams.matching.partition import Partition
from saima.streams.matching.priority import prune
from saima.streams.matching.rules import Compiled, RuleSet
from saima.streams.matching.runs import FOREVER, Run, first_record
from saima.streams.matching.tables import StateTable
from saima.streams.matching.timers import Timers

InFlight = Literal["drain", "drop", "migrate"]
Successor = Callable[[Compiled], Compiled | None]


def replace(
    partitions: dict[tuple[str, ...], Partition],
    rules: RuleSet,
    in_flight: InFlight,
    counters: Counter[tuple[str, str]],
    timers: Timers,
) -> None:
    """Re-point or end partial matches of rules that are not as they were. Raises RuleError before it does anything."""
    check(partitions, rules)
    for partition in partitions.values():
        kept: dict[Compiled, None] = {}

        def successor(compiled: Compiled, partition: Partition = partition) -> Compiled | None:
            """The rule by which a partial match goes on; None if it ends."""
            new = rules.rules.get(compiled.rule.id)
            if new is not None and new.digest == compiled.digest:
                return new
            if in_flight == "drain":
                return compiled
            if in_flight == "drop" or new is None or new.rule.keys != partition.fields:
                return None
            return new if new.ordered == compiled.ordered else None

        for keyed in list(partition.keys.values()):
            _replace_runs(keyed, successor, counters, timers, kept)
            _replace_ordered(keyed, successor, counters, timers, kept)
            partition.dirty[keyed.key] = None
            if keyed.idle:
                partition.forget(keyed)
            else:
                keyed.timed = False
                partition.watch(keyed)
        current = set(rules.rules.values())
        partition.draining = [compiled for compiled in kept if compiled not in current]


def check(partitions: dict[tuple[str, ...], Partition], rules: RuleSet) -> None:
    """Raise RuleError for a deployed rule that changed and kept its version; of draining ones the rulebook knows."""
    for partition in partitions.values():
        for compiled in partition.starts.rules:
            refuse_reuse(rules, compiled.rule.id, compiled.rule.version, compiled.digest)


def refuse_reuse(rules: RuleSet, name: str, version: int, digest: str) -> None:
    """Raise RuleError where rules have another rule of this id and version."""
    new = rules.rules.get(name)
    if new is not None and new.digest != digest and new.rule.version == version:
        problems = Problems()
        problems.add("$.version", f"version {version} is deployed and says something else; give a new one")
        problems.raise_for(name)


def _replace_runs(
    keyed: Keyed,
    successor: Successor,
    counters: Counter[tuple[str, str]],
    timers: Timers,
    kept: dict[Compiled, None],
) -> None:
    light, keyed.light, keyed.count, keyed.until = keyed.light, {}, 0, 0
    for flat in light.values():
        for moves, cell, _ in lights(flat):
            target = _target(moves.rule.tables[moves.place], successor(moves.rule), counters)
            if target is not None:
                keyed.place(target, cell, first_record(cell), timers)
                kept[target.rule] = None
    for run in keyed.runs():
        assert run.state is not None
        _repoint(run, keyed, successor(run.state.rule), counters, timers)
        if run.state is not None:
            kept[run.state.rule] = None
    runs = keyed.runs()
    keyed.waiting, keyed.every, keyed.dead = {}, [], 0
    for run in runs:
        assert run.state is not None
        keyed.register(run, run.state)


def _repoint(run: Run, keyed: Keyed, new: Compiled | None, counters: Counter[tuple[str, str]], timers: Timers) -> None:
    old = run.state
    assert old is not None
    target = _target(old, new, counters)
    if target is old:
        return
    if target is None:
        keyed.end(run)
        return
    run.state = target
    assert run.cell is not None
    run.deadline = deadline(target, run.start[1], run.cell[2][1])
    if run.deadline < FOREVER:
        timers.add(run)


def _target(old: StateTable, new: Compiled | None, counters: Counter[tuple[str, str]]) -> StateTable | None:
    """The state in which a partial match goes on by a rule: that of the same name."""
    if new is old.rule:
        return old
    found = None if new is None else next((table for table in new.tables if table.name == old.name), None)
    if found is None:
        counters[old.rule.rule.id, "abandoned"] += 1
    elif found.rule.digest != old.rule.digest:
        counters[old.rule.rule.id, "migrated"] += 1
    return found


def _replace_ordered(
    keyed: Keyed,
    successor: Successor,
    counters: Counter[tuple[str, str]],
    timers: Timers,
    kept: dict[Compiled, None],
) -> None:
    queues: dict[Compiled, Ordered] = {}
    for compiled, queue in keyed.ordered.items():
        new = successor(compiled)
        if new is compiled:  # it drains: nothing begins by it any more
            prune(queue.partial, lambda run: run.cell is None)
        else:
            _repoint_all(queue, keyed, new, counters, timers)
            if new is not None:
                queue.compiled = new
        target = queue.compiled
        if new is None or queue.idle:
            continue
        queues[target] = queue
        kept[target] = None
    keyed.ordered = queues


def _repoint_all(
    queue: Ordered, keyed: Keyed, new: Compiled | None, counters: Counter[tuple[str, str]], timers: Timers
) -> None:
    for run in _begun(queue.partial):
        _repoint(run, keyed, new, counters, timers)
    for run in queue.completed if new is None else ():
        keyed.end(run)
    prune(queue.partial, lambda run: run.state is None)
    for run in queue.partial:
        if run.cell is None and new is not None:
            run.state = new.start


def _begun(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.cell is not None]
