"""A lane: one algorithm's bounded queue and threads, with a deadline for every request."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from saima.errors import RequestError
from saima.host.deadline import DEADLINE
from saima.priority import BEHIND, thread_gives_way


class Full(RequestError):
    """The lane's queue is full, or the answer would miss the deadline: ask again later (429)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=429)


class Expired(RequestError):
    """The deadline passed before the answer was there (504)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=504)


_SHARE = 0.6
"""Of a deadline, what the queue and the body may take; the rest is for the way there and back, and longer bodies."""

Version = tuple[str, str, int]
"""Algorithm, lineage and publication."""


class Ticket:
    """One request in a lane. It is answered or expired, never both: whoever settles it first wins.

    version: which one works on it, as soon as that is known.
    """

    def __init__(self, body: Callable[[Ticket], Any], deadline: float) -> None:
        self.body = body
        self.deadline = deadline
        self.version: Version | None = None
        self.begun = math.inf
        self.future: Future[Any] = Future()
        self._state: Literal["waiting", "running", "answered", "expired"] = "waiting"
        self._lock = threading.Lock()

    def begin(self, now: float) -> bool:
        """Start running; False for a request that has expired, which is then never run."""
        with self._lock:
            if self._state == "waiting" and now < self.deadline:
                self._state = "running"
                self.begun = now
                return True
            return False

    def commit(self) -> bool:
        """Take the right to answer (and to journal); False if the request has been answered as expired."""
        with self._lock:
            if self._state == "running":
                self._state = "answered"
                return True
            return False

    def expire(self) -> bool:
        """Give up waiting; False if an answer is committed and about to arrive, or if it has expired before."""
        with self._lock:
            if self._state in ("answered", "expired"):
                return False
            self._state = "expired"
            return True

    @property
    def expired(self) -> bool:
        """Whether nobody waits any more."""
        return self._state == "expired"


class Lane:
    """Threads that run tickets in order. A thread is free only when its body has really ended."""

    def __init__(
        self, name: str, threads: int, size: int, clock: Callable[[], float] = time.monotonic, behind: bool = False
    ) -> None:
        """behind: nobody waits for what its threads do, which therefore give way to others."""
        self.name = name
        self.size = size
        self.rejected = 0
        self.expired = 0
        self._clock = clock
        self._behind = behind
        self._queue: queue.Queue[Ticket | None] = queue.Queue()
        self._mean = 0.0
        self._running: dict[int, Ticket] = {}
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.resize(threads, size)

    def resize(self, threads: int, size: int) -> None:
        """Change the bounds; threads in excess end after what they run."""
        self.size = size
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for index in range(len(self._threads), threads):
            thread = threading.Thread(target=self._work, name=f"lane-{self.name}-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)
        for _ in range(threads, len(self._threads)):
            self._queue.put(None)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    @property
    def holder(self) -> Version | None:
        """The version that has been at work for the longest time; None while none is, and once the lane is closed."""
        held = [ticket for ticket in list(self._running.values()) if ticket.version is not None]
        return None if self._closed or not held else min(held, key=lambda ticket: ticket.begun).version

    def submit(self, body: Callable[[Ticket], Any], seconds: float) -> Ticket:
        """Queue a body that must end within `seconds`; it is called with its ticket, in a thread of the lane.

        Raises Full: see admit.
        """
        self.admit(seconds)
        ticket = Ticket(body, self._clock() + seconds)
        self._queue.put(ticket)
        return ticket

    def admit(self, seconds: float) -> None:
        """Raise Full if the queue is full or, as long as bodies take on average, another would not end in time."""
        waiting = self._queue.qsize()
        if self._closed or waiting >= self.size:
            self.rejected += 1
            raise Full(f"the lane of '{self.name}' is full ({self.size} requests wait)")
        if waiting and (waiting / max(1, len(self._threads)) + 1) * self._mean > seconds * _SHARE:
            self.rejected += 1
            raise Full(f"{waiting} requests wait for '{self.name}'; this one's answer would miss its deadline")

    def give_up(self, ticket: Ticket) -> bool:
        """Expire a ticket whose caller waits no more; False if its answer is there."""
        if not ticket.expire():
            return False
        self.expired += 1
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Take no more, finish what is queued, end the threads."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout)

    def _work(self) -> None:
        if self._behind:
            thread_gives_way(BEHIND)
        while (ticket := self._queue.get()) is not None:
            started = self._clock()
            if not ticket.begin(started):
                continue
            self._running[threading.get_ident()] = ticket
            DEADLINE.set(ticket.deadline)
            try:
                ticket.future.set_result(ticket.body(ticket))
            except Exception as error:  # noqa: BLE001 - the caller gets whatever the body raised
                ticket.commit()
                ticket.future.set_exception(error)
            finally:
                del self._running[threading.get_ident()]
            self._mean += 0.1 * (self._clock() - started - self._mean)
