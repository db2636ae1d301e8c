"""The partial matches of one key as bytes, and back.

Texts and what accepted events keep are JSON; all that is a number lies behind it as words of four bytes (eight where
one does not fit), times from the first record's on, since a commit packs every key that changed, and numbers are most
of it. Cells and records are there once each, however many share them.
"""

from __future__ import annotations

import json
import struct
from array import array
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from saima.errors import StoreError
from saima.streams.matching.keyed import Keyed, lights
from saima.streams.matching.matches import Match
from saima.streams.matching.ordered import Ordered
from saima.streams.matching.runs import FOREVER, Cell, Record, Run, first_record

if TYPE_CHECKING:
    from saima.streams.matching.partition import Partition
    from saima.streams.matching.rules import Compiled

_HEAD = struct.Struct("<I")
"""Length of the JSON part, before it."""

_NULL = -(1 << 63)
"""Stands for a missing number."""

_LIGHT, _RUN, _CELL, _RECORD = 5, 6, 4, 3
"""Words of a light partial match, a run, a cell and a record."""


class _Table(dict[Any, int]):
    """Things by their numbers, which they get as they are asked for."""

    def __missing__(self, thing: Any) -> int:
        number = self[thing] = len(self)
        return number


class _Writer:
    """Cells and records as flat words; `rules` and `steps` are named once a key."""

    def __init__(self) -> None:
        self.rules, self.steps = _Table(), _Table()
        self.cells: list[int] = []
        self.records: list[Record] = []
        self._cells: dict[int, int] = {}
        self._records: dict[int, int] = {}

    def run(self, run: Run) -> tuple[int, ...]:
        table = run.state
        rule, state = (-1, -1) if table is None else (self.rules[table.rule], table.index)
        start = -1 if run.cell is None else self.record(run.start)
        return rule, state, self.cell(run.cell), start, run.deadline, run.serial

    def cell(self, cell: Cell | None) -> int:
        """Number of a cell; what lies below it has lower ones."""
        known = self._cells
        chain = []
        while cell is not None:
            below = known.get(id(cell))
            if below is not None:
                break
            chain.append(cell)
            cell = cell[0]
        else:
            below = -1
        while chain:
            one = chain.pop()
            self.cells += (below, self.steps[one[1]], self.record(one[2]), one[3])
            below = known[id(one)] = len(known)
        return below

    def record(self, record: Record) -> int:
        place = self._records.get(id(record))
        if place is None:
            place = self._records[id(record)] = len(self.records)
            self.records.append(record)
        return place


