"""The events that ours and the peers get, made alike in every environment: users that buy for whole cents."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

START = 1_700_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
Events = tuple[list[str], list[int], list[int]]


def purchases(count: int, users: int, span: int, seed: int = 0) -> Events:
    """Users, times in ms (ascending, over `span` ms) and amounts of so many events."""
    rng = random.Random(seed)  # noqa: S311
    times = sorted(START + int(rng.random() * span) for _ in range(count))
    return (
        [f"user{int(rng.random() * users)}" for _ in range(count)],
        times,
        [int(rng.random() * 1000) for _ in range(count)],
    )


def timed(run: Callable[[], Any], events: int, repeats: int) -> dict[str, float]:
    """Medians of some runs of so many events: seconds, CPU seconds of the process, and events a second of each."""
    wall, cpu = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    seconds, busy = statistics.median(wall), statistics.median(cpu)
    return {
        "events": events, "seconds": seconds, "cpu_seconds": busy, "per_second": events / seconds,
        "per_cpu_second": events / busy,
    }  # fmt: skip
