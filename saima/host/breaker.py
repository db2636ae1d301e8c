"""A circuit breaker as a pure value: it opens after failures in a row; after a while one request probes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, when it opened (monotonic seconds) if it is open, and since when a request probes."""

    failures: int = 0
    opened: float | None = None
    probing: float | None = None
    limit: int = 5
    pause: float = 5.0

    def ask(self, now: float) -> tuple[bool, Breaker]:
        """Whether a request may try, and the breaker after it.

        Closed: every one. Open: after `pause` seconds a single one, the probe; the others go on being turned away
        until it has ended, or has taken a `pause` itself, which is when the next one probes.
        """
        if self.opened is None:
            return True, self
        since = self.opened if self.probing is None else self.probing
        if now - since < self.pause:
            return False, self
        return True, replace(self, probing=now)

    def fail(self, now: float) -> Breaker:
        """After a failure: open once there are `limit` of them in a row; a failed probe opens it anew."""
        failures = self.failures + 1
        return replace(self, failures=failures, opened=now if failures >= self.limit else None, probing=None)


class Breakers:
    """The breakers of one process, one an algorithm; any number of threads may ask. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    def ask(self, name: str) -> bool:
        """Whether a request to this algorithm may try; `succeed` or `fail` must follow where it may."""
        if name not in self._held:
            return True
        with self._lock:
            allowed, after = self._held.get(name, Breaker()).ask(self._clock())
            self._held[name] = after
            return allowed

    def succeed(self, name: str) -> None:
        """After a success."""
        if name in self._held:
            with self._lock:
                self._held.pop(name, None)

    def fail(self, name: str) -> None:
        """After a failure."""
        with self._lock:
            self._held[name] = self._held.get(name, Breaker()).fail(self._clock())

    def open(self) -> list[str]:
        """Algorithms whose breaker is open, a probe under way or not."""
        return sorted(name for name, one in list(self._held.items()) if one.opened is not None)
