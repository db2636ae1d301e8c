"""Linking: events a second of one core, in batches and one by one, with and without the sorter; numbers as JSON.

    python bench/streams/linking.py [events] [keys]

Every key browses: app, scene, pages with behaviours on them, and back. Set POLARS_MAX_THREADS=1 for one core.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

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


def stream(events: int, keys: int) -> pl.DataFrame:
    """Events of `keys` users in order of time, 5,000 a second."""
    rng = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "key": pl.Series([f"user-{key}" for key in rng.integers(0, keys, events).tolist()]),
            "type": pl.Series(rng.choice(KINDS, events, p=SHARES)),
            "time": np.arange(events, dtype=np.int64) // 5,
            "seq": np.zeros(events, dtype=np.int64),
            "id": pl.Series([f"event-{place}" for place in range(events)]),
            "name": pl.Series([f"name-{name}" for name in rng.integers(0, 500, events).tolist()]),
        }
    )


def batches(spec: Linking, events: pl.DataFrame) -> float:
    """Events a second of `process_batch`, gaps included."""
    linker = Linker(spec)
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


def measured(events: int = 400_000, keys: int = 20_000) -> dict[str, float]:
    """Medians over runs; `of_keys` tells what ten times the keys cost."""
    spec = parse(SPEC, "bench")
    few, many = stream(events, keys), stream(events, 10 * keys)
    batches(spec, few[:BATCH])

    def median(run: object, frame: pl.DataFrame, runs: int = RUNS) -> float:
        return statistics.median(run(spec, frame) for _ in range(runs))  # type: ignore[operator]

    found = {
        "batches_events_per_s": median(batches, few),
        "batches_ten_times_the_keys_events_per_s": median(batches, many),
        "behind_the_sorter_events_per_s": median(sorted_batches, few),
        "single_events_per_s": median(singles, few[: events // 10], 3),
    }
    return {"events": events, "keys": keys, **{name: round(value) for name, value in found.items()}}


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:])), indent=1))
