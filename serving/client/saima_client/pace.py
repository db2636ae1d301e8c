"""What a client has seen of a cluster: how long answers take, so when to hedge, and whether it is worth asking."""

from __future__ import annotations

import threading
from collections import deque

SEEN = 50
"""Answers before a p95 is believed."""

SHARE = 0.1
"""Most hedges to an attempt, so that a slow cluster is not asked twice as much."""


class Pace:
    """Latencies of the newest answers, and failures in a row; any number of threads may tell."""

    def __init__(self, newest: int = 512, failures: int = 5, pause_s: float = 1.0) -> None:
        self._newest: deque[float] = deque(maxlen=newest)
        self._failures = 0
        self._limit = failures
        self._pause_s = pause_s
        self._opened: float | None = None
        self._allowance = 1.0
        self._lock = threading.Lock()

    def answered(self, seconds: float) -> None:
        """An answer came, so the cluster is there."""
        with self._lock:
            self._newest.append(seconds)
            self._failures, self._opened = 0, None

    def there(self) -> None:
        """Something answered, though it refused."""
        with self._lock:
            self._failures, self._opened = 0, None

    def unreachable(self, now: float) -> None:
        """Nothing answered; after some times in a row nobody asks for a while."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit:
                self._opened = now

    def fails_fast(self, now: float) -> bool:
        """Whether to fail without asking; after the pause one caller tries, the others go on failing fast."""
        with self._lock:
            if self._opened is None:
                return False
            if now - self._opened < self._pause_s:
                return True
            self._opened = now
            return False

    def started(self) -> float | None:
        """An attempt begins: seconds after which to hedge it, the p95 of what was seen; None: do not."""
        with self._lock:
            self._allowance = min(10.0, self._allowance + SHARE)
            if len(self._newest) < SEEN:
                return None
            values = sorted(self._newest)
            return values[int(0.95 * len(values))]

    def may_hedge(self) -> bool:
        """Whether a hedge is within the share of attempts that may have one; takes it."""
        with self._lock:
            if self._allowance < 1.0:
                return False
            self._allowance -= 1.0
            return True
