"""Counts and latencies of one host process."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the latency histogram, seconds."""

STAGES = ("extract", "score", "total")


class Meter:
    """Counters by name, answers by version, latency histograms by algorithm and stage; quantiles of the newest."""

    def __init__(self, newest: int = 2048) -> None:
        self._counts: Counter[str] = Counter()
        self._versions: Counter[tuple[str, str, int]] = Counter()
        self._spent: dict[tuple[str, str, int], float] = {}
        self._erred: Counter[tuple[str, str, int]] = Counter()
        self._turned: Counter[tuple[str, str, int]] = Counter()
        self._lacking: Counter[tuple[str, str, int]] = Counter()
        self._took: dict[tuple[str, str, int], list[int]] = {}
        self._degraded: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[tuple[str, str]] = Counter()
        self._looked: Counter[str] = Counter()
        self._stages: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}
        self._newest: deque[float] = deque(maxlen=newest)
        self._lock = threading.Lock()

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += by

    def degraded(self, algorithm: str, reasons: Iterable[str]) -> None:
        """Count a degraded answer, and each reason: the name of a table or aggregate, `score`, a fallback."""
        with self._lock:
            self._counts["degraded"] += 1
            for reason in reasons:
                self._degraded[algorithm, reason] += 1

    def faults(self, algorithm: str, rows: int, found: Mapping[str, int]) -> None:
        """Count results outside an operator's domain, by feature, in rows that were looked at."""
        with self._lock:
            self._looked[algorithm] += rows
            for feature, count in found.items():
                self._faults[algorithm, feature] += count

    def erred(self, algorithm: str, lineage: str, publication: int) -> None:
        """Count a version that could not answer."""
        with self._lock:
            self._counts["errors"] += 1
            self._erred[algorithm, lineage, publication] += 1

    def turned_away(self, algorithm: str, lineage: str, publication: int) -> None:
        """Count a request that was refused, or that expired, because of a version: it held the lane."""
        with self._lock:
            self._turned[algorithm, lineage, publication] += 1

    def answered(
        self, algorithm: str, lineage: str, publication: int, seconds: Mapping[str, float], degraded: bool = False
    ) -> None:
        """Count an answer with its seconds by stage; `total` feeds the quantiles."""
        with self._lock:
            self._counts["answers"] += 1
            version = (algorithm, lineage, publication)
            self._versions[version] += 1
            self._spent[version] = self._spent.get(version, 0.0) + seconds["total"]
            self._lacking[version] += degraded
            took = self._took.setdefault(version, [0] * (len(BOUNDS) + 1))
            took[bisect_left(BOUNDS, seconds["total"])] += 1
            self._newest.append(seconds["total"])
            for stage, value in seconds.items():
                key = (algorithm, stage)
                histogram = self._stages.setdefault(key, [0] * (len(BOUNDS) + 1))
                histogram[bisect_left(BOUNDS, value)] += 1
                self._sums[key] = self._sums.get(key, 0.0) + value

    def snapshot(self) -> dict[str, Any]:
        """Counts, traffic by version, latency quantiles in ms, and the histograms, as JSON data."""
        with self._lock:
            newest = sorted(self._newest)
            return {
                "counts": dict(self._counts),
                "bounds": list(BOUNDS),
                "traffic": [
                    self._traffic(version) for version in sorted({*self._versions, *self._erred, *self._turned})
                ],
                "degraded": [
                    {"algorithm": a, "reason": reason, "answers": n}
                    for (a, reason), n in sorted(self._degraded.items())
                ],
                "faults": [
                    {"algorithm": a, "feature": feature, "faults": n}
                    for (a, feature), n in sorted(self._faults.items())
                ],
                "looked": [{"algorithm": a, "rows": n} for a, n in sorted(self._looked.items())],
                "latency": {"p50": _quantile(newest, 0.5), "p99": _quantile(newest, 0.99), "n": len(newest)},
                "histograms": [
                    {"algorithm": a, "stage": s, "buckets": list(buckets), "sum": self._sums[a, s]}
                    for (a, s), buckets in sorted(self._stages.items())
                ],
            }

    def _traffic(self, version: tuple[str, str, int]) -> dict[str, Any]:
        algorithm, lineage, publication = version
        return {
            "algorithm": algorithm,
            "lineage": lineage,
            "publication": publication,
            "answers": self._versions[version],
            "seconds": self._spent.get(version, 0.0),
            "errors": self._erred[version],
            "rejected": self._turned[version],
            "degraded": self._lacking[version],
            "buckets": list(self._took.get(version, [])),
        }


def _quantile(values: list[float], q: float) -> float | None:
    if not values:
        return None
    return round(values[min(len(values) - 1, int(q * len(values)))] * 1000, 3)
