"""De-duplication by event id over a declared, bounded horizon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_128_digest

from saima.streams import identities as at
from saima.streams.lateness import BEGINNING

TABLE = "seen"
CHUNK = 1024

_SMALLEST = 4096
_NEWEST = "newest"
_FEW = 200

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


class Seen:
    """Ids of the last `horizon` ms of event time, and of no more than the last `chunks` runs of CHUNK offsets.

    Within one topic, an id whose first event is not older than the horizon (against the newest event before this
    one) is a duplicate. Memory is bounded by the runs; the ids that left it before their time at the
    last `changes` are counted in `forgotten`.
    State is kept per run of offsets, and the newest time beside them (a duplicate may have had it, or a row that has
    left), so it depends on the offsets alone and never on how they were batched.
    """

    def __init__(self, horizon: int = 86_400_000, chunks: int = 1024) -> None:
        self._horizon = horizon
        self._chunks = chunks
        self._rows: Ints = np.empty((_SMALLEST, at.WORDS), np.int64)
        self._table: Ints = np.zeros(2 * _SMALLEST, np.int64)
        self._state: Ints = np.array([0, 0, 0, 0, BEGINNING], np.int64)
        self._dirty: dict[int, None] = {}
        self._noted = BEGINNING
        self.forgotten = 0

    def judge(self, topic: str, ids: Sequence[str], times: Sequence[int], offsets: Sequence[int]) -> list[bool]:
        """Verdict per row (True: duplicate); remembers the first of each id. Calls come in order of offsets."""
        given = pa.chunked_array([ids], pa.string())
        (again,) = self.judge_columns([(topic, given, np.array(times, np.int64), np.array(offsets, np.int64))])
        verdicts: list[bool] = again.tolist()
        return verdicts

    def judge_columns(self, topics: Sequence[tuple[str, pa.ChunkedArray, Ints, Ints]]) -> list[Bools]:
        """The same for whole topics (name, ids without nulls, times, ascending offsets), rows judged in order of
        offsets over all of them."""
        parts = [_rows(*topic) for topic in topics]
        given = np.concatenate(parts) if parts else np.empty((0, at.WORDS), np.int64)
        again = np.zeros(len(given), np.bool_)
        if not len(given):
            return [again] * len(parts)
        order = np.argsort(given[:, at.OFFSET], kind="stable") if len(parts) > 1 else None
        verdicts = self._judge(given if order is None else given[order])
        again[slice(None) if order is None else order] = verdicts
        return np.split(again, np.cumsum([len(part) for part in parts])[:-1])

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Packed runs that changed since the last call; None deletes one that is out of the horizon."""
        head, end, newest = (int(self._state[which]) for which in (at.HEAD, at.END, at.NEWEST))
        self.forgotten = 0
        if head == end:
            return []
        offsets = self._rows[:end, at.OFFSET]
        last = int(offsets[-1]) // CHUNK
        while True:  # oldest run first
            run = int(offsets[head]) // CHUNK
            after = int(np.searchsorted(offsets[head:], (run + 1) * CHUNK)) + head
            old = run < last and self._rows[head:after, at.TIME].max() < newest - self._horizon
            if not old and run > last - self._chunks:
                break
            self.forgotten += 0 if old else int(after - head)
            at.drop(self._state, self._table, self._rows, after)
            self._dirty[run] = None
            head = after
        dirty, self._dirty = self._dirty, {}
        runs = np.array(list(dirty), np.int64)
        starts = np.searchsorted(offsets[head:], runs * CHUNK) + head
        ends = np.searchsorted(offsets[head:], (runs + 1) * CHUNK) + head
        places = zip(dirty, starts.tolist(), ends.tolist(), strict=True)
        changed = [(f"{run:020d}", self._rows[a:b].tobytes() if b > a else None) for run, a, b in places]
        if newest != self._noted:
            changed.append((_NEWEST, np.int64(newest).tobytes()))
            self._noted = newest
        return changed

    def restore(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in the runs that an earlier process stored."""
        stored = dict(items)
        noted = stored.pop(_NEWEST, None)
        found = np.frombuffer(b"".join(stored[key] for key in sorted(stored)), np.int64).reshape(-1, at.WORDS)
        newest = int(found[:, at.TIME].max(initial=BEGINNING))
        if noted is not None:
            newest = self._noted = int(np.frombuffer(noted, np.int64)[0])
        self._state[:] = 0, 0, 0, 0, newest
        self._make_room(len(found))
        self._rows[: len(found)] = found
        self._state[at.END] = len(found)
        at.fill(self._state, self._table, self._rows)

    def __len__(self) -> int:
        return int(self._state[at.LIVE])

    def _judge(self, given: Ints) -> Bools:
        again = np.zeros(len(given), np.bool_)
        self._make_room(len(given))
        before = self._state[at.END]
        at.judge(self._state, self._table, self._rows, given, again, self._horizon, CHUNK, self._chunks)
        runs = self._rows[before : self._state[at.END], at.OFFSET] // CHUNK
        if len(runs):
            fresh = runs[np.flatnonzero(np.diff(runs, prepend=runs[0] - 1))]
            self._dirty.update(dict.fromkeys(fresh.tolist()))
        return again

    def _make_room(self, more: int) -> None:
        """Let `more` rows fit behind the last: the rows move to the front, into a longer array if need be."""
        head, end, used = self._state[at.HEAD], self._state[at.END], self._state[at.USED]
        if end + more <= len(self._rows) and 2 * (used + more) <= len(self._table):
            return
        held, size = int(end - head), len(self._rows)
        while size < 2 * held + more:
            size *= 2
        rows = np.empty((size, at.WORDS), np.int64)
        rows[:held] = self._rows[head:end]
        self._rows, self._table = rows, np.zeros(2 * size, np.int64)
        self._state[at.HEAD], self._state[at.END] = 0, held
        at.fill(self._state, self._table, self._rows)


def _rows(topic: str, ids: pa.ChunkedArray, times: Ints, offsets: Ints) -> Ints:
    """Digest (of the topic, a zero byte and the id), time and offset of each row."""
    prefix = topic.encode() + b"\0"
    if len(ids) < _FEW:  # a call of Arrow costs more than these
        texts = [prefix + identity.encode() for identity in ids.to_pylist()]
    else:
        texts = pc.binary_join_element_wise(prefix, ids.cast(pa.binary()), b"").to_pylist()
    rows = np.empty((len(ids), at.WORDS), np.int64)
    digests = np.frombuffer(b"".join(map(xxh3_128_digest, texts)), np.int64)
    rows[:, at.DIGEST : at.TIME] = digests.reshape(-1, 2)
    rows[:, at.TIME], rows[:, at.OFFSET] = times, offsets
    return rows
