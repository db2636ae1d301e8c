"""De-duplication by event id over a declared, bounded horizon."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from xxhash import xxh3_128_digest

from saima.streams.lateness import BEGINNING

TABLE = "seen"
CHUNK = 1024
_ROW = struct.Struct("<16sqq")


class _Run:
    """Packed rows of CHUNK offsets (digest, time, offset), their greatest time and their number."""

    __slots__ = ("newest", "rows")

    def __init__(self, rows: bytes = b"") -> None:
        self.rows = bytearray(rows)
        self.newest = max((time for _, time, _ in _ROW.iter_unpack(rows)), default=BEGINNING)

    def add(self, digest: bytes, time: int, offset: int) -> None:
        self.rows += _ROW.pack(digest, time, offset)
        if time > self.newest:
            self.newest = time


class Seen:
    """Ids of the last `horizon` ms of event time, and of no more than the last `chunks` runs of CHUNK offsets.

    Within one topic, an id whose first event is not older than the horizon (against the newest event before this
    one) is a duplicate. Memory is bounded by the runs; the ids that left it before their time at the
    last `changes` are counted in `forgotten`.
    State is kept per run of offsets, so it depends on the offsets alone and never on how they were batched.
    """

    def __init__(self, horizon: int = 86_400_000, chunks: int = 1024) -> None:
        self._horizon = horizon
        self._chunks = chunks
        self._ids: dict[bytes, tuple[int, int]] = {}
        self._runs: dict[int, _Run] = {}
        self._dirty: dict[int, None] = {}
        self._newest = BEGINNING
        self.forgotten = 0

    def judge(self, topic: str, ids: Sequence[str], times: Sequence[int], offsets: Sequence[int]) -> list[bool]:
        """Verdict per row (True: duplicate); remembers the first of each id. Calls come in order of offsets."""
        prefix = topic.encode() + b"\0"
        verdicts = []
        seen = self._ids
        for identity, time, offset in zip(ids, times, offsets, strict=True):
            digest = xxh3_128_digest(prefix + identity.encode())
            known = seen.get(digest)
            run = offset // CHUNK
            oldest = self._newest - self._horizon
            if time > self._newest:
                self._newest = time
            if known is not None and known[0] >= oldest and known[1] // CHUNK > run - self._chunks:
                verdicts.append(True)
                continue
            verdicts.append(False)
            seen[digest] = (time, offset)
            held = self._runs.get(run)
            if held is None:
                held = self._runs[run] = _Run()
            held.add(digest, time, offset)
            self._dirty[run] = None
        return verdicts

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Packed runs that changed since the last call; None deletes one that is out of the horizon."""
        last = max(self._runs, default=0)
        self.forgotten = 0
        for run in list(self._runs):  # in order of offsets, oldest first
            held = self._runs[run]
            old = run < last and held.newest < self._newest - self._horizon
            if not old and run > last - self._chunks:
                break
            rows = list(_ROW.iter_unpack(self._runs.pop(run).rows))
            if not old:
                self.forgotten += len(rows)
            for digest, _, offset in rows:
                if self._ids.get(digest, (0, -1))[1] == offset:
                    del self._ids[digest]
            self._dirty[run] = None
        dirty, self._dirty = self._dirty, {}
        return [(f"{run:020d}", bytes(self._runs[run].rows) if run in self._runs else None) for run in dirty]

    def restore(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in the runs that an earlier process stored."""
        for key, packed in sorted(items):
            run = self._runs[int(key)] = _Run(packed)
            self._newest = max(self._newest, run.newest)
            for digest, time, offset in _ROW.iter_unpack(packed):
                self._ids[digest] = (time, offset)

    def __len__(self) -> int:
        return len(self._ids)
