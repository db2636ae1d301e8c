"""End to end, log to online store: what one worker sustains, and how long an event takes to be visible; JSON.

    python bench/streams/end_to_end.py [events] [seconds] [folder]

The worker is its own process on a home of its own under `folder` (a disk, since every commit is forced to it), with
everything on: de-duplication, windows, the sample join, outbox, drain to Delta tables. A producer process appends
Arrow batches; a reader process looks at the online store, reads windows, and notes when it covers which offset.

* `catch_up`: the log is filled, then the worker reads it: events a second by the clock and of the worker's CPU.
* `rates`: the producer appends at a rate; an event's latency is from the call that appends it to the first look of
  the reader that finds it covered.
* `idle`: the worker's share of a core at 90 events a second, and without any; at 90 also where it lingers for 20 ms.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import pyarrow as pa

from saima.events import JOURNAL, JOURNAL_TOPIC, Topic
from saima.features import load
from saima.recordings import topics
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry

START = 1_700_000_000_000
USERS, BATCH_MS = 10_000, 10
PREDICTED = 0.02
"""Share of the events that are journal records; as many are outcomes, the rest are purchases."""

ALGORITHM = """
algorithm: bench
sources:
  purchase: {key: user, fields: {user: string, item: string, cents: int64}, lateness: 10s}
  outcome: {key: trace, fields: {trace: string, value: float64}, lateness: 10s}
request: {fields: {user: string}}
aggregates:
  spent: {from: purchase, key: user, value: cents, measures: [count, sum, mean, min, max], windows: [1h, 1d], hop: 1h}
features:
  count_1h: {value: "spent.count_1h", dtype: int64, default: 0}
  mean_1d: {value: "spent.mean_1d", dtype: float32}
models: {m: {kind: xgboost, inputs: [count_1h, mean_1d], output: value}}
fuse: {value: "m.value"}
label: {from: outcome, join: [trace], value: value, scheme: once, attribution: 1m}
lineages: {base: {train: [m], retrain: {samples: 1000000000}}}
"""


Made = list[tuple[str, pa.Table]]
"""Batches of events with their topics."""


class Producer:
    """Makes and appends batches of the three topics; every event has its own id, one of a hundred comes twice."""

    def __init__(self, settings: Settings) -> None:
        self._log = open_log(settings)
        self._topics: dict[str, Topic] = topics(load(settings.algorithms / "bench").declaration)
        self._rng = np.random.default_rng(7)
        self._made = self._asked = 0
        record = {
            "attempt": 1, "algorithm": "bench", "version": 1, "lineage": "base", "experiment": None, "arm": None,
            "items": [], "scores": [0.5], "outputs": {"m.value": [0.5]}, "kept": [0], "weights": [1.0], "whole": True,
            "degraded": [], "shadow": False, "override": False, "features": {"count_1h": [3], "mean_1d": [0.25]},
        }  # fmt: skip
        self._record = json.dumps(record)[1:]

    def append(self, events: int, now: int) -> int:
        """Append so many events, all at event time `now` (ms); the log's head."""
        return self.give(self.make(events, now))

    def give(self, made: Made) -> int:
        """Append what has been made; the log's head."""
        return [self._log.append(topic, table) for topic, table in made][-1][0]

    def make(self, events: int, now: int) -> Made:
        """So many events, all at event time `now` (ms), as tables by topic."""
        asked = round(events * PREDICTED)
        bought = events - 2 * asked
        made = [("purchase", self._purchases(bought, now))]
        if asked:
            traces = [f"trace-{number}" for number in range(self._asked, self._asked + asked)]
            self._asked += asked
            texts = [
                f'{{"trace": "{trace}", "unit": "{trace}", "time": {now}, "answered": {now}, {self._record}'
                for trace in traces
            ]
            known = {"algorithm": ["bench"] * asked, "trace": traces, "record": texts}
            made.append((JOURNAL, self._table(JOURNAL_TOPIC, traces, [f"b:{trace}" for trace in traces], now, known)))
            values = {"trace": traces, "value": self._rng.random(asked)}
            ids = [f"o:{trace}" for trace in traces]
            made.append(("outcome", self._table(self._topics["outcome"], traces, ids, now, values)))
        return made

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _purchases(self, count: int, now: int) -> pa.Table:
        users = [f"user{number}" for number in self._rng.integers(0, USERS, count).tolist()]
        first, self._made = self._made, self._made + count
        ids = [f"event-{number - 7 if number % 100 == 99 else number}" for number in range(first, first + count)]
        fields = {
            "user": users,
            "item": [f"item{n}" for n in range(count)],
            "cents": self._rng.integers(0, 1000, count),
        }
        return self._table(self._topics["purchase"], users, ids, now, fields)

    @staticmethod
    def _table(topic: Topic, keys: list[str], ids: list[str], now: int, fields: dict[str, Any]) -> pa.Table:
        count = len(keys)
        times = np.full(count, now)
        columns = {"key": keys, "type": [topic.name] * count, "time": times, "seq": np.arange(count), "id": ids}
        return pa.table({**columns, "appended": times, **fields}, schema=topic.schema)


