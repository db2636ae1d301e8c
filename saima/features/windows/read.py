"""Reading windows at q from a packed entity: the head event by event, the rest hop by hop."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from saima.errors import SaimaError
from saima.features.windows.codec import Codec, Packed
from saima.features.windows.definition import Ask, Group, Window
from saima.features.windows.partial import NEEDS, empty, result

DRILL = os.environ.get("SAIMA_FAULT") == "parity"
"""Drill, read once at start: the online read leaves out the first hop of 6 h windows, and parity must find it."""


class BehindHead(SaimaError):
    """A read at a time for which the entity no longer keeps its events one by one."""


class Reader:
    """Reads the asked measures of one group."""

    def __init__(self, group: Group, asks: Sequence[Ask]) -> None:
        self.group = group
        self.codec = Codec(group)
        self._empty = [empty(ask.measure) for ask in asks]
        self._windows = self._compile(asks)

    def _compile(self, asks: Sequence[Ask]) -> list[tuple[Window, tuple[str, ...], list[tuple[int, str, int]]]]:
        windows: dict[Window, list[tuple[int, str, int]]] = {}
        for place, ask in enumerate(asks):
            windows.setdefault(ask.window, []).append((place, ask.measure, ask.k))
        compiled = []
        for window, wanted in windows.items():
            needs = dict.fromkeys(name for _, measure, _ in wanted for name in self.needs(measure))
            compiled.append((window, tuple(needs), wanted))
        return compiled

    def needs(self, measure: str) -> tuple[str, ...]:
        """Components that a measure reads of this group."""
        if measure == "variance" and self.group.is_float:
            return ("squares",)
        return NEEDS[measure]

    def read(self, data: bytes | None, q: int) -> list[Any]:
        """Values of the asks, in their order, as of q (int64 ms); None is a key without events.

        Raises BehindHead if q lies before the kept head, WindowOverflow where an int64 sum does not fit,
        StoreError if the bytes are damaged.
        """
        values = [list(v) if isinstance(v, list) else v for v in self._empty]
        if data is None:
            return values
        packed = self.codec.open(data)
        if q < packed.head + self.group.slide:
            raise BehindHead(
                f"{self.group.table}: a read at {q} is {packed.latest - q} ms behind the newest event; events are kept"
                f" for {self.group.keep} ms; raise the lateness of source '{self.group.source}'"
            )
        stop = bisect_left(packed.times, q)
        for window, needs, wanted in self._windows:
            parts = self._parts(packed, window, needs, q, stop)
            if parts is not None:
                for place, measure, k in wanted:
                    values[place] = result(measure, parts, k)
        return values

    def _parts(self, packed: Packed, window: Window, needs: Sequence[str], q: int, stop: int) -> dict[str, Any] | None:
        tail = window.tail(q)
        if DRILL and window.text == "6h":
            tail += window.hop
        start = bisect_left(packed.times, tail, 0, stop)
        runs = []
        if window.hop and tail < packed.head:
            for i, hop in enumerate(self.group.hops):
                last = hop == window.hop
                starts, columns = packed.levels[i]
                lower = tail if last else max(tail, packed.head // self.group.hops[i + 1] * self.group.hops[i + 1])
                low = bisect_left(starts, lower)
                if low < len(starts):
                    runs.append((columns, low))
                if last:
                    break
        if start >= stop and not runs:
            return None
        rows = None
        if start < stop:
            values = packed.values
            rows = list(
                zip(
                    packed.times[start:stop],
                    packed.seqs[start:stop],
                    [None] * (stop - start) if values is None else values[start:stop],
                    strict=True,
                )
            )
        parts = {}
        for name in needs:
            component = self.codec.components[name]
            pieces = []
            for columns, low in reversed(runs):
                pieces += component.unpack([column[low:] for column in columns[name]])
            if rows is not None:
                pieces.append(component.of(rows))
            parts[name] = component.merge(pieces)
        return parts