def pack(keyed: Keyed, fields: tuple[str, ...]) -> bytes:
    """Bytes of one key.

    Serials count from one again, in their order: what is packed does not tell how often the key has come and gone.
    """
    writer = _Writer()
    rules, cell_of, record_of = writer.rules, writer.cell, writer.record
    light: list[int] = []
    for flat in keyed.light.values():
        for moves, cell, end in lights(flat):
            light += (rules[moves.rule], moves.place, cell_of(cell), record_of(first_record(cell)), end)
    runs = [writer.run(run) for run in keyed.runs()] if keyed.live else []
    own = len(runs)
    ordered, due = [], []
    for compiled, queue in keyed.ordered.items():
        ordered.append([rules[compiled], len(queue.partial), len(queue.completed)])
        due.append([[end, asdict(match)] for end, match in queue.due])
        runs += [writer.run(run) for run in (*queue.partial, *queue.completed)]
    records = writer.records
    known = sorted({record[3] for record in records}.union(run[5] for run in runs))
    again = {serial: place for place, serial in enumerate(known, 1)}
    base = records[0][1] if records else 0
    light[_LIGHT - 1 :: _LIGHT] = [end - base for end in light[_LIGHT - 1 :: _LIGHT]]
    words = light
    for run in runs:
        words += (*run[:4], run[4] - base, again[run[5]])
    words += writer.cells
    for _, time, seq, ordinal, _ in records:
        words += (time - base, _NULL if seq is None else seq, again[ordinal])
    body: dict[str, Any] = {
        "fields": fields,
        "key": keyed.key,
        "base": base,
        "until": keyed.until,
        "serial": len(known),
        "own": own,
        "light": [(name, len(flat) // 3) for name, flat in keyed.light.items()],
        "runs": len(runs),
        "cells": len(writer.cells) // _CELL,
        "rules": [rule.digest for rule in rules],
        "steps": list(writer.steps),
        "ids": [record[0] for record in records],
    }
    kept = [record[4] for record in records]
    if any(one is not None for one in kept):
        body["kept"] = kept
    if ordered:
        body |= {"ordered": ordered, "due": due}
    try:
        code, data = "i", array("i", words).tobytes()
    except OverflowError:  # years between events, or numbers of a producer's own
        code, data = "q", array("q", words).tobytes()
    body["code"] = code
    text = _ENCODER.encode(body).encode()
    return b"".join((_HEAD.pack(len(text)), text, data))


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str, check_circular=False)


def read(packed: bytes) -> tuple[dict[str, Any], array[int]]:
    """The JSON part and the words of a packed key. Raises StoreError if it is damaged."""
    try:
        (size,) = _HEAD.unpack_from(packed)
        body = json.loads(packed[_HEAD.size : _HEAD.size + size])
        words = array(body["code"], packed[_HEAD.size + size :])
        light = sum(count for _, count in body["light"])
        wanted = _LIGHT * light + _RUN * body["runs"] + _CELL * body["cells"] + _RECORD * len(body["ids"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"partial matches of a key cannot be read: {error}") from error
    if len(words) != wanted:
        raise StoreError(f"partial matches of key '{body['key']}' are damaged: {len(words)} words, not {wanted}")
    return body, words


def unpack(packed: bytes, partitions: dict[tuple[str, ...], Partition], known: dict[str, Compiled]) -> None:
    """Put one key's partial matches into its partition. Raises StoreError if they do not fit the rules."""
    body, words = read(packed)
    partition = partitions[tuple(body["fields"])]
    keyed = Keyed(body["key"])
    keyed.serial, keyed.until, own, base = body["serial"], body["until"], body["own"], body["base"]
    for digest in body["rules"]:
        if digest not in known:
            raise StoreError(f"key '{keyed.key}' holds partial matches of rule {digest}, which is not deployed")
    rules = [known[digest] for digest in body["rules"]]
    light = _LIGHT * sum(count for _, count in body["light"])
    places = [light, light + _RUN * body["runs"], light + _RUN * body["runs"] + _CELL * body["cells"]]
    kept = body.get("kept") or [None] * len(body["ids"])
    records: list[Record] = [
        (name, base + time, None if seq == _NULL else seq, ordinal, values)  # type: ignore[misc]
        for name, (time, seq, ordinal), values in zip(
            body["ids"], _rows(words[places[2] :], _RECORD), kept, strict=True
        )
    ]
    cells: list[Cell] = []
    for below, step, record, length in _rows(words[places[1] : places[2]], _CELL):
        cells.append((cells[below] if below >= 0 else None, body["steps"][step], records[record], length))
    runs = []
    for rule, state, cell, start, end, serial in _rows(words[places[0] : places[1]], _RUN):
        table = None if rule < 0 else rules[rule].tables[state]
        first: Record = records[start] if start >= 0 else ("", 0, 0, FOREVER, None)
        keyed.live += cell >= 0
        run = Run(table, cells[cell] if cell >= 0 else None, first, base + end, serial, keyed)
        if table is not None and base + end < FOREVER:
            partition.timers.add(run)
        runs.append(run)
    entries = iter(_rows(words[:light], _LIGHT))
    for name, count in body["light"]:
        flat: list[Any] = []
        for rule, state, cell, _, end in islice(entries, count):
            flat += (rules[rule].tables[state].awaited(), cells[cell], base + end)
        keyed.light[name] = flat
        keyed.count += count
    for run in runs[:own]:
        assert run.state is not None
        keyed.register(run, run.state)
    _restore_ordered(body, keyed, rules, runs[own:], partition)
    partition.watch(keyed)


def _restore_ordered(
    body: dict[str, Any], keyed: Keyed, rules: list[Compiled], runs: list[Run], partition: Partition
) -> None:
    """Put back the queues of rules whose matches prune others."""
    at = 0
    for (rule, partial, completed), due in zip(body.get("ordered", ()), body.get("due", ()), strict=True):
        queue = Ordered(rules[rule], keyed, partition.timers, begins=False)
        queue.partial, queue.completed = runs[at : at + partial], runs[at + partial : at + partial + completed]
        at += partial + completed
        queue.due = [(end, _match(one)) for end, one in due]
        keyed.ordered[rules[rule]] = queue
        if queue.due:
            partition.overdue[keyed.key] = None


def _rows(words: array[int], width: int) -> list[tuple[int, ...]]:
    return list(zip(*[iter(words)] * width, strict=True))


def _match(one: dict[str, Any]) -> Match:
    return Match(**{**one, "steps": tuple(one["steps"]), "ids": tuple(one["ids"])})
