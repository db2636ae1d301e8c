"""Reading windows at q from a packed entity: the head event by event, the rest hop by hop."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from saima.errors import SaimaError
from saima.features.windows.codec import Codec, Packed
from saima.features.windows.component import ByValue, Row
from saima.features.windows.definition import Ask, Group, Window, needs
from saima.features.windows.measure import empty, result

DRILL = os.environ.get("SAIMA_FAULT") == "parity"
"""Drill, read once at start: the online read leaves out the first hop of 6 h windows, and parity must find it."""


class BehindHead(SaimaError):
    """A read at a time for which the entity no longer keeps its events one by one."""


class Reader:
    """Reads the asked measures of one group."""

    def __init__(self, group: Group, asks: Sequence[Ask]) -> None:
        self.group = group
        self.codec = Codec(group)
        self._quick = {name: c for name, c in self.codec.components.items() if isinstance(c, ByValue)}
        self._by_value = frozenset(self._quick)
        self._empty = [empty(ask.measure) for ask in asks]
        self._windows = self._compile(asks)

    def _compile(self, asks: Sequence[Ask]) -> list[tuple[Window, tuple[str, ...], list[tuple[int, str, int]]]]:
        windows: dict[Window, list[tuple[int, str, int]]] = {}
        for place, ask in enumerate(asks):
            windows.setdefault(ask.window, []).append((place, ask.measure, ask.k))
        compiled = []
        for window, wanted in windows.items():
            names = dict.fromkeys(name for _, measure, _ in wanted for name in needs(measure, self.group))
            compiled.append((window, tuple(names), wanted))
        return compiled

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
                f"{self.group.table}: a read at {q} is {packed.latest - q} ms behind the newest event, and what it read"
                f" is merged into hops; reads are right from {packed.head + self.group.slide} on; raise the lateness of"
                f" source '{self.group.source}' to reach further back"
            )
        stop = bisect_left(packed.times, q)
        for window, names, wanted in self._windows:
            parts = self._parts(packed, window, names, q, stop)
            if parts is not None:
                for place, measure, k in wanted:
                    values[place] = result(measure, parts, k, self.group)
        return values

    def _parts(self, packed: Packed, window: Window, names: Sequence[str], q: int, stop: int) -> dict[str, Any] | None:
        """Merged components of a window: closed hops, oldest first, then the head's events before q."""
        tail = window.tail(q)
        if DRILL and window.text == "6h":
            tail += window.hop
        start = bisect_left(packed.times, tail, 0, stop)
        runs = self._closed(packed, window, tail) if window.hop and tail < packed.head else []
        if start >= stop and not runs:
            return None
        values: list[Any] = []
        rows: list[Row] = []
        if start < stop:
            values = list(packed.times[start:stop] if packed.values is None else packed.values[start:stop])
            if not self._by_value.issuperset(names):
                rows = list(zip(packed.times[start:stop], packed.seqs[start:stop], values, strict=True))
        parts: dict[str, Any] = {}
        for name in names:
            component = self.codec.components[name]
            pieces = [component.gather([column[low:] for column in columns[name]]) for columns, low in runs]
            if rows:
                pieces.append(component.of(rows))
            elif values:
                pieces.append(self._quick[name].of_values(values))
            parts[name] = pieces[0] if len(pieces) == 1 else component.merge(pieces)
        return parts

    def _closed(self, packed: Packed, window: Window, tail: int) -> list[tuple[dict[str, list[Sequence[Any]]], int]]:
        """Columns of the levels that cover [tail, head), coarsest first, each with its first hop's place."""
        runs = []
        hops = self.group.hops
        for i, hop in enumerate(hops):
            starts, columns = packed.levels[i]
            lower = tail if hop == window.hop else max(tail, packed.head // hops[i + 1] * hops[i + 1])
            low = bisect_left(starts, lower)
            if low < len(starts):
                runs.append((columns, low))
            if hop == window.hop:
                break
        return runs[::-1]
