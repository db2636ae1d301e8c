"""State of a matcher as bytes: one item a key, and one for the rules, the watermark and the counters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from saima.errors import StoreError
from saima.streams.engine import Change
from saima.streams.matching.keyed import Keyed, Light
from saima.streams.matching.matches import Match
from saima.streams.matching.ordered import Ordered
from saima.streams.matching.rules import Compiled, RuleSet, document
from saima.streams.matching.runs import FOREVER, Cell, Record, Run

if TYPE_CHECKING:
    from saima.streams.matching.matcher import Matcher
    from saima.streams.matching.partition import Partition

META = "@"
"""Key of the item that holds the rules, the watermark and the counters."""

_LONGEST = 200


def item_key(fields: tuple[str, ...], key: str) -> str:
    """Name of a key's item; long keys are digested, the item itself holds them whole."""
    short = key if len(key) <= _LONGEST else xxh3_128_hexdigest(key.encode())
    return f"{','.join(fields)}\x1e{short}"


def changes(matcher: Matcher, *, clean: bool) -> list[Change]:
    """Items that changed; with `clean` they count as stored from now on."""
    found: list[Change] = []
    for fields, partition in matcher.partitions.items():
        for key in partition.dirty:
            keyed = partition.keys.get(key)
            found.append((item_key(fields, key), None if keyed is None else pack(keyed, fields)))
        if clean:
            partition.dirty.clear()
    found.append((META, _meta(matcher)))
    return found


def snapshot(matcher: Matcher) -> bytes:
    """All items in one."""
    items = {META: _meta(matcher).decode()}
    for fields, partition in matcher.partitions.items():
        for key, keyed in partition.keys.items():
            items[item_key(fields, key)] = pack(keyed, fields).decode()
    return _json(items)


def items_of(packed: bytes) -> list[tuple[str, bytes]]:
    """The items of a snapshot."""
    return [(name, text.encode()) for name, text in json.loads(packed).items()]


def load(matcher: Matcher, items: Iterable[tuple[str, bytes]]) -> None:
    """Take in items. Raises StoreError if one belongs to rules that are not among them."""
    found = dict(items)
    if META not in found:
        if found:
            raise StoreError("the matcher's state has keys but no rules: its '@' item is missing")
        return
    meta = json.loads(found.pop(META))
    rules = RuleSet.read(meta["rules"])
    draining = [RuleSet.read([one]).rules[one["id"]] for one in meta["draining"]]
    matcher.rules = rules
    matcher.watermark = meta["watermark"]
    matcher.counters.update({(rule, what): count for rule, what, count in meta["counters"]})
    matcher.adopt(rules, draining)
    known = {compiled.digest: compiled for compiled in (*draining, *rules.rules.values())}
    for packed in found.values():
        body = json.loads(packed)
        partition = matcher.partitions[tuple(body["fields"])]
        unpack(body, partition, known)


def _meta(matcher: Matcher) -> bytes:
    draining = [document(one.rule) for partition in matcher.partitions.values() for one in partition.draining]
    return _json(
        {
            "rules": matcher.rules.documents(),
            "draining": draining,
            "watermark": matcher.watermark,
            "counters": [[rule, what, count] for (rule, what), count in sorted(matcher.counters.items()) if count],
        }
    )


def pack(keyed: Keyed, fields: tuple[str, ...]) -> bytes:
    """Bytes of one key: cells and records once each, runs by their numbers.

    Serials count from one again, in their order: what is packed does not tell how often the key has come and gone.
    """
    writer = _Writer()
    light = [[name, [writer.light(entry) for entry in entries]] for name, entries in keyed.light.items()]
    runs = [writer.run(run) for run in keyed.runs()]
    ordered = [
        [
            compiled.digest,
            [writer.run(run) for run in queue.partial],
            [writer.run(run) for run in queue.completed],
            [[end, asdict(match)] for end, match in queue.due],
        ]
        for compiled, queue in keyed.ordered.items()
    ]
    packed = [*runs, *(run for _, partial, completed, _ in ordered for run in (*partial, *completed))]
    known = sorted({*(run[_SERIAL] for run in packed), *(record[_ORDINAL] for record in writer.records)})
    again = {serial: place for place, serial in enumerate(known, 1)}
    for run in packed:
        run[_SERIAL] = again[run[_SERIAL]]
    records = [[*record[:_ORDINAL], again[record[_ORDINAL]], *record[_ORDINAL + 1 :]] for record in writer.records]
    body = {
        "fields": fields,
        "key": keyed.key,
        "serial": len(known),
        "until": keyed.until,
        "light": light,
        "runs": runs,
        "ordered": ordered,
        "cells": writer.cells,
        "records": records,
    }
    return _json(body)


