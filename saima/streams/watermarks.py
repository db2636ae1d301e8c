"""One watermark of several sources: their minimum, without those that have been silent for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from saima.streams.lateness import BEGINNING

Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Silence:
    """A record of the log: until `now` (wall ms) a worker has listened for `silent` ms and heard nothing of a source.

    seen: offset up to which that worker had read; if the source has come after it, the record means nothing.
    """

    offset: int
    source: str
    now: int
    silent: int
    seen: int


@dataclass(frozen=True)
class Rows:
    """Rows of the log in order of offsets: events, and records of silence.

    places: number of the row's source; times: event time, ms; now: wall clock when the row was appended, ms; silent:
    -1 for an event, else as in Silence; seen: as there.
    """

    places: Ints
    times: Ints
    now: Ints
    offsets: Ints
    silent: Ints
    seen: Ints


@dataclass
class _Source:
    """newest: event time; heard: wall clock of its last row; last: its offset; quiet: ms of silence recorded since;
    until: wall clock up to which silence has been recorded."""

    newest: int = BEGINNING
    heard: int = BEGINNING
    last: int = -1
    quiet: int = 0
    until: int = BEGINNING


class Watermarks:
    """What sorters advance to where their events come from several sources (topics).

    A source's own watermark is its newest time minus its lateness (ms); the merged one is the least of them and never
    goes back. A source that has been silent for its `idle` (ms of the wall clock, None: for ever) holds the others back
    no longer; what it brings when it wakes up may be late. The wall clock is that of the log's rows, so a replay gives
    the same. Where all are silent, time goes on: the merged watermark is the greatest of the sources' own, each moved
    on by the silence that the log has recorded since its last event.
    """

    def __init__(self, lateness: Mapping[str, int], idle: Mapping[str, int | None]) -> None:
        self.watermark = BEGINNING
        self._lateness = lateness
        self._idle = idle
        self._now = BEGINNING
        self._sources: dict[str, _Source] = {}

    def follow(self, sources: Sequence[str], rows: Rows) -> Ints:
        """The merged watermark of `sources` after each row, one or more; any split of the rows gives the same."""
        now = _running(rows.now, self._now)
        self._now = int(now[-1])
        least, most = np.full(len(now), _NEVER), np.full(len(now), BEGINNING)
        for place, name in enumerate(sources):
            own, silent, moved = self._one(name, now, rows, rows.places == place)
            least = np.where(silent, least, np.minimum(least, own))
            most = np.maximum(most, moved)
        merged = _running(np.where(least == _NEVER, most, least), self.watermark)
        self.watermark = int(merged[-1])
        return merged

    def after(self, sources: Sequence[str], silent: Mapping[str, int]) -> int | None:
        """What the watermark is where silence of these ms of some sources is recorded; None if not all are silent."""
        moved = []
        for name in sources:
            source, idle = self._sources.get(name), self._idle[name]
            if source is None or idle is None or source.quiet + silent.get(name, 0) < idle:
                return None
            if source.newest != BEGINNING:
                moved.append(source.newest - self._lateness[name] + source.quiet + silent.get(name, 0))
        return max(moved, default=None)

    def state(self) -> dict[str, Any]:
        """What `restore` continues from, as small JSON values."""
        sources = {name: asdict(source) for name, source in sorted(self._sources.items())}
        return {"sources": sources, "now": self._now, "merged": self.watermark}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue; a source that is declared no longer goes, a new one begins."""
        known = {name: _Source(**source) for name, source in state["sources"].items()}
        self._sources = {name: source for name, source in known.items() if name in self._idle}
        self._now, self.watermark = state["now"], state["merged"]

    def _one(self, name: str, now: Ints, rows: Rows, mine: Flags) -> tuple[Ints, Flags, Ints]:
        """After each row: a source's own watermark, whether it is silent, its watermark moved on by silence."""
        source = self._sources.setdefault(name, _Source(heard=int(now[0])))
        events = mine & (rows.silent < 0)
        newest = _running(np.where(events, rows.times, BEGINNING), source.newest)
        heard = _running(np.where(events, now, BEGINNING), source.heard)
        last = _running(np.where(events, rows.offsets, -1), source.last)
        quiet = np.zeros(len(now), np.int64)
        recorded = np.flatnonzero(mine & (rows.silent >= 0))
        if len(recorded):
            until = rows.now[recorded]
            covered = np.maximum.accumulate(np.concatenate([[source.until], until]))
            more = np.maximum(until - np.maximum(until - rows.silent[recorded], covered[:-1]), 0)
            quiet[recorded] = np.where(last[recorded] > rows.seen[recorded], 0, more)
            source.until = int(covered[-1])
        total = np.cumsum(quiet) + source.quiet
        quiet = total - _running(np.where(events, total, 0), 0)
        source.newest, source.heard, source.last = int(newest[-1]), int(heard[-1]), int(last[-1])
        source.quiet = int(quiet[-1])
        own = np.where(newest == BEGINNING, BEGINNING, newest - self._lateness[name])
        idle = self._idle[name]
        bound = _NEVER if idle is None else idle
        silent = (now - heard >= bound) | (quiet >= bound)
        return own, silent, np.where(newest == BEGINNING, BEGINNING, own + quiet)


def _running(values: Ints, before: int) -> Ints:
    """The greatest value so far, row by row."""
    return np.maximum(np.maximum.accumulate(values), before)
