"""The sample join: predictions and what happened, by trace and item, in event time.

`Join` is the pure engine: calls in any order within the lateness give the same rows and counts.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from saima.streams.lateness import BEGINNING
from saima.streams.pending import Pending
from saima.streams.schemes import JoinSpec, Label, Row

COUNTERS = ("late", "orphan", "duplicate", "excluded", "unlabelled", "unexposed", "samples", "predictions", "pending")
HELD = 20_000
"""Traces that are kept unpacked after a commit."""

Fetch = Callable[[Sequence[str]], Sequence[bytes | None]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of the join: `index` is the candidate's place among the kept ones, `record` the snapshot's JSON."""

    trace: str
    item: str
    index: int
    row: Row
    record: bytes


@dataclass
class Counters:
    """Counts since the beginning; `pending` is the number of predictions that can still make a sample."""

    values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    def add(self, name: str, n: int = 1) -> None:
        """Count n more."""
        self.values[name] += n


class Join:
    """One algorithm's join. `fetch` reads packed traces that an earlier commit stored."""

    def __init__(self, spec: JoinSpec, fetch: Fetch = lambda keys: [None] * len(keys)) -> None:
        self.spec = spec
        self.counters = Counters()
        self.watermark = BEGINNING
        self._fetch = fetch
        self._traces: dict[str, Pending | None] = {}
        self._dirty: dict[str, None] = {}
        self._moments: list[tuple[int, str]] = []

    def prefetch(self, traces: Iterable[str]) -> None:
        """Read traces that the next calls will touch, in one go."""
        missing = [trace for trace in dict.fromkeys(traces) if trace not in self._traces]
        for trace, packed in zip(missing, self._fetch(missing), strict=True):
            self._traces[trace] = None if packed is None else Pending.unpack(packed)

    def predict(
        self,
        trace: str,
        time: int,
        record: bytes,
        items: Sequence[str] = ("",),
        attempt: int = 1,
        excluded: bool = False,
    ) -> list[Sample]:
        """Take in a prediction; of several of one trace the earliest (time, attempt) counts, others are duplicates."""
        pending = self._get(trace)
        if pending is not None and pending.time is not None:
            self.counters.add("duplicate")
            earlier = (time, attempt) < (pending.time, pending.attempt)
            if not earlier or pending.made or pending.closed or pending.excluded or excluded:
                return []
            pending.time, pending.attempt, pending.items, pending.record = time, attempt, tuple(items), record
        elif time + self.spec.attribution < self.watermark:
            self.counters.add("late")
            return []
        else:
            pending = pending or Pending()
            pending.time, pending.attempt, pending.items, pending.record = time, attempt, tuple(items), record
            pending.excluded = excluded
            self.counters.add("predictions")
            self.counters.add("excluded" if excluded else "pending")
        if excluded:
            pending.record, pending.labels, pending.exposures = b"", {}, {}
        for item in list(pending.labels):
            self._settle(pending, item)
        return self._touch(trace, pending)

    def label(self, trace: str, label: Label, item: str = "") -> list[Sample]:
        """Take in a label that is neither late nor a duplicate; without its prediction it waits for it."""
        pending = self._get(trace) or Pending()
        if pending.excluded:
            return []
        pending.labels.setdefault(item, []).append(label)
        if pending.time is not None:
            self._settle(pending, item)
        return self._touch(trace, pending)

    def expose(self, trace: str, time: int, item: str = "") -> list[Sample]:
        """Take in an exposure of a candidate: of those at most the attribution before its prediction, the earliest."""
        pending = self._get(trace) or Pending()
        if pending.excluded or pending.closed:
            return []
        times = pending.exposures.setdefault(item, [])
        if time not in times:
            insort(times, time)
        return self._touch(trace, pending)

    def advance(self, watermark: int) -> list[Sample]:
        """Emit every row whose moment is below the watermark, close what is over, count what never came."""
        self.watermark = max(self.watermark, watermark)
        emitted: list[Sample] = []
        while self._moments and self._moments[0][0] < self.watermark:
            _, trace = heapq.heappop(self._moments)
            pending = self._get(trace)
            if pending is not None:
                emitted += self._touch(trace, pending)
        return emitted

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Traces that changed since the last call; beyond HELD they are read again through `fetch` afterwards."""
        changed = []
        for trace in self._dirty:
            pending = self._traces[trace]
            changed.append((trace, None if pending is None else pending.pack()))
        self._dirty.clear()
        if len(self._traces) > HELD:
            self._traces.clear()
        return changed

    def restore(self, items: Iterable[tuple[str, bytes]], counters: dict[str, int], watermark: int) -> None:
        """Continue from stored traces: only their next moments are held in memory."""
        self.counters.values.update(counters)
        self.watermark = watermark
        for trace, packed in items:
            pending = Pending.unpack(packed)
            moment = pending.next_moment(self.spec, pending.plan(self.spec))
            if moment is not None:
                self._moments.append((moment, trace))
        heapq.heapify(self._moments)

    def _get(self, trace: str) -> Pending | None:
        if trace not in self._traces:
            self.prefetch([trace])
        return self._traces[trace]

    def _settle(self, pending: Pending, item: str) -> None:
        """Drop the labels of an item that cannot belong to the prediction, counted."""
        assert pending.time is not None
        end = pending.time + self.spec.attribution
        kept = []
        for label in pending.labels[item]:
            if label.time > end:
                self.counters.add("late")
            elif label.time < pending.time:
                self.counters.add("orphan")
            else:
                kept.append(label)
        if kept and not pending.closed:
            pending.labels[item] = kept
        else:
            del pending.labels[item]

    def _touch(self, trace: str, pending: Pending) -> list[Sample]:
        """Emit what is due, move the trace to its next state, and remember its next moment."""
        spec = self.spec
        self._traces[trace] = pending
        self._dirty[trace] = None
        plan = pending.plan(spec)
        emitted = [
            Sample(trace, item, index, row, pending.record)
            for index, item, row in pending.due(spec, self.watermark, plan)
        ]
        for sample in emitted:
            pending.made[sample.item] = pending.made.get(sample.item, 0) + 1
        self.counters.add("samples", len(emitted))
        if pending.time is None:
            self._expire(trace, pending)
        elif pending.closed:
            if pending.time + 2 * spec.attribution < self.watermark:
                self._traces[trace] = None
                return emitted
        elif self._over(pending):
            self._close(pending)
        moment = pending.next_moment(spec, plan)
        if moment is not None and self._traces[trace] is not None:
            heapq.heappush(self._moments, (moment, trace))
        return emitted

    def _over(self, pending: Pending) -> bool:
        assert pending.time is not None
        if pending.time + self.spec.attribution < self.watermark:
            return True
        return self.spec.scheme == "once" and len(pending.made) == len(pending.items)

    def _close(self, pending: Pending) -> None:
        """Nothing more can come of the trace: keep a stub, so that what follows is counted for what it is."""
        assert pending.time is not None
        end = pending.time + self.spec.attribution
        if not pending.excluded:
            self.counters.add("pending", -1)
            for item in pending.items:
                if pending.made.get(item):
                    continue
                shown = pending.exposed(self.spec, item)
                exposed = not self.spec.exposed or (shown is not None and shown <= end)
                self.counters.add("unlabelled" if exposed else "unexposed")
        pending.closed = True
        pending.record, pending.labels, pending.exposures, pending.made = b"", {}, {}, {}

    def _expire(self, trace: str, pending: Pending) -> None:
        """Count held labels whose prediction can no longer come."""
        for item, labels in list(pending.labels.items()):
            kept = [label for label in labels if label.time + self.spec.attribution >= self.watermark]
            self.counters.add("orphan", len(labels) - len(kept))
            if kept:
                pending.labels[item] = kept
            else:
                del pending.labels[item]
        oldest = self.watermark - self.spec.attribution
        held = {item: [time for time in times if time >= oldest] for item, times in pending.exposures.items()}
        pending.exposures = {item: times for item, times in held.items() if times}
        if not pending.labels and not pending.exposures:
            self._traces[trace] = None