def home(folder: Path) -> Settings:
    """A fresh home with the algorithm, its history said to be empty."""
    (folder / "algorithms" / "bench").mkdir(parents=True)
    (folder / "algorithms" / "bench" / "algorithm.yaml").write_text(ALGORITHM)
    settings = Settings(home=folder / "home", algorithms=folder / "algorithms", fsync=True)
    registry = open_registry(settings)
    registry.put_fact("history/purchase", {"end": START - 1})
    registry.close()
    return settings


def variables(settings: Settings) -> dict[str, str]:
    """Environment of the processes of a home."""
    places = {"SAIMA_HOME": str(settings.home), "SAIMA_ALGORITHMS": str(settings.algorithms), "SAIMA_FSYNC": "true"}
    places["SAIMA_LINGER_MS"] = str(settings.linger_ms)
    return {**os.environ, **places}


@contextmanager
def process(settings: Settings, *command: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of the home, ended by SIGTERM."""
    running = subprocess.Popen([sys.executable, *command], env=variables(settings), text=True, **more)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def worker(settings: Settings) -> Any:
    """The worker's process."""
    return process(settings, "-m", "saima.worker", stderr=(settings.home / "worker.log").open("a"))


def burnt(pid: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def position(settings: Settings) -> int:
    """Offset that the online store covers; 0 before there is one."""
    try:
        store = open_online(0, settings)
        with store.read() as read:
            return read.position().get(0, 0)
    except Exception:  # noqa: BLE001  the worker has not made it yet
        return 0


def until(settings: Settings, offset: int, running: subprocess.Popen[str], seconds: float = 300.0) -> float:
    """Wait until the online store covers an offset; the moment, monotonic s."""
    end = time.monotonic() + seconds
    while position(settings) < offset:
        if running.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the worker does not come to {offset}: {(settings.home / 'worker.log').read_text()}")
        time.sleep(0.002)
    return time.monotonic()


def catch_up(folder: Path, events: int) -> dict[str, float]:
    """Events a second of a worker that finds a filled log, from its first commit on."""
    settings = home(folder)
    producer = Producer(settings)
    now, head = START, producer.append(1_000, START)
    with worker(settings) as running:
        until(settings, head, running)
        os.kill(running.pid, signal.SIGSTOP)
        for _ in range(events // 2_000):
            now += 10
            head = producer.append(2_000, now)
        used, started = burnt(running.pid), time.monotonic()
        os.kill(running.pid, signal.SIGCONT)
        seconds = until(settings, head, running) - started
        cpu = burnt(running.pid) - used
    return {"events": events, "seconds": seconds, "per_second": events / seconds, "per_cpu_second": events / cpu}


def rated(folder: Path, rate: int, seconds: float) -> dict[str, float]:
    """Latency percentiles in ms at a rate of events a second, the first second left out."""
    settings = home(folder)
    producer = Producer(settings)
    head = producer.append(1_000, START)
    producer.close()
    with worker(settings) as running:
        until(settings, head, running)
        own = str(Path(__file__))
        with (
            process(settings, own, "--read", stdout=subprocess.PIPE) as reader,
            process(settings, own, "--produce", str(rate), str(seconds + 1), stdout=subprocess.PIPE) as producing,
        ):
            used = burnt(running.pid)
            appended = json.loads(producing.communicate(timeout=seconds + 120)[0])
            until(settings, appended[-1][1], running)
            share = (burnt(running.pid) - used) / ((time.time_ns() - appended[0][0]) / 1e9)
            reader.send_signal(signal.SIGTERM)
            looks = json.loads(reader.communicate(timeout=60)[0])
    moments, offsets = (np.array(column) for column in zip(*looks, strict=True))
    starts, lasts = (np.array(column) for column in zip(*appended, strict=True))
    counted = starts >= starts[0] + 1_000_000_000
    found = (moments[np.searchsorted(offsets, lasts)] - starts)[counted] / 1e6
    made = int(lasts[-1] - lasts[0])
    p50, p99 = np.percentile(found, [50, 99]).tolist()
    reached = made / ((starts[-1] - starts[0]) / 1e9)
    return {"rate": rate, "reached": reached, "p50_ms": p50, "p99_ms": p99, "max_ms": float(found.max()), "core": share}


def quiet(folder: Path, rate: int, seconds: float, linger_ms: int = 0) -> float:
    """The worker's share of a core while so many events a second come one by one."""
    settings = home(folder).model_copy(update={"linger_ms": linger_ms})
    producer = Producer(settings)
    head = producer.append(1_000, START)
    with worker(settings) as running:
        until(settings, head, running)
        time.sleep(1.5)
        used, started, made = burnt(running.pid), time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            if made < passed * rate:
                made += 1
                producer.append(1, START + 1_000 + int(passed * 1000))
            time.sleep(0.002)
        return (burnt(running.pid) - used) / (time.monotonic() - started)


def produce(settings: Settings, rate: int, seconds: float) -> list[tuple[int, int]]:
    """Append at a rate in real time; per batch the wall clock (ns) before its append and its last offset."""
    producer = Producer(settings)
    found: list[tuple[int, int]] = []
    size, turns = rate * BATCH_MS // 1000, range(int(seconds * 1000 / BATCH_MS))
    made = [producer.make(size, START + 1_000 + turn * BATCH_MS) for turn in turns]  # not while the worker is measured
    started = time.monotonic()
    for turn in turns:
        wait = started + turn * BATCH_MS / 1000 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        moment = time.time_ns()
        found.append((moment, producer.give(made[turn])))
    return found


def look(settings: Settings) -> list[tuple[int, int]]:
    """Look at the online store each millisecond until SIGTERM: wall clock (ns) and the offset that it covers."""
    found, halt = [], []
    signal.signal(signal.SIGTERM, lambda *_: halt.append(True))
    store = open_online(0, settings)
    declared = load(settings.algorithms / "bench").declaration
    from saima.features.windows import groups

    tables, turn = [group.table for group in groups(declared)], 0
    while not halt:
        turn += 1
        with store.read() as read:
            for table in tables:
                read.get_many(table, [f"user{(turn * 20 + n) % USERS}" for n in range(20)])
            covered = read.position().get(0, 0)
        if not found or found[-1][1] != covered:
            found.append((time.time_ns(), covered))
        time.sleep(0.001)
    return found


def measured(events: int = 400_000, seconds: float = 10.0, folder: str = "") -> dict[str, Any]:
    """All numbers and what they are to reach."""
    with tempfile.TemporaryDirectory(dir=folder or Path(__file__).parent, prefix=".end_to_end_") as place:
        at = Path(place)
        found: dict[str, Any] = {"catch_up": catch_up(at / "catch_up", events)}
        found["rates"] = {str(rate): rated(at / f"rate{rate}", rate, seconds) for rate in (10_000, 50_000)}
        found["idle"] = {str(rate): quiet(at / f"quiet{rate}", rate, seconds / 2) for rate in (0, 90)}
        found["idle"]["90, lingering"] = quiet(at / "lingering", 90, seconds / 2, 20)
    stated = [("end to end, everything on: events/s, one shard", found["catch_up"]["per_second"], 200_000, True, "/s")]
    for rate, bound in (("10000", 60), ("50000", 150)):
        name = f"append to visible at {int(rate):,} events/s: p99"
        stated.append((name, found["rates"][rate]["p99_ms"], bound, False, " ms"))
    names = ("name", "value", "bound", "least", "unit")
    return {**found, "goals": [dict(zip(names, goal, strict=True)) for goal in stated]}


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--produce"]:
        print(json.dumps(produce(Settings(), int(given[1]), float(given[2]))))
    elif given[:1] == ["--read"]:
        print(json.dumps(look(Settings())))
    else:
        print(
            json.dumps(measured(*(cast(text) for cast, text in zip((int, float, str), given, strict=False))), indent=1)
        )
