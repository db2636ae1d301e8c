"""A circuit breaker as a pure value: it opens after failures in a row and lets one request try after a while."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, and when it opened (monotonic seconds) if it is open."""

    failures: int = 0
    opened: float | None = None
    limit: int = 5
    pause: float = 5.0

    def allows(self, now: float) -> bool:
        """Whether a request may try: closed, or open for `pause` seconds already."""
        return self.opened is None or now - self.opened >= self.pause

    def succeed(self) -> Breaker:
        """After a success: closed."""
        return self if not self.failures else replace(self, failures=0, opened=None)

    def fail(self, now: float) -> Breaker:
        """After a failure: open once there are `limit` of them in a row; a failed try opens it anew."""
        failures = self.failures + 1
        return replace(self, failures=failures, opened=now if failures >= self.limit else None)
