"""Parity: logged features recomputed from the event tables as of the logged positions, and compared bit by bit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.features.backfill import Gathered, gather
from saima.features.needs import Declared, table_needs, window_needs
from saima.features.online.gathered import Version
from saima.features.requests import Fields

TOLERANCE = 1e-9
"""Relative difference that features over `exact: false` measures may have (1e-6 where they are float32)."""


@dataclass(frozen=True)
class FeatureParity:
    """One feature: rows compared; those whose values differ, among them `missing` in the log and `extra` there.

    `largest` is the greatest absolute difference of numbers; `exact` False means compared within TOLERANCE.
    """

    rows: int
    mismatches: int
    missing: int
    extra: int
    largest: float
    exact: bool


@dataclass(frozen=True)
class ParityReport:
    """Logged against recomputed features.

    rows: rows compared; features: columns; mismatches: values that differ, with `missing` (recomputed, not logged) and
    `extra` (logged, not recomputed) among them. largest: greatest difference by feature. staleness_ms: p50, p99, max of
    how far the position read was behind every event before q. versions: rows of tables whose logged version differs.
    skipped: records not compared, by reason. older: by table that is cached with a ttl, rows that read another version
    than the position holds; their features are recomputed from the version that they logged.
    """

    rows: int
    features: int
    mismatches: int
    missing: int
    extra: int
    largest: dict[str, float]
    staleness_ms: dict[str, float]
    by_feature: dict[str, FeatureParity]
    versions: int
    skipped: dict[str, int]
    older: dict[str, int] = field(default_factory=dict)


def check(
    algorithm: Declared, journal: pl.DataFrame | Iterable[Mapping[str, Any]], events: Mapping[str, pl.LazyFrame]
) -> ParityReport:
    """Compare logged features with those recomputed as of the logged positions.

    journal: a frame with the column `record` (JSON text), or the records. events: event tables by topic. Snapshots that
    were not kept whole, that are degraded, or that another declaration made are counted as skipped.
    """
    texts = journal.get_column("record").to_list() if isinstance(journal, pl.DataFrame) else journal
    records: list[Mapping[str, Any]] = []
    skipped: dict[str, int] = {}
    for text in texts:
        record = json.loads(text) if isinstance(text, str | bytes) else text
        reason = _unfit(record, algorithm)
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
        else:
            records.append(record)
    if not records:
        return ParityReport(0, len(algorithm.plan.features), 0, 0, 0, {}, {}, {}, 0, skipped)
    rows = request_rows(algorithm, records)
    read = logged_versions(algorithm, records)
    lagging = {need.name: read[need.name] for need in table_needs(algorithm) if need.read.may_lag}
    gathered = gather(algorithm, rows, events, lagging)
    recomputed = algorithm.plan.evaluate(gathered.frame)
    inexact = inexact_features(algorithm)
    by_feature = {}
    for name in algorithm.plan.features:
        series = recomputed.get_column(name)
        values = [value for record in records for value in record["features"][name]]
        by_feature[name] = compare(logged(name, values, series.dtype), series, name not in inexact)
    return ParityReport(
        rows=rows.height,
        features=len(by_feature),
        mismatches=sum(found.mismatches for found in by_feature.values()),
        missing=sum(found.missing for found in by_feature.values()),
        extra=sum(found.extra for found in by_feature.values()),
        largest={name: found.largest for name, found in by_feature.items()},
        staleness_ms=staleness(algorithm, records, events),
        by_feature=by_feature,
        versions=_versions(algorithm, rows, read, gathered),
        skipped=skipped,
        older={name: int((gathered.versions[name][1] != at).sum()) for name, at in gathered.ideal.items()},
    )


def request_rows(algorithm: Declared, records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """One row a kept candidate: the request's columns by input name, `time`, `position`, and `positions` by shard."""
    fields = Fields(algorithm.declaration.request)
    rows = []
    for record in records:
        shared = {**fields.row("request", record["request"]), **fields.row("user", record.get("user"))}
        shared |= {"time": record["time"], "position": record["position"]["0"], "positions": record.get("positions")}
        if algorithm.declaration.request.items is None:
            rows.append(shared)
        else:
            rows += [{**shared, **fields.row("item", record["items"][place])} for place in record["kept"]]
    types = {name: pl.Int64() if dtype.name == "timestamp" else dtype.polars for name, dtype in fields.types.items()}
    at = {"time": pl.Int64(), "position": pl.Int64(), "positions": pl.List(pl.Int64())}
    return pl.from_dicts(rows, schema=pl.Schema({**types, **at}))


