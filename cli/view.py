"""What the terminal shows, gathered from the registry, the client and the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cli.replay import Progress
from saima.errors import StoreError
from saima.stores.interfaces import Registry, Tables

_STALE_SECONDS = 5.0


@dataclass(frozen=True)
class Version:
    """A version in traffic: its share is of the predictions that the hosts have answered."""

    lineage: str
    publication: int
    state: str
    answered: int
    share: float


@dataclass(frozen=True)
class View:
    """One look at the running system. Times are ms UTC, latencies ms."""

    event_time: int
    events_per_second: float
    predictions_per_second: float
    lag_events: int
    visible_p99: float
    p50: float
    p99: float
    predictions: int
    failed: int
    samples: int
    versions: list[Version]
    errors: list[dict[str, Any]]
    last_retrain: dict[str, Any] | None
    retrains: int
    notices: list[str] = field(default_factory=list)


def look(
    registry: Registry,
    algorithm: str,
    progress: Progress,
    rates: tuple[float, float],
    notices: list[str],
    errors: list[dict[str, Any]],
) -> View:
    """Gather a view; `rates` are (events/s, predictions/s) over the last seconds."""
    from saima.worker.status import together  # the worker's package takes a second to import

    worker = together(registry.statuses("worker/"))
    since = (time.time() - _STALE_SECONDS) * 1000
    hosts = {name: host for name, host in registry.statuses("host/").items() if host["updated"] > since}
    retrains = [mark for mark in registry.marks("retrain") if mark.get("algorithm") == algorithm]
    recent = progress.recent()
    counts = worker.get("counts", {})
    return View(
        event_time=progress.time,
        events_per_second=rates[0],
        predictions_per_second=rates[1],
        lag_events=int(worker.get("lag_events") or 0),
        visible_p99=float(worker.get("visible_p99_ms", 0.0) or 0.0),
        p50=quantile(recent, 0.5),
        p99=quantile(recent, 0.99),
        predictions=progress.predictions,
        failed=progress.failed,
        samples=int(counts.get("samples", 0)),
        versions=_versions(hosts, algorithm),
        errors=errors,
        last_retrain=retrains[-1] if retrains else None,
        retrains=len(retrains),
        notices=notices[-4:],
    )


def errors_by_arm(tables: Tables, algorithm: str, days: list[str]) -> list[dict[str, Any]]:
    """Mean absolute error and rows by arm over the given days; [] before there are samples."""
    try:
        samples = tables.scan(f"{algorithm}/samples")
    except StoreError:
        return []
    return (
        samples.filter(pl.col("day").is_in(days), pl.col("offset") > 0)
        .group_by("arm")
        .agg(rows=pl.len(), mae=(pl.col("label") - pl.col("score")).abs().mean())
        .sort("arm")
        .collect()
        .to_dicts()
    )


def quantile(ascending: list[float], share: float) -> float:
    """Nearest-rank quantile of ascending values, 0 of none.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ascending:
        return 0.0
    return ascending[max(0, -(-int(share * 1000) * len(ascending) // 1000) - 1)]


def _versions(hosts: dict[str, dict[str, Any]], algorithm: str) -> list[Version]:
    """Versions that any living host holds; a version is as far as the host that is least far with it."""
    states: dict[tuple[str, int], list[str]] = {}
    answers: dict[tuple[str, int], int] = {}
    for slot in (slot for document in hosts.values() for slot in document.get("slots", [])):
        if slot["algorithm"] == algorithm:
            key = (slot["lineage"], slot["publication"])
            states.setdefault(key, []).append(slot["state"])
            answers[key] = answers.get(key, 0) + int(slot["answered"])
    total = sum(answers.values()) or 1
    return [
        Version(lineage, publication, min(found, key=_ORDER.index), answers[key], answers[key] / total)
        for key, found in sorted(states.items())
        for lineage, publication in [key]
    ]


_ORDER = ["error", "new", "loading", "draining", "gone", "ready", "standby", "routed"]
