"""Prometheus' text of the statuses of all host processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.host.meter import BOUNDS


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
    _family(lines, "saima_answer_seconds_total", "counter", "Seconds of the answers by version.")
    for name, status in statuses.items():
        for row in status.get("traffic", []):
            labels = {key: str(row[key]) for key in ("algorithm", "lineage", "publication")}
            lines.append(_line("saima_answer_seconds_total", row.get("seconds", 0.0), host=_boot(name), **labels))
    _processes(lines, statuses)
    _slots(lines, statuses)
    _faults(lines, statuses)
    _caches(lines, statuses)
    _family(lines, "saima_seconds", "histogram", "Seconds of a request, by algorithm and stage.")
    for name, status in statuses.items():
        for row in status.get("histograms", []):
            _histogram(lines, row, {"host": _boot(name), "algorithm": row["algorithm"], "stage": row["stage"]})
    return "\n".join(lines) + "\n"


def _processes(lines: list[str], statuses: Mapping[str, Mapping[str, Any]]) -> None:
    """What a process journals, and whether something is wrong with it."""
    for kind, what in (
        ("journalled", "Answers whose record is in the spool."),
        ("dropped", "Answers whose record was dropped, as the disk or the log takes nothing."),
        ("drained", "Records, shadows' included, that have reached the log."),
    ):
        _family(lines, f"saima_{kind}_total", "counter", what)
        for name, status in statuses.items():
            lines.append(_line(f"saima_{kind}_total", status.get(kind, 0), host=_boot(name)))
    _family(lines, "saima_host_error", "gauge", "1 while the status shows an error: the deployment, log or disk.")
    for name, status in statuses.items():
        lines.append(_line("saima_host_error", int(bool(status.get("error"))), host=_boot(name)))
    for key, what in (("waiting", "Requests in an algorithm's queue."), ("size", "Size of the queue.")):
        _family(lines, f"saima_lane_{key}", "gauge", what)
        for name, status in statuses.items():
            for algorithm, lane in sorted(status.get("lanes", {}).items()):
                lines.append(_line(f"saima_lane_{key}", lane[key], host=_boot(name), algorithm=algorithm))
    _family(lines, "saima_breaker_open", "gauge", "1 for an algorithm whose circuit breaker is open.")
    for name, status in statuses.items():
        for algorithm in sorted(status.get("lanes", {})):
            is_open = int(algorithm in status.get("breakers", []))
            lines.append(_line("saima_breaker_open", is_open, host=_boot(name), algorithm=algorithm))


def _slots(lines: list[str], statuses: Mapping[str, Mapping[str, Any]]) -> None:
    _family(lines, "saima_slot", "gauge", "1 for the state of a version that a host process holds.")
    for name, status in statuses.items():
        for row in status.get("slots", []):
            labels = {key: str(row[key]) for key in ("algorithm", "lineage", "publication", "state")}
            lines.append(_line("saima_slot", 1, host=_boot(name), **labels))


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
