"""Deadlines of runs: one heap of spans of time, each with the runs that end in it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from saima.streams.matching.runs import Run

if TYPE_CHECKING:
    from saima.streams.matching.keyed import Keyed

_SHIFT = 12
"""A span is 4,096 ms: runs of one span share one place in the heap."""


class Timers:
    """Runs by deadline. A run whose deadline moved is added again; one that is over is passed over at its time."""

    def __init__(self) -> None:
        self._spans: dict[int, list[Run]] = {}
        self._heap: list[int] = []

    def add(self, run: Run) -> None:
        """Remember a run by its deadline."""
        span = run.deadline >> _SHIFT
        found = self._spans.get(span)
        if found is None:
            self._spans[span] = [run]
            heapq.heappush(self._heap, span)
        else:
            found.append(run)

    def due(self, watermark: int) -> list[Run]:
        """Live runs whose deadline the watermark has reached; they are forgotten."""
        found: list[Run] = []
        last = watermark >> _SHIFT
        while self._heap and self._heap[0] <= last:
            span = heapq.heappop(self._heap)
            for run in self._spans.pop(span):
                if run.state is None:
                    continue
                if run.deadline <= watermark:
                    found.append(run)
                else:
                    self.add(run)
            if span == last:
                break
        return found

    @property
    def next(self) -> int | None:
        """The least deadline of a live run; None without any."""
        while self._heap:
            span = self._heap[0]
            live = [run for run in self._spans[span] if run.state is not None]
            if found := [run.deadline for run in live if run.deadline >> _SHIFT <= span]:
                return min(found)
            heapq.heappop(self._heap)
            del self._spans[span]
            for run in live:  # their deadlines moved
                self.add(run)
        return None

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._spans.values())


class KeyTimers:
    """Keys by the time after which none of their light partial matches is left."""

    def __init__(self) -> None:
        self._spans: dict[int, list[Keyed]] = {}
        self._heap: list[int] = []

    def add(self, keyed: Keyed) -> None:
        """Remember a key by its `until`."""
        span = keyed.until >> _SHIFT
        if span not in self._spans:
            self._spans[span] = []
            heapq.heappush(self._heap, span)
        self._spans[span].append(keyed)

    def due(self, watermark: int) -> list[Keyed]:
        """Keys whose time has come; they are forgotten."""
        found: list[Keyed] = []
        last = watermark >> _SHIFT
        while self._heap and self._heap[0] <= last:
            span = heapq.heappop(self._heap)
            for keyed in self._spans.pop(span):
                if keyed.until <= watermark:
                    found.append(keyed)
                else:
                    self.add(keyed)
            if span == last:
                break
        return found
