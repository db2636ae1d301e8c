"""Rules in a running worker: from the append of an event to its match, and of an order to its first match; as JSON.

    python bench/streams/deploying.py [matches] [orders]

A worker runs as its own process, with its own commits to disk; this one appends to the log and watches the online
store: a match is visible when the commit that holds it in the outbox is. Wall clock, ms: what waits for a commit is no
CPU time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from saima.events import Event, Topic, to_table
from saima.features import load
from saima.recordings import topics
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry
from saima.streams.matching.orders import Order, give

ALGORITHM = """
algorithm: shop
sources:
  viewed: {key: shop, fields: {shop: string, seconds: int64}, lateness: 10s}
request: {fields: {shop: string}}
features:
  known: {value: "request.shop == 's1'", dtype: bool}
"""
START, STEP, DEADLINE = 1_700_000_000_000, 60_000, 60.0


def rule(name: str, version: int, least: int) -> dict[str, Any]:
    """Two views after each other, the second of at least so many seconds."""
    first, second = ["==", "type", "viewed"], [">=", "seconds", least]
    return {
        "id": name, "version": version, "on": ["viewed"], "within_ms": 10 * STEP,
        "pattern": [{"name": "a", "where": first}, {"name": "b", "after": "followed_by", "where": second}],
    }  # fmt: skip


class Shop:
    """A worker's process on a fresh home; `visible` is when a commit holds matches that were not there before."""

    def __init__(self, folder: Path) -> None:
        algorithms = folder / "algorithms"
        (algorithms / "shop").mkdir(parents=True)
        (algorithms / "shop" / "algorithm.yaml").write_text(ALGORITHM)
        self.settings = Settings(home=folder / "home", algorithms=algorithms)
        self.topic: Topic = topics(load(algorithms / "shop").declaration)["viewed"]
        self.log, self._registry = open_log(self.settings), open_registry(self.settings)
        self._registry.put_fact("history/viewed", {"end": START})
        self._time, self._number = START, 0
        variables = {**os.environ, "SAIMA_HOME": str(folder / "home"), "SAIMA_ALGORITHMS": str(algorithms)}
        # the tables take nothing while it is measured, so that matches stay in the outbox, where they are seen
        command = [sys.executable, "-m", "saima.worker", "--drain-seconds", "3600"]
        self._worker = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 3 * DEADLINE
        while not any(one.get("state") == "running" for one in self._registry.statuses("worker/").values()):
            if time.monotonic() > deadline or self._worker.poll() is not None:
                self._worker.kill()
                raise TimeoutError("the worker does not start")
            time.sleep(0.05)
        self._online = open_online(0, self.settings)

    def append(self, *seconds: int) -> None:
        """Views, each a minute of event time after the one before: it moves the watermark past that one."""
        events = []
        for each in seconds:
            self._time += STEP
            self._number += 1
            fields = {"shop": "s", "seconds": each}
            events.append(Event("s", "viewed", self._time, 0, f"v{self._number}", fields))
        self.log.append("viewed", to_table(self.topic, events, time.time_ns() // 1_000_000))

    def matches(self) -> int:
        """Commits with matches so far."""
        with self._online.read() as read:
            return read.generation("outbox/matches")

    def visible(self, known: int, began: float) -> float:
        """ms from `began` (s) until there are more."""
        while self.matches() == known:
            if time.perf_counter() - began > DEADLINE:
                raise TimeoutError("the match does not come")
            time.sleep(0.0005)
        return (time.perf_counter() - began) * 1e3

    def close(self) -> None:
        """End the worker."""
        self._worker.terminate()
        self._worker.wait(DEADLINE)
        self._online.close()
        self.log.close()
        self._registry.close()


def matched(shop: Shop, count: int) -> list[float]:
    """ms from the append of the event that moves the watermark past a match until the match is committed."""
    give(shop.log, [Order([rule("first", 1, 5)])], time.time_ns() // 1_000_000)
    found = []
    for _ in range(count):
        shop.append(0, 9)
        time.sleep(0.05)  # these are read before the one that is measured, as they are in steady traffic
        known, began = shop.matches(), time.perf_counter()
        shop.append(0)
        found.append(shop.visible(known, began))
    return found


def deployed(shop: Shop, count: int) -> list[float]:
    """ms from the append of an order until the first match of its rule, whose events come right after it."""
    found = []
    for number in range(count):
        known, began = shop.matches(), time.perf_counter()
        # nothing else may match: the other rule and what the version before has begun go
        order = Order([rule("second", number + 1, 100 + number)], ("first",), "drop")
        give(shop.log, [order], time.time_ns() // 1_000_000)
        shop.append(0, 100 + number, 0)
        found.append(shop.visible(known, began))
        time.sleep(0.05)
    return found


def measured(matches: int = 200, orders: int = 50) -> dict[str, Any]:
    """Percentiles of both, ms, and the goals."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        try:
            taken = {"match": matched(shop, matches), "deploy": deployed(shop, orders)}
        finally:
            shop.close()
    found: dict[str, Any] = {"matches": matches, "orders": orders}
    for name, times in taken.items():
        found[f"{name}_p50_ms"] = round(statistics.median(times), 2)
        found[f"{name}_p99_ms"] = round(float(np.percentile(times, 99)), 2)
    found["goals"] = [
        goal("a match after the watermark: p99", found["match_p99_ms"]),
        goal("a deployed rule's first match after its order: p99", found["deploy_p99_ms"]),
    ]
    return found


def goal(name: str, value: float) -> dict[str, Any]:
    """A goal as the comparison reads it."""
    return {"name": name, "value": value, "bound": 100, "least": False, "unit": " ms"}


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:])), indent=1))
