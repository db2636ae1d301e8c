"""What a worker tells about itself: rates, lag, how long an event takes to be visible."""

from __future__ import annotations

import threading
from collections import Counter, deque
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


def together(statuses: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the shards tell, by name, as one worker would tell it; {} of none.

    Position and watermark of the one that is furthest behind, the greatest lag and latencies, the outbox and the
    counts of all, and as `shards` how far each is.

    >>> one = {"position": {"0": 7}, "lag_events": 1, "outbox_rows": 2, "counts": {"samples": 3}}
    >>> two = {"position": {"0": 5}, "lag_events": 3, "outbox_rows": 0, "counts": {"samples": 4}}
    >>> both = together({"worker/0": one, "worker/1": two})
    >>> both["position"], both["lag_events"], both["outbox_rows"], both["counts"]
    ({'0': 5}, 3, 2, {'samples': 7})
    >>> both["shards"]["worker/1"]
    {'lag_events': 3, 'outbox_rows': 0}
    """
    if not statuses:
        return {}
    told = list(statuses.values())
    found = dict(told[0])
    found["position"] = {"0": min(int(one.get("position", {}).get("0", 0)) for one in told)}
    for name in ("lag_events", "visible_p50_ms", "visible_p99_ms", "visible_max_ms"):
        found[name] = max((one[name] for one in told if one.get(name) is not None), default=None)
    found["watermark"] = min((one["watermark"] for one in told if one.get("watermark") is not None), default=None)
    found["outbox_rows"] = sum(int(one.get("outbox_rows", 0)) for one in told)
    counts: Counter[str] = Counter()
    for one in told:
        counts.update(one.get("counts", {}))
    found["counts"] = dict(counts)
    shown = ("lag_events", "outbox_rows", "visible_p99_ms", "events_per_second")
    if found.get("rules"):
        found["rules"] = rules_together([one["rules"] for one in told if "rules" in one])
    found["shards"] = {name: {key: one[key] for key in shown if key in one} for name, one in statuses.items()}
    return found


def rules_together(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the shards tell of their rules as one worker would: all have the same rules and see the same events."""
    counters: Counter[str] = Counter()
    for one in told:
        counters.update(one["counters"])
    sums = {name: sum(one[name] for one in told) for name in ("matches", "late")}
    return {**told[0], **sums, "counters": dict(counters)}