def logged(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Logged JSON values in the feature's type; a float32 reads back as the same float32."""
    if dtype.is_temporal():
        return pl.Series(name, values, dtype=pl.Int64).cast(dtype)
    return pl.Series(name, values, dtype=dtype, strict=False)


def compare(log: pl.Series, recomputed: pl.Series, exact: bool) -> FeatureParity:
    """Compare a logged column with the recomputed one; NaN and infinities count as missing, as the log has them."""
    if recomputed.dtype.is_float():
        log, recomputed = (s.set(~s.is_finite().fill_null(True), None) for s in (log, recomputed))
    missing = int((log.is_null() & recomputed.is_not_null()).sum())
    extra = int((log.is_not_null() & recomputed.is_null()).sum())
    different = ~log.eq_missing(recomputed)
    largest = 0.0
    if log.dtype.is_numeric():
        gap = (log.cast(pl.Float64) - recomputed.cast(pl.Float64)).abs().fill_null(0.0)
        largest = float(gap.to_numpy().max(initial=0.0))
        if not exact:
            bound = (TOLERANCE if log.dtype != pl.Float32() else 1e-6) * recomputed.cast(pl.Float64).abs().clip(1.0)
            within = (gap <= bound.fill_null(0.0)) & log.is_not_null() & recomputed.is_not_null()
            different = different & ~within
    return FeatureParity(len(log), int(different.sum()), missing, extra, largest, exact)


def inexact_features(algorithm: Declared) -> set[str]:
    """Features that read a measure declared `exact: false`."""
    columns = {ask.column for need in window_needs(algorithm) if not need.read.exact for ask in need.asks}
    return {name for name, inputs in algorithm.plan.lineage.items() if columns.intersection(inputs)}


def staleness(
    algorithm: Declared, records: Sequence[Mapping[str, Any]], events: Mapping[str, pl.LazyFrame]
) -> dict[str, float]:
    """p50, p99 and max over the records of q minus the time of the oldest event before q that had not been read, ms."""
    topics = {need.read.rows.source for need in table_needs(algorithm)}
    topics |= {need.read.group.source for need in window_needs(algorithm)}
    frames = []
    for topic in sorted(topics):
        known = events[topic].collect_schema().names()
        frame = events[topic].filter(~pl.col("late")) if "late" in known else events[topic]
        if "offset" in known:
            frames.append(frame.select("offset", "time").filter(pl.col("offset") > 0).collect())
    q = np.array([record["time"] for record in records], np.int64)
    behind = np.zeros(len(q), np.int64)
    rows = pl.concat(frames).sort("offset") if frames else pl.DataFrame()
    if rows.height:
        position = np.array([record["position"]["0"] for record in records], np.int64)
        oldest = np.minimum.accumulate(rows.get_column("time").to_numpy()[::-1])[::-1]
        oldest = np.append(oldest, np.iinfo(np.int64).max)
        unread = oldest[np.searchsorted(rows.get_column("offset").to_numpy(), position, side="right")]
        behind = np.where(unread < q, q - np.minimum(unread, q), 0)
    p50, p99 = np.quantile(behind, [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99), "max": float(behind.max())}


def _unfit(record: Mapping[str, Any], algorithm: Declared) -> str:
    """Why a record cannot be compared, or nothing."""
    if record.get("degraded"):
        return "degraded"
    if not record.get("whole"):
        return "not whole"
    if not record.get("position") or list(record.get("features", {})) != list(algorithm.plan.features):
        return "another declaration" if record.get("position") else "no position"
    return ""


def logged_versions(algorithm: Declared, records: Sequence[Mapping[str, Any]]) -> dict[str, list[Version | None]]:
    """By table the versions that the rows of `request_rows` logged."""
    found: dict[str, list[Version | None]] = {}
    for need in table_needs(algorithm):
        versions = found[need.name] = []
        for record in records:
            held = record["rows"].get(need.name)
            if held is None:
                raise SaimaError(f"journal: trace '{record.get('trace')}' logs no versions of table '{need.name}'")
            kept = len(record["kept"]) if algorithm.declaration.request.items is not None else 1
            versions += held if len(held) == kept else held * kept
    return found


def _versions(
    algorithm: Declared, rows: pl.DataFrame, read: Mapping[str, Sequence[Version | None]], gathered: Gathered
) -> int:
    """How many logged row versions differ from the recomputed ones; of a table that may lag, how many could not be."""
    differ = 0
    q = rows.get_column("time").to_list()
    for need in table_needs(algorithm):
        history, at = gathered.versions[need.name]
        ttl = need.read.ttl
        for place, (version, time) in enumerate(zip(read[need.name], q, strict=True)):
            if need.read.may_lag:
                differ += int(at[place]) == -2 or (version is not None and not _holds(version, time, ttl))
            else:
                differ += version != history.version(int(at[place]))
    return differ


def _holds(version: Version, q: int, ttl: int | None) -> bool:
    """Whether a row of this version may be read at q."""
    valid_from, known_at = version[0], version[1]
    assert valid_from is not None
    return valid_from <= q and (known_at is None or known_at <= q) and (ttl is None or valid_from >= q - ttl)
