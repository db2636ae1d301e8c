"""Replay: recorded requests through any bundle, bit for bit against the one that answered, or with differences told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.features.backfill import gather
from saima.features.parity import logged, request_rows
from saima.host.bundle import Bundle
from saima.host.decide import rank
from saima.host.recorded import RecordedChannel

TOP = 10
"""Candidates whose overlap is measured where the algorithm declares no top_k."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replayed:
    """One request: candidates, recorded and replayed scores (float64 [n], NaN where there is none), ms of scoring."""

    trace: str
    items: tuple[str, ...]
    recorded: np.ndarray
    replayed: np.ndarray
    milliseconds: float

    @property
    def equal(self) -> bool:
        """Whether every score has the same bits (one that is no number equals another)."""
        return bool(np.array_equal(self.recorded, self.replayed, equal_nan=True))


@dataclass
class Differences:
    """What a replay found.

    requests, candidates: replayed; exact: requests of which every score has the same bits; largest: greatest
    difference of two scores, and the trace and item where it is; overlap, tau: by request with several candidates,
    the share of the best `top` that both rank there and Kendall's tau-b of the scores; skipped: records not replayed,
    by reason; milliseconds: of scoring, by request; worst: requests that differ most.
    """

    top: int
    requests: int = 0
    candidates: int = 0
    exact: int = 0
    largest: float = 0.0
    where: str = ""
    overlap: list[float] = field(default_factory=list)
    tau: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    worst: list[tuple[float, str]] = field(default_factory=list)

    def add(self, one: Replayed) -> None:
        """Take one request in."""
        self.requests += 1
        self.candidates += len(one.recorded)
        self.exact += one.equal
        self.milliseconds.append(one.milliseconds)
        gap = np.abs(one.recorded - one.replayed)
        gap[np.isnan(one.recorded) & np.isnan(one.replayed)] = 0.0
        gap[np.isnan(gap)] = math.inf  # a number became none, or none one
        place = int(gap.argmax())
        if gap[place] > self.largest:
            self.largest = float(gap[place])
            self.where = f"{one.trace} {one.items[place] if one.items else ''}".strip()
        if gap[place] > 0:
            self.worst = sorted([*self.worst, (float(gap[place]), one.trace)], reverse=True)[:10]
        if len(one.recorded) > 1:
            best = [set(rank(scores, self.top)) for scores in (one.recorded, one.replayed)]
            self.overlap.append(len(best[0] & best[1]) / len(best[0]))
            self.tau.append(kendall_tau(one.recorded, one.replayed))

    def document(self) -> dict[str, Any]:
        """Everything as JSON data."""
        ordered = sorted(self.milliseconds)
        return {
            "requests": self.requests,
            "candidates": self.candidates,
            "exact": self.exact,
            "largest_difference": self.largest if math.isfinite(self.largest) else "a number became none",
            "where": self.where,
            "top": self.top,
            "top_overlap": _mean(self.overlap),
            "kendall_tau": _mean(self.tau),
            "scoring_ms": {
                name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3)
                for name, q in (("p50", 0.5), ("p99", 0.99))
            }
            if ordered
            else {},
            "skipped": dict(self.skipped),
            "worst": [{"trace": trace, "difference": gap} for gap, trace in self.worst],
        }


def replay(
    bundle: Bundle, records: Iterable[Record], events: Mapping[str, pl.LazyFrame] | None = None
) -> Iterator[Replayed | str]:
    """Each record's request answered by the bundle, or why it cannot be.

    A record that was kept whole, by a bundle of the same features, is answered from its recorded features: all that the
    answer was read from. With `events` (event tables by topic) a bundle of other features gets its own, computed as of
    the recorded position; its preprocessing is given what the recorded one read. Nothing is written anywhere.
    """
    algorithm = bundle.algorithm
    names = list(algorithm.plan.features)
    for record in records:
        reason = _unfit(record, algorithm.name)
        own = not reason and list(record["features"]) != names
        if own and events is None:
            reason = "recorded with other features"
        if reason:
            yield reason
            continue
        frame = _recomputed(bundle, record, events or {}) if own else _recorded(bundle, record)
        known = {
            name: value for name, value in record["parameters"].items() if name in algorithm.declaration.parameters
        }
        begun = perf_counter()
        scores = bundle.score(frame, known).score
        took = (perf_counter() - begun) * 1000
        items = tuple(str(item["item_id"]) for item in record["items"])
        yield Replayed(str(record["trace"]), items, _numbers(record["scores"]), _finite(scores), took)


def differences(
    bundle: Bundle, records: Iterable[Record], events: Mapping[str, pl.LazyFrame] | None = None
) -> Differences:
    """The report over all records. See `replay`."""
    found = Differences(bundle.algorithm.declaration.top_k or TOP)
    for one in replay(bundle, records, events):
        if isinstance(one, str):
            found.skipped[one] += 1
        else:
            found.add(one)
    return found


def kendall_tau(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    """Kendall's tau-b of two lists of scores; NaN counts as the least. 1.0 where neither orders anything.

    >>> kendall_tau([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    0.3333333333333333
    """
    ranks = [np.where(np.isnan(values), -np.inf, values) for values in (np.asarray(first), np.asarray(second))]
    upper = np.triu_indices(len(ranks[0]), 1)
    signs = [np.sign(np.greater.outer(one, one).astype(np.int8) - np.less.outer(one, one).astype(np.int8))[upper]
             for one in ranks]  # fmt: skip
    ordered = [np.count_nonzero(sign) for sign in signs]
    if not all(ordered):
        return 1.0 if ordered[0] == ordered[1] else 0.0
    return float(np.dot(signs[0].astype(np.int64), signs[1].astype(np.int64)) / math.sqrt(ordered[0] * ordered[1]))


def _unfit(record: Record, algorithm: str) -> str:
    if record.get("algorithm") != algorithm:
        return "another algorithm"
    if record.get("shadow"):
        return "shadow"
    if not record.get("whole"):
        return "not kept whole"
    if any(str(reason).startswith("fallback:") for reason in record.get("degraded", [])) or not record.get("features"):
        return "answered by a fallback"
    return ""


def _recorded(bundle: Bundle, record: Record) -> pl.DataFrame:
    plan = bundle.algorithm.plan
    return pl.DataFrame([logged(name, record["features"][name], dtype.polars) for name, dtype in plan.features.items()])


def _recomputed(bundle: Bundle, record: Record, events: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    algorithm = bundle.algorithm
    asked: dict[str, Any] = {"request": record["request"], "user": record["user"], "items": record["items"] or None}
    if bundle.preprocess:
        asked = bundle.preprocess(asked, RecordedChannel(algorithm.declaration, record.get("channel", [])))
    if not record["position"]:
        raise SaimaError(
            f"journal: trace '{record['trace']}' was answered without a position; nothing can be read anew"
        )
    rows = request_rows(algorithm, [{**record, **asked, "items": asked["items"] or []}])
    return algorithm.plan.evaluate(gather(algorithm, rows, events).frame)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 6) if values else None
