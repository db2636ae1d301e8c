"""The sample join: predictions and what happened, by trace and item, in event time.

`Join` is the pure engine: calls in any order within the lateness give the same rows and counts. A trace has one
prediction for each part of its candidates. That the earliest of a part counts, and not the one that a caller used in
the end, is what makes this so: rows of an early one may be out before a later one is known.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from saima.streams.lateness import BEGINNING
from saima.streams.pending import Pending
from saima.streams.predicted import Predicted
from saima.streams.schemes import JoinSpec, Label, Row

COUNTERS = ("late", "orphan", "duplicate", "excluded", "unlabelled", "unexposed", "samples", "predictions", "pending")
HELD = 20_000
"""Traces that are kept unpacked after a commit."""

Fetch = Callable[[Sequence[str]], Sequence[bytes | None]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of the join: `index` is the candidate's place among its part's kept ones, `record` the part's JSON."""

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
        part: int = 0,
        parts: int = 1,
    ) -> list[Sample]:
        """Take in the prediction of one of so many parts; of several of one part the earliest (time, attempt) counts,
        others are duplicates."""
        pending = self._get(trace) or Pending()
        known = pending.parts.get(part)
        if known is not None:
            self.counters.add("duplicate")
            earlier = (time, attempt) < (known.time, known.attempt)
            if not earlier or known.made or known.closed or known.excluded or excluded:
                return []
        elif time + self.spec.attribution < self.watermark:
            self.counters.add("late")
            return []
        else:
            self.counters.add("predictions")
            self.counters.add("excluded" if excluded else "pending")
        one = Predicted(time, attempt, excluded, tuple(items), b"" if excluded else record)
        changed = pending.take(part, parts, one)
        for item in list(pending.exposures):
            holder = pending.holder(item)
            if holder is not None and (holder.excluded or holder.closed):
                del pending.exposures[item]
        for item in list(pending.labels):
            self._settle(pending, item)
        return self._touch(trace, pending, changed)

    def label(self, trace: str, label: Label, item: str = "") -> list[Sample]:
        """Take in a label that is neither late nor a duplicate; without its prediction it waits for it."""
        pending = self._get(trace) or Pending()
        one = pending.holder(item)
        if one is not None and one.excluded:
            return []
        pending.labels.setdefault(item, []).append(label)
        self._settle(pending, item)
        return self._touch(trace, pending, () if one is None else (one,))

    def expose(self, trace: str, time: int, item: str = "") -> list[Sample]:
        """Take in an exposure of a candidate: of those at most the attribution before its prediction, the earliest."""
        pending = self._get(trace) or Pending()
        one = pending.holder(item)
        if one is not None and (one.excluded or one.closed):
            return []
        times = pending.exposures.setdefault(item, [])
        if time not in times:
            insort(times, time)
        return self._touch(trace, pending, () if one is None else (one,))

    def advance(self, watermark: int) -> list[Sample]:
        """Emit every row whose moment is below the watermark, close what is over, count what never came."""
        self.watermark = max(self.watermark, watermark)
        emitted: list[Sample] = []
        while self._moments and self._moments[0][0] < self.watermark:
            _, trace = heapq.heappop(self._moments)
            pending = self._get(trace)
            if pending is not None:
                emitted += self._touch(trace, pending, tuple(pending.parts.values()))
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
            moment = pending.next_moment(self.spec)
            if moment is not None:
                self._moments.append((moment, trace))
        heapq.heapify(self._moments)

    def _get(self, trace: str) -> Pending | None:
        if trace not in self._traces:
            self.prefetch([trace])
        return self._traces[trace]

    def _settle(self, pending: Pending, item: str, last: bool = False) -> None:
        """Drop the labels of an item that cannot belong to the prediction that holds it, counted.

        last: those too that an earlier part, which has not come, could still have held.
        """
        one = pending.holder(item)
        if one is None:
            return
        end = one.time + self.spec.attribution
        last = last or pending.complete or one.closed
        kept = []
        for label in () if one.excluded else pending.labels[item]:
            if label.time > end:
                self.counters.add("late")
            elif label.time < one.time and last:
                self.counters.add("orphan")
            else:
                kept.append(label)
        if kept and not one.closed:
            pending.labels[item] = kept
        else:
            del pending.labels[item]

    def _touch(self, trace: str, pending: Pending, changed: Sequence[Predicted]) -> list[Sample]:
        """Emit what is due of some predictions, move the trace to its next state, and remember its next moment."""
        spec = self.spec
        self._traces[trace] = pending
        self._dirty[trace] = None
        emitted: list[Sample] = []
        moment = None
        for one in changed:
            if one.closed:
                continue
            plan = pending.plan(spec, one)
            for index, item, row in one.due(spec, self.watermark, plan):
                emitted.append(Sample(trace, item, index, row, one.record))
                one.made[item] = one.made.get(item, 0) + 1
            if self._over(pending, one):
                self._close(pending, one)
            else:
                follows = one.next_moment(spec, plan)
                moment = follows if moment is None else min(moment, follows)
        if emitted:
            self.counters.add("samples", len(emitted))
        complete = pending.complete
        if moment is None or not complete:
            if not complete:
                self.counters.add("orphan", pending.expire(self.watermark - spec.attribution))
            stub = pending.over(spec) if moment is None else None
            if stub is not None and stub < self.watermark:
                pending.forget()
                stub, complete = None, False
            if pending.empty:
                self._traces[trace] = None
                return emitted
            waits = None if complete else pending.waits(spec)
            moment = min([one for one in (moment, stub, waits) if one is not None], default=None)
        if moment is not None:
            heapq.heappush(self._moments, (moment, trace))
        return emitted

    def _over(self, pending: Pending, one: Predicted) -> bool:
        if one.time + self.spec.attribution < self.watermark:
            return True
        return self.spec.scheme == "once" and len(one.made) == len(pending.held(one))

    def _close(self, pending: Pending, one: Predicted) -> None:
        """Nothing more can come of a prediction: keep a stub, so that what follows is counted for what it is."""
        end = one.time + self.spec.attribution
        held = pending.held(one)
        if not one.excluded:
            self.counters.add("pending", -1)
            for item in held:
                if one.made.get(item):
                    continue
                shown = pending.exposed(self.spec, one, item)
                exposed = not self.spec.exposed or (shown is not None and shown <= end)
                self.counters.add("unlabelled" if exposed else "unexposed")
        if not pending.complete:
            for item in pending.labels.keys() & held:
                self._settle(pending, item, last=True)
        one.closed = True
        one.items, one.record, one.made = held, b"", {}
        if pending.complete and pending.closed:
            pending.labels, pending.exposures = {}, {}
        else:
            for item in held:
                pending.labels.pop(item, None)
                pending.exposures.pop(item, None)
