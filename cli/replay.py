"""Recorded events as live traffic: append what has happened, wait until it is known, then ask."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from cli.questions import Questions
from saima.errors import SaimaError
from saima.events import Topic, stamp, to_table_frame
from saima.stores.interfaces import EventLog


class Predictor(Protocol):
    """What the replayer asks for predictions; `saima_client.Client` is one."""

    def predict(
        self,
        algorithm: str,
        request: dict[str, Any],
        *,
        user: dict[str, Any] | None = None,
        items: list[dict[str, Any]] | None = None,
        trace: str,
        unit: str,
        time: int,
    ) -> Any: ...


@dataclass(frozen=True)
class Traffic:
    """One algorithm's recorded traffic: events by topic, which topic's rows are requests, and what they ask."""

    algorithm: str
    topics: dict[str, Topic]
    events: dict[str, pl.DataFrame]
    requests: str
    questions: Questions

    def candidates(self) -> pl.DataFrame | None:
        """Candidates of every request (trace, item); None where the algorithm ranks nothing."""
        return self.questions.candidates(self.events[self.requests])

    def ticks(self, after: int, until: int) -> Iterator[int]:
        """Moments at which something is asked, ascending, in [after, until)."""
        times = self.events[self.requests]["time"]
        yield from times.filter((times >= after) & (times < until)).unique().sort()


@dataclass
class Progress:
    """What the client has seen. Latencies are milliseconds, `time` is event time in ms UTC."""

    time: int = 0
    events: int = 0
    predictions: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def recent(self, count: int = 2000) -> list[float]:
        """The newest latencies, ascending."""
        with self.lock:
            return sorted(self.latencies[-count:])


class Replayer:
    """Replays a recording at a chosen speed, resuming where the log says that it stopped.

    At each moment q it appends every event up to q, waits until the worker's position covers them (the barrier, so
    that speed changes nothing), then asks for the predictions of q. The client's own list of answers is
    `answered.jsonl` in `folder`: the truth that samples are counted against.
    """

    def __init__(
        self,
        traffic: Traffic,
        log: EventLog,
        position: Callable[[], int],
        predictor: Predictor,
        folder: Path,
        *,
        speed: float = 0.0,
        parallel: int = 4,
        barrier_seconds: float = 120.0,
    ) -> None:
        self._traffic = traffic
        self._tables = {
            topic: to_table_frame(traffic.topics[topic], frame, 0) for topic, frame in traffic.events.items()
        }
        self._log = log
        self._position = position
        self._predictor = predictor
        self._folder = folder
        self._speed = speed
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="client")
        self._barrier_seconds = barrier_seconds
        self.progress = Progress()
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, start: int, until: int, stop: threading.Event) -> None:
        """Replay [start, until); `speed` is event seconds a second, 0 as fast as it goes. Ends early on `stop`."""
        cursors = {topic: self._log.produced(self._producer(topic)) + 1 for topic in self._traffic.events}
        resume = self.resume(start)
        rows = self._requests_by_time(resume, until)
        origin, wall = resume, time.monotonic()
        with (self._folder / "answered.jsonl").open("a", buffering=1) as answered:
            for moment in self._traffic.ticks(resume, until):
                if stop.is_set():
                    break
                if self._speed:
                    behind = (moment - origin) / 1000 / self._speed - (time.monotonic() - wall)
                    if behind > 0 and stop.wait(behind):
                        break
                    if behind < -5.0:  # the machine was too slow or slept: do not race to catch up
                        origin, wall = moment, time.monotonic()
                self._publish(cursors, start, moment + 1)
                if not self._await(stop):
                    break
                for line in self._pool.map(self._ask, rows.get(moment, [])):
                    if line:
                        answered.write(line)
                self._remember(moment)
            else:
                self._publish(cursors, start, until)
                self._await(stop)
        self._pool.shutdown()

    def _requests_by_time(self, after: int, until: int) -> dict[int, list[dict[str, Any]]]:
        frame = self._traffic.events[self._traffic.requests]
        frame = frame.filter(pl.col("time").is_between(after, until, closed="left"))
        grouped: dict[int, list[dict[str, Any]]] = {}
        for row in frame.iter_rows(named=True):
            grouped.setdefault(row["time"], []).append(row)
        return grouped

    def _producer(self, topic: str) -> str:
        return f"replay/{topic}"

    def _publish(self, cursors: dict[str, int], start: int, before: int) -> None:
        for topic, frame in self._traffic.events.items():
            first = max(cursors[topic], int(frame["time"].search_sorted(start)))
            last = int(frame["time"].search_sorted(before))
            if last > first:
                rows = stamp(self._tables[topic].slice(first, last - first), _now())
                self._log.append(topic, rows, producer=(self._producer(topic), last - 1))
                cursors[topic] = last
                self.progress.events += last - first

    def _await(self, stop: threading.Event) -> bool:
        head = self._log.head().get(0, 0)
        begun = time.monotonic()
        while self._position() < head:
            if stop.is_set():
                return False
            if time.monotonic() - begun > self._barrier_seconds:
                raise SaimaError(
                    f"the stream worker has stood at offset {self._position()} for {self._barrier_seconds:.0f} s while "
                    f"the log's head is {head}; see worker-<shard>.log"
                )
            time.sleep(0.001)
        return True

    def _ask(self, row: dict[str, Any]) -> str | None:
        begun = time.perf_counter()
        try:
            answer = self._predictor.predict(
                self._traffic.algorithm,
                **self._traffic.questions.ask(row),
                trace=row["key"],
                unit=row["key"],
                time=row["time"],
            )
        except Exception as error:  # noqa: BLE001 a failed request is counted and told, whatever failed it
            with self.progress.lock:
                self.progress.failed += 1
            with (self._folder / "failed.jsonl").open("a") as failed:
                failed.write(json.dumps({"trace": row["key"], "time": row["time"], "error": str(error)}) + "\n")
            return None
        took = (time.perf_counter() - begun) * 1000
        with self.progress.lock:
            self.progress.predictions += 1
            self.progress.latencies.append(took)
        kept = {
            name: answer.get(name) for name in ("trace", "version", "lineage", "arm", "scores", "degraded", "attempt")
        }
        return json.dumps(kept | {"time": row["time"], "ms": round(took, 3)}) + "\n"

    def _remember(self, moment: int) -> None:
        self.progress.time = moment
        path = self._folder / "replay.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"time": moment}))
        fresh.replace(path)

    def resume(self, start: int) -> int:
        """Where a replay from `start` goes on: after the last moment whose questions were all answered."""
        path = self._folder / "replay.json"
        if not path.exists():
            return start
        return max(start, int(json.loads(path.read_text())["time"]) + 1)


def _now() -> int:
    return time.time_ns() // 1_000_000
