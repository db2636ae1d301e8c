"""What a worker tells about itself: rates, lag, how long an event takes to be visible."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saima.streams.lateness import BEGINNING, Clock

_KEPT = 20_000


class Meter:
    """Rows a second over the last `span` ms of wall clock, and visible latencies of the last 20,000 rows."""

    def __init__(self, span: int = 10_000) -> None:
        self._span = span
        self._lock = threading.Lock()
        self._commits: deque[tuple[int, int]] = deque()
        self._latencies: deque[NDArray[np.int64]] = deque()
        self._held = 0
        self._slowest: int | None = None

    def committed(self, now: int, appended: Sequence[NDArray[np.int64]]) -> None:
        """Rows became visible at `now`; `appended` holds when each had been appended to the log (wall ms)."""
        for times in appended:
            latencies = np.maximum(now - times, 0)
            with self._lock:
                self._commits.append((now, len(times)))
                self._latencies.append(latencies)
                self._held += len(times)
                self._slowest = max(self._slowest or 0, int(latencies.max()))
                while self._held - len(self._latencies[0]) >= _KEPT:
                    self._held -= len(self._latencies.popleft())

    def read(self, now: int) -> dict[str, Any]:
        """events_per_second, visible_p50_ms, visible_p99_ms, visible_max_ms (since the start); None without rows."""
        with self._lock:
            while self._commits and self._commits[0][0] < now - self._span:
                self._commits.popleft()
            rows = sum(count for _, count in self._commits)
            kept = list(self._latencies)
        p50, p99 = np.percentile(np.concatenate(kept), [50, 99]).tolist() if kept else (None, None)
        return {
            "events_per_second": round(rows * 1000 / self._span, 1),
            "visible_p50_ms": p50,
            "visible_p99_ms": p99,
            "visible_max_ms": self._slowest,
        }


def watermarks(clocks: Mapping[str, Clock]) -> dict[str, Any]:
    """`watermarks` by source that has seen an event, and the least of them as `watermark`, ms UTC."""
    seen = {topic: clock.watermark for topic, clock in sorted(clocks.items()) if clock.newest != BEGINNING}
    return {"watermark": min(seen.values(), default=None), "watermarks": seen}


def counts(own: Mapping[str, int], joins: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """`counts` of the worker and of its joins together, and those of each join by algorithm.

    A join's `late` (labels and predictions) is called `label_late` there, its `duplicate` (predictions of one trace)
    `again`: `late` and `duplicates` are those of events.
    """
    totals = dict(own)
    for counters in joins.values():
        for name, n in counters.items():
            known = {"late": "label_late", "duplicate": "again"}.get(name, name)
            totals[known] = totals.get(known, 0) + n
    return {"counts": totals, "algorithms": {name: dict(counters) for name, counters in joins.items()}}
