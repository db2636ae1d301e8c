"""Open-loop load on a host: requests leave at their times whatever has come back; latency counts from those times."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass
class Load:
    """What came back. Times are milliseconds from the scheduled time of sending, so that a stalled host is seen whole.

    answers: by status; 0 stands for a connection that broke or an answer that never came. late: sent later than
    scheduled by more than a millisecond, because the sender was busy.
    """

    seconds: float
    sent: int = 0
    late: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    taken: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, milliseconds: float) -> None:
        """Count one answer."""
        self.answers[status] += 1
        self.taken.setdefault(status, []).append(milliseconds)

    def within(self, milliseconds: float) -> int:
        """Answers (200) that came in so many milliseconds."""
        return sum(one <= milliseconds for one in self.taken.get(200, []))

    def document(self) -> dict[str, Any]:
        """Everything as JSON data."""
        return {
            "seconds": round(self.seconds, 3),
            "sent": self.sent,
            "rate": round(self.sent / self.seconds, 2) if self.seconds else 0.0,
            "late": self.late,
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "latency_ms": quantiles(self.taken.get(200, [])),
            "rejected_ms": quantiles(self.taken.get(429, [])),
            "expired_ms": quantiles(self.taken.get(504, [])),
        }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Quantiles by name and the largest value; empty for no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    found = {f"p{100 * q:g}": ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in QUANTILES}
    return {name: round(value, 3) for name, value in {**found, "max": ordered[-1]}.items()}


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is asked one thing at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._length = -1
        self._status = 0
        self.done: Callable[[int], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of another base

    def send(self, data: bytes, done: Callable[[int], None]) -> None:
        """Write a request; `done` gets the status of its answer."""
        self.done = done
        if self.transport is None:
            self._tell(0)
        else:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._length < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._status = int(head[9:12])
            at = head.find(b"content-length:")
            self._length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            del self._buffer[: end + 4]
        if len(self._buffer) >= self._length:
            del self._buffer[: self._length]
            self._length = -1
            self._tell(self._status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio gives it
        self.transport = None
        self._tell(0)

    def _tell(self, status: int) -> None:
        done, self.done = self.done, None
        if done:
            done(status)


def request_bytes(url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A POST of JSON to `/v1/predict` as it goes over the wire."""
    place = urlsplit(url)
    lines = [f"POST {place.path.rstrip('/')}/v1/predict HTTP/1.1", f"host: {place.netloc}",
             f"content-length: {len(body)}"]  # fmt: skip
    lines += [f"{name}: {value}" for name, value in {"content-type": "application/json", **(headers or {})}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def drive(
    url: str,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int = 256,
    patience: float = 10.0,
    seed: int = 0,
    told: Callable[[Load], None] = lambda _: None,
) -> Load:
    """Send `requests` in turn at `rate` a second for so long, at random (Poisson) times, and gather the answers.

    connections: most that are open; a request that finds all of them busy waits for one, and its wait counts.
    patience: seconds that are waited for answers after the last request. told: called about once a second.
    """
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)  # noqa: S311 - times of sending
    found = Load(seconds)
    free: list[_Connection] = []
    waiting: deque[tuple[bytes, float]] = deque()
    opened = pending = 0

    def ended(connection: _Connection, due: float) -> Callable[[int], None]:
        def done(status: int) -> None:
            nonlocal pending, opened
            pending -= 1
            found.add(status, (loop.time() - due) * 1000)
            if connection.transport is None:
                opened -= 1
            elif waiting:
                send(connection, *waiting.popleft())
            else:
                free.append(connection)

        return done

    def send(connection: _Connection, data: bytes, due: float) -> None:
        found.late += loop.time() - due > 0.001
        connection.send(data, ended(connection, due))

    async def open_and_send(data: bytes, due: float) -> None:
        nonlocal pending, opened
        try:
            _, connection = await loop.create_connection(_Connection, host, port)
        except OSError:
            pending -= 1
            opened -= 1
            found.add(0, (loop.time() - due) * 1000)
            return
        send(connection, data, due)

    begun = loop.time()
    due, reported, tasks = begun, begun, set()
    while (due := due + rng.expovariate(rate)) < begun + seconds:
        while (left := due - loop.time()) > 0:
            await asyncio.sleep(left if left > 0.002 else 0)
        data = requests[found.sent % len(requests)]
        found.sent += 1
        pending += 1
        while free and free[-1].transport is None:
            free.pop()
            opened -= 1
        if free:
            send(free.pop(), data, due)
        elif opened < connections:
            opened += 1
            task = loop.create_task(open_and_send(data, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            waiting.append((data, due))
        if loop.time() - reported > 1:
            reported = loop.time()
            told(found)
            await asyncio.sleep(0)
    until = time.monotonic() + patience
    while pending and time.monotonic() < until:
        await asyncio.sleep(0.005)
    found.answers[0] += pending
    for connection in free:
        if connection.transport is not None:
            connection.transport.close()
    return found


def run(url: str, requests: Sequence[bytes], rate: float, seconds: float, **options: Any) -> Load:
    """`drive` in a loop of its own; uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(drive(url, requests, rate, seconds, **options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive(url, requests, rate, seconds, **options))
