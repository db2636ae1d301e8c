"""Linking: events a second of one core, in batches and one by one, with and without the sorter; numbers as JSON.

    python bench/streams/linking.py [events] [users] [idle]

`users` browse at once: app, scene, pages with behaviours on them, and back; 5,000 events a second. The same is measured
with `idle` more sessions open, which nobody touches: what an event costs must not grow with them.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl

from saima.events import Event
from saima.streams.linking import Linker, Linking, parse
from saima.streams.ordering import Sorter

BATCH, RUNS, GAP = 10_000, 5, 1_800_000
KINDS = ["app", "scene", "page", "click", "scroll"]
SHARES = [0.02, 0.05, 0.33, 0.4, 0.2]
SPEC = {
    "gap": GAP,
    "lenient": True,
    "entries": {
        "app": {"level": "app", "name": "name"},
        "scene": {"level": "scene", "name": "name"},
        "page": {"level": "page", "name": "name"},
        "click": {"level": "behaviour", "name": "name"},
        "scroll": {"level": "behaviour", "name": "name", "causes": False},
    },
}


def stream(events: int, users: int) -> pl.DataFrame:
    """Events of `users` in order of time, 5,000 a second."""
    rng = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "key": pl.Series([f"user-{key}" for key in rng.integers(0, users, events).tolist()]),
            "type": pl.Series(rng.choice(KINDS, events, p=SHARES)),
            "time": np.arange(events, dtype=np.int64) // 5,
            "seq": np.zeros(events, dtype=np.int64),
            "id": pl.Series([f"event-{place}" for place in range(events)]),
            "name": pl.Series([f"name-{name}" for name in rng.integers(0, 500, events).tolist()]),
        }
    )


def opened(spec: Linking, idle: int) -> Linker:
    """A linker with open sessions of users who do nothing more."""
    linker = Linker(spec)
    events = stream(idle, 1).with_columns(key=pl.format("idle-{}", pl.int_range(idle)), time=pl.lit(0, pl.Int64))
    for part in events.iter_slices(100_000):
        linker.process_batch(part)
    return linker


def batches(spec: Linking, events: pl.DataFrame, idle: int = 0) -> float:
    """Events a second of `process_batch`, gaps included."""
    linker = opened(spec, idle)
    parts = list(events.iter_slices(BATCH))
    start = time.perf_counter()
    for part in parts:
        linker.process_batch(part)
        linker.expire(int(part["time"][-1]))
    return events.height / (time.perf_counter() - start)


def sorted_batches(spec: Linking, events: pl.DataFrame) -> float:
    """The same behind the sorter, arrivals shuffled within two seconds."""
    late = np.random.default_rng(8).integers(0, 2_000, events.height)
    arriving = events[np.argsort(events["time"].to_numpy() + late, kind="stable")]
    parts = list(arriving.iter_slices(BATCH))
    linker, sorter, newest = Linker(spec), Sorter({"name": pl.String()}), 0
    start = time.perf_counter()
    for part in parts:
        sorter.process_batch(part)
        newest = max(newest, int(part["time"].to_numpy().max()))
        linker.process_batch(sorter.release(newest - 2_000))
        linker.expire(newest - 2_000)
    return events.height / (time.perf_counter() - start)


def singles(spec: Linking, events: pl.DataFrame) -> float:
    """Events a second of `process`."""
    made = [Event(k, t, at, seq, i, {"name": n}) for k, t, at, seq, i, n in events.iter_rows()]
    linker = Linker(spec)
    start = time.perf_counter()
    for event in made:
        linker.process(event)
    return len(made) / (time.perf_counter() - start)


def measured(events: int = 200_000, users: int = 10_000, idle: int = 200_000) -> dict[str, Any]:
    """Medians over runs, events a second."""
    spec = parse(SPEC, "bench")
    browsing = stream(events, users)
    batches(spec, browsing[:BATCH])
    runs: dict[str, Callable[[], float]] = {
        "batches": lambda: batches(spec, browsing),
        "batches_beside_idle_sessions": lambda: batches(spec, browsing, idle),
        "behind_the_sorter": lambda: sorted_batches(spec, browsing),
        "single_events": lambda: singles(spec, browsing[: events // 10]),
    }
    found = {name: round(statistics.median(run() for _ in range(RUNS))) for name, run in runs.items()}
    reached = {"name": "linking, in batches: events", "value": found["batches"], "bound": 300_000, "least": True}
    return {"events": events, "users": users, "idle": idle, **found, "goals": [{**reached, "unit": "/s"}]}


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:])), indent=1))
