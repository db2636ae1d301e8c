"""Counts and latencies of one host process, and their text for Prometheus."""

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

    def answered(self, algorithm: str, lineage: str, publication: int, seconds: Mapping[str, float]) -> None:
        """Count an answer with its seconds by stage; `total` feeds the quantiles."""
        with self._lock:
            self._counts["answers"] += 1
            self._versions[algorithm, lineage, publication] += 1
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
                "traffic": [
                    {"algorithm": a, "lineage": lineage, "publication": p, "answers": n}
                    for (a, lineage, p), n in sorted(self._versions.items())
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


def _quantile(values: list[float], q: float) -> float | None:
    if not values:
        return None
    return round(values[min(len(values) - 1, int(q * len(values)))] * 1000, 3)


def prometheus(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """Prometheus' text format of the statuses of all host processes, by name `host/<boot>`.

    One port is shared by several processes, so whichever answers a scrape tells about all of them.
    """
    lines: list[str] = []
    _family(lines, "saima_host_events_total", "counter", "Events of a host process, by kind.")
    for name, status in statuses.items():
        for kind, value in sorted(status.get("counts", {}).items()):
            lines.append(_line("saima_host_events_total", value, host=_boot(name), kind=kind))
    _family(lines, "saima_host_epoch", "gauge", "Epoch of the deployment in force.")
    for name, status in statuses.items():
        lines.append(_line("saima_host_epoch", status.get("epoch", 0), host=_boot(name)))
    _family(lines, "saima_answers_total", "counter", "Answers by version.")
    for name, status in statuses.items():
        for row in status.get("traffic", []):
            labels = {key: str(row[key]) for key in ("algorithm", "lineage", "publication")}
            lines.append(_line("saima_answers_total", row["answers"], host=_boot(name), **labels))
    _family(lines, "saima_degraded_total", "counter", "Degraded answers by reason: a table or aggregate, a fallback.")
    for name, status in statuses.items():
        for row in status.get("degraded", []):
            labels = {key: str(row[key]) for key in ("algorithm", "reason")}
            lines.append(_line("saima_degraded_total", row["answers"], host=_boot(name), **labels))
    _faults(lines, statuses)
    _caches(lines, statuses)
    _family(lines, "saima_seconds", "histogram", "Seconds of a request, by algorithm and stage.")
    for name, status in statuses.items():
        for row in status.get("histograms", []):
            _histogram(lines, row, {"host": _boot(name), "algorithm": row["algorithm"], "stage": row["stage"]})
    return "\n".join(lines) + "\n"


def _caches(lines: list[str], statuses: Mapping[str, Mapping[str, Any]]) -> None:
    """Look-ups by result and sizes of the feature caches; what several algorithms share is shown under each."""
    rows = [(_boot(name), row) for name, status in statuses.items() for row in status.get("caches", [])]
    _family(lines, "saima_feature_cache_total", "counter", "Keys looked up in a cache of features, by result.")
    for host, row in rows:
        for result, value in sorted(row["results"].items()):
            labels = {"host": host, "algorithm": row["algorithm"], "table": row["table"], "result": result}
            lines.append(_line("saima_feature_cache_total", value, **labels))
    for size, unit in (("entries", "Keys"), ("bytes", "Bytes of the packed values")):
        _family(lines, f"saima_feature_cache_{size}", "gauge", f"{unit} held in a cache of features.")
        for host, row in rows:
            labels = {"host": host, "algorithm": row["algorithm"], "table": row["table"]}
            lines.append(_line(f"saima_feature_cache_{size}", row[size], **labels))


def _faults(lines: list[str], statuses: Mapping[str, Mapping[str, Any]]) -> None:
    what = "Results outside an operator's domain and failed casts, by feature, among the rows looked at."
    _family(lines, "saima_feature_faults_total", "counter", what)
    for name, status in statuses.items():
        for row in status.get("faults", []):
            labels = {key: str(row[key]) for key in ("algorithm", "feature")}
            lines.append(_line("saima_feature_faults_total", row["faults"], host=_boot(name), **labels))
    _family(
        lines,
        "saima_feature_rows_total",
        "counter",
        "Rows that were looked at for faults.",
    )
    for name, status in statuses.items():
        for row in status.get("looked", []):
            lines.append(
                _line("saima_feature_rows_total", row["rows"], host=_boot(name), algorithm=str(row["algorithm"]))
            )


def _histogram(lines: list[str], row: Mapping[str, Any], labels: dict[str, str]) -> None:
    total = 0
    for bound, value in zip([*map(str, BOUNDS), "+Inf"], row["buckets"], strict=True):
        total += value
        lines.append(_line("saima_seconds_bucket", total, **labels, le=bound))
    lines.append(_line("saima_seconds_sum", row["sum"], **labels))
    lines.append(_line("saima_seconds_count", total, **labels))


def _family(lines: list[str], name: str, kind: str, description: str) -> None:
    lines.extend((f"# HELP {name} {description}", f"# TYPE {name} {kind}"))


def _line(name: str, value: float, **labels: str) -> str:
    text = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
    return f"{name}{{{text}}} {value}"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _boot(name: str) -> str:
    return name.rpartition("/")[2]
