"""Listening for silence: where a topic brings nothing for its idle timeout, that becomes a record of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from saima.events import SILENCE, SILENCE_TOPIC, Event, to_table
from saima.stores.interfaces import EventLog
from saima.streams.watermarks import Silence

MOST = 5_000
"""ms that one look counts at most: a clock that jumped, or a machine that slept, is no listening."""


class Listening:
    """How long this process has listened to each topic since its last row, or since its silence was last recorded.

    idle: idle timeouts by topic, ms; None: silence of the topic is never recorded. A worker that starts begins anew:
    what nobody listened to is no silence.
    """

    def __init__(self, name: str, idle: Mapping[str, int | None]) -> None:
        self._name = name
        self._idle = {topic: bound for topic, bound in idle.items() if bound is not None}
        self._silent: Counter[str] = Counter()
        self._looked: int | None = None

    def hear(self, topics: Iterable[str], silences: Iterable[Silence], now: int) -> None:
        """Rows of topics, and records of silence, have been read by `now` (wall ms)."""
        for topic in topics:
            self._silent[topic] = 0
        for one in silences:
            self._silent[one.source] = min(self._silent[one.source], max(0, now - one.now))

    def look(self, now: int, waits: Callable[[Mapping[str, int]], set[str]]) -> dict[str, int]:
        """Silence to record at `now`, ms by topic: of those that have reached their timeouts, where `waits` asks for
        it. A topic's silence is recorded at most once in an idle timeout."""
        more = 0 if self._looked is None else min(max(now - self._looked, 0), MOST)
        self._looked = now
        for topic in self._idle:
            self._silent[topic] += more
        silent = {topic: self._silent[topic] for topic, idle in self._idle.items() if self._silent[topic] >= idle}
        wanted = waits(silent) & silent.keys() if silent else set()
        for topic in wanted:
            self._silent[topic] = 0
        return {topic: silent[topic] for topic in sorted(wanted)}

    def give(self, log: EventLog, silent: Mapping[str, int], seen: int, now: int) -> None:
        """Append records of silence to the log, of a worker that has read it up to `seen`."""
        events = [
            Event(topic, SILENCE, now, 0, f"{self._name}/{topic}/{now}", {"silent": ms, "seen": seen})
            for topic, ms in silent.items()
        ]
        log.append(SILENCE, to_table(SILENCE_TOPIC, events, now))
