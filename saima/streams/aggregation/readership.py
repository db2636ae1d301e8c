"""Who reads what: the alarm for aggregates that are computed and that nobody has read for days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DAY = 86_400_000


class Readership:
    """When each computed definition was last read, in the time of the reads (ms)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._last: dict[str, int | None] = dict.fromkeys(names)
        self._since: dict[str, int] = {}

    def read(self, name: str, now: int) -> None:
        """Note a read; definitions that are not computed ahead are not watched."""
        if name in self._last:
            last = self._last[name]
            if last is None or now > last:
                self._last[name] = now

    def watch(self, now: int) -> None:
        """Begin to wait for the first reads of names for which it has not begun."""
        for name in self._last:
            self._since.setdefault(name, now)

    def unread(self, now: int, days: int) -> list[str]:
        """Names that have not been read for so many days, since their first watch if never.

        >>> readership = Readership(["seen", "unseen"])
        >>> readership.watch(0), readership.read("seen", 6 * DAY), readership.unread(7 * DAY, 7)
        (None, None, ['unseen'])
        """
        self.watch(now)
        return sorted(
            name
            for name, last in self._last.items()
            if now - (self._since[name] if last is None else last) >= days * DAY
        )

    def state(self) -> dict[str, dict[str, Any]]:
        """The last reads, and since when names are watched, as JSON holds them."""
        return {"last": self._last, "since": self._since}

    def resume(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a `state`; names that are new are waited for from now on."""
        self._last.update({name: time for name, time in state["last"].items() if name in self._last})
        self._since.update({name: time for name, time in state["since"].items() if name in self._last})
