"""One event through the kernel: a batch of one row, whose arrays are used again for every event."""

from __future__ import annotations

import numpy as np

from saima.events import Event
from saima.streams.linking import layout as at
from saima.streams.linking.batch import session_id
from saima.streams.linking.kernel import link
from saima.streams.linking.nodes import Node, node
from saima.streams.linking.sessions import Ints, Sessions

_HELD = list(range(5, 5 + at.PLACES))
"""Refs of the held names beside one row: its own, those of the levels that it claims and the empty one are 0 to 4."""


class Single:
    """The path of low latency, equal to a `Batch` of one row."""

    def __init__(self) -> None:
        self._row = np.zeros((1, at.ROW_WIDTH), dtype=np.int64)
        self._names, self._causes = (np.zeros((1, at.PLACES), dtype=np.int64) for _ in range(2))
        self._begun = np.zeros(1, dtype=np.int64)
        self._out = np.zeros((2 * at.PLACES, at.OUT_WIDTH), dtype=np.int64)
        self._held_names, self._held_causes = np.array(_HELD), np.array(_HELD) - 4

    def link(
        self,
        held: Sessions,
        slot: int,
        event: Event,
        numbers: list[int],
        texts: list[str | None],
        counts: Ints,
        flags: tuple[int, bool, bool],
    ) -> list[Node]:
        """Nodes that an event leaves; `numbers` and `texts` are those of `Reader.read`."""
        was_open = held.rows[slot, at.DEPTH] > 0
        self._row[0] = (slot, 0, event.time, event.seq, *numbers)
        self._names[0], self._causes[0], self._begun[0] = self._held_names, self._held_causes, 1
        made = link(held.rows, self._row, self._names, self._causes, self._begun, self._out, counts, *flags)
        names = [*texts, "", *held.names[slot]]
        causes = [event.id, *held.causes[slot]]
        sessions = [held.ids[slot]] * 2
        began = not self._begun[0]
        if began:
            sessions[0] = held.ids[slot] = session_id(event.key, event.time, event.id)
        moved = self._names.tolist()[0]
        if moved != _HELD:
            held.names[slot] = [names[ref] for ref in moved]
            held.causes[slot] = [causes[ref] for ref in self._causes.tolist()[0]]
        if was_open or began:
            held.dirty[slot] = True
        return [
            node(row, event.key, sessions[row[at.O_SESSION]], names[row[at.O_NAME]], causes[row[at.O_CAUSE]])
            for row in self._out[:made].tolist()
        ]
