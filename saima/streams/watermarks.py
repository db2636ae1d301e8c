"""One watermark of several sources: their minimum, without those that have been silent for long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.streams.lateness import BEGINNING


class Watermarks:
    """What sorter and linker advance to where their events come from several sources (topics, partitions).

    idle: per source the ms of the wall clock without an event after which it holds the others back no longer; None:
    never. The wall clock is that of the log's rows (`appended`) and of the records that the log keeps of silence, so a
    replay gives the same. The merged watermark never goes back: a source that wakes up brings events behind it, which
    are late.
    """

    def __init__(self, idle: Mapping[str, int | None]) -> None:
        self.watermark = BEGINNING
        self._idle = dict(idle)
        self._marks = dict.fromkeys(idle, BEGINNING)
        self._heard: dict[str, int] = {}

    def see(self, source: str, watermark: int, now: int) -> int:
        """A source's own watermark after its rows that were appended at `now`; the merged one.

        >>> marks = Watermarks({"click": None, "view": 1000})
        >>> marks.see("click", 500, now=0) == BEGINNING, marks.see("view", 700, now=0), marks.see("click", 900, now=10)
        (True, 500, 700)
        """
        self._marks[source] = max(self._marks[source], watermark)
        self._heard[source] = now
        return self.at(now)

    def at(self, now: int) -> int:
        """The merged watermark at a wall clock; who was never heard is silent from the first look on."""
        for source in self._marks:
            self._heard.setdefault(source, now)
        awake = [mark for source, mark in self._marks.items() if not self._silent(source, now)]
        self.watermark = max(self.watermark, min(awake, default=BEGINNING))
        return self.watermark

    def state(self) -> dict[str, Any]:
        """What `restore` continues from, as small JSON values."""
        return {"marks": dict(self._marks), "heard": dict(self._heard), "merged": self.watermark}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue; a source that is declared no longer goes, a new one begins."""
        self._marks.update({source: mark for source, mark in state["marks"].items() if source in self._idle})
        self._heard = {source: now for source, now in state["heard"].items() if source in self._idle}
        self.watermark = state["merged"]

    def _silent(self, source: str, now: int) -> bool:
        idle = self._idle[source]
        return idle is not None and now - self._heard[source] > idle