_ORDINAL, _SERIAL = 3, 5
"""Places in a record and in a packed run of the numbers that order them within the key."""


class _Writer:
    def __init__(self) -> None:
        self.cells: list[Any] = []
        self.records: list[Record] = []
        self._cells: dict[int, int] = {}
        self._records: dict[int, int] = {}

    def run(self, run: Run) -> list[Any]:
        table = run.state
        rule = table.rule.digest if table is not None else None
        state = table.index if table is not None else -1
        start = -1 if run.cell is None else self.record(run.start)
        return [rule, state, self.cell(run.cell), start, run.deadline, run.serial]

    def light(self, entry: Light) -> list[Any]:
        moves, cell, start, end = entry
        assert moves.table is not None
        return [moves.rule.digest, moves.table.index, self.cell(cell), self.record(start), end]

    def cell(self, cell: Cell | None) -> int:
        chain = []
        while cell is not None and id(cell) not in self._cells:
            chain.append(cell)
            cell = cell[0]
        below = -1 if cell is None else self._cells[id(cell)]
        for one in reversed(chain):
            self.cells.append([below, one[1], self.record(one[2]), one[3]])
            below = self._cells[id(one)] = len(self.cells) - 1
        return below

    def record(self, record: Record) -> int:
        if id(record) not in self._records:
            self._records[id(record)] = len(self.records)
            self.records.append(record)
        return self._records[id(record)]


def unpack(body: dict[str, Any], partition: Partition, known: dict[str, Compiled]) -> None:
    """Put one key's partial matches into a partition."""
    keyed = Keyed(body["key"])
    keyed.until = body["until"]
    keyed.serial = body["serial"]
    records: list[Record] = [tuple(record) for record in body["records"]]
    cells: list[Cell] = []
    for below, step, record, count in body["cells"]:
        cells.append((cells[below] if below >= 0 else None, step, records[record], count))

    def run_of(packed: list[Any]) -> Run:
        rule, state, cell, start, end, serial = packed
        if rule is not None and rule not in known:
            raise StoreError(f"key '{keyed.key}' holds partial matches of rule {rule}, which is not deployed")
        table = None if rule is None else known[rule].tables[state]
        first: Record = records[start] if start >= 0 else ("", 0, 0, FOREVER, None)
        keyed.live += cell >= 0
        run = Run(table, cells[cell] if cell >= 0 else None, first, end, serial, keyed)
        if table is not None and end < FOREVER:
            partition.timers.add(run)
        return run

    for name, entries in body["light"]:
        keyed.light[name] = [
            (known[rule].tables[state].awaited(), cells[cell], records[start], end)
            for rule, state, cell, start, end in entries
        ]
        keyed.count += len(entries)
    for packed in body["runs"]:
        run = run_of(packed)
        assert run.state is not None
        keyed.register(run, run.state)
    for rule, partial, completed, due in body["ordered"]:
        queue = Ordered(known[rule], keyed, partition.timers, begins=False)
        queue.partial = [run_of(packed) for packed in partial]
        queue.completed = [run_of(packed) for packed in completed]
        queue.due = [(end, _match(one)) for end, one in due]
        keyed.ordered[known[rule]] = queue
        if queue.due:
            partition.overdue[keyed.key] = None
    partition.watch(keyed)


def _match(one: dict[str, Any]) -> Match:
    return Match(**{**one, "steps": tuple(one["steps"]), "ids": tuple(one["ids"])})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode()
