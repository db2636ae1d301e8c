"""The host inside a process: its share beyond extraction and model, the journal, routing, memory over swaps.

    python bench/host/embedded.py --home FOLDER [--rounds N] [--swaps N]

CPU of the calling threads and wall clock; JSON on stdout.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil
import workload
from pydantic_core import to_json

from saima.host.decide import route
from saima.host.drain import pack
from saima.host.host import Host
from saima.host.request import envelope
from saima.routing.deployment import AlgorithmState, release, write
from saima.routing.experiments import Experiment
from saima.settings import Settings
from saima.stores import open_registry


def quantiles(seconds: list[float], unit: float = 1e3) -> dict[str, float]:
    """Median and 99th percentile, in ms by default."""
    p50, p99 = np.percentile(seconds, (50, 99)) * unit
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}


class Parts:
    """Seconds of extraction, of scoring and of the journal, as each call took them."""

    def __init__(self, host: Host) -> None:
        self.seconds: dict[str, list[float]] = {"extract": [], "score": [], "journal": []}
        answerer: Any = host._answerer
        loaded = answerer.table.routes[workload.NAME].default.loaded
        self._wrap(loaded.extractor, "extract", "extract")
        self._wrap(loaded.bundle, "score", "score")
        self._wrap(answerer._recorder, "record", "journal")
        self._wrap(answerer._recorder, "append", "journal")

    def _wrap(self, owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return inner(*arguments, **options)
            finally:
                self.seconds[part].append(time.perf_counter() - begun)

        object.__setattr__(owner, name, timed)


def share(host: Host, rounds: int) -> dict[str, Any]:
    """Whole calls, and what is left of them beyond extraction and model; the journal's part of that."""
    bodies = workload.bodies(2 * rounds, seed=3)
    for body in bodies[:rounds]:
        host.predict(body, 30)
    gc.collect()
    gc.freeze()
    parts = Parts(host)
    whole = []
    for body in bodies[rounds:]:
        begun = time.perf_counter()
        host.predict(body, 30)
        whole.append(time.perf_counter() - begun)
    extract, score = (np.array(parts.seconds[name][-rounds:]) for name in ("extract", "score"))
    rest = np.array(whole) - extract - score
    return {"whole_ms": quantiles(whole), "extract_ms": quantiles(list(extract)), "score_ms": quantiles(list(score)),
            "beyond_ms": quantiles(list(rest))}  # fmt: skip


def journal(host: Host, rounds: int) -> dict[str, Any]:
    """The request thread's part of the journal: the snapshot and the write to the spool, the body being at hand."""
    answerer: Any = host._answerer
    asks = [envelope(body, None, to_json(body)) for body in workload.bodies(rounds, seed=5)]
    taken, sizes = [], []
    for ask in asks:
        route_, routed, chosen, degraded = answerer._choose(ask)
        made = answerer._attempts.compute(route_, chosen, ask, routed, degraded, ask.time)
        begun = time.perf_counter()
        record = answerer._recorder.record(ask, routed, made)
        answerer._recorder.append(ask, ask.time, record)
        taken.append(time.perf_counter() - begun)
        sizes.append(len(pack(ask.algorithm, ask.trace, ask.time, record)))
        chosen.release()
    return {"us": quantiles(taken, 1e6), "spooled_bytes": float(np.median(sizes))}


def routing(rounds: int, layers: int = 10) -> dict[str, float]:
    """Microseconds of `resolve` over so many layers."""
    experiments = [
        Experiment.model_validate(
            {
                "experiment": f"e{number}", "layer": f"l{number}", "unit": "trace",
                "arms": {arm: {"lineage": "main", "weight": 50} for arm in "ab"},
            }
        )
        for number in range(layers)
    ]  # fmt: skip
    state = AlgorithmState(experiments=experiments)
    asks = [envelope({"algorithm": "a", "request": {}}) for _ in range(rounds)]
    for ask in asks:
        route(state, ask)
    taken = []
    for ask in asks:
        begun = time.perf_counter()
        route(state, ask)
        taken.append(time.perf_counter() - begun)
    return quantiles(taken, 1e6)


def swaps(host: Host, settings: Settings, count: int) -> dict[str, float]:
    """Resident MB after the first tenth of so many swaps and after all, each answered once."""
    registry = open_registry(settings)
    numbers = [row.publication for row in registry.bundles(workload.NAME) if row.lineage == "main"][:2]
    if len(numbers) < 2:
        numbers.append(workload.publish(settings, "main", seed=99))
    process = psutil.Process()
    held: list[float] = []
    (body,) = workload.bodies(1)
    for number in range(count):
        wanted = numbers[number % 2]
        write(registry, release(workload.NAME, "main", wanted, standbys=0), "bench", "bench")
        until = time.monotonic() + 60
        while host.predict(body, 30)["version"] != wanted:
            assert time.monotonic() < until, host.status()
        held.append(process.memory_info().rss / 2**20)
    early = held[max(1, count // 10)]
    return {"swaps": count, "early_mb": round(early, 1), "late_mb": round(held[-1], 1),
            "growth_mb": round(held[-1] - early, 1)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--swaps", type=int, default=20)
    given = parser.parse_args()
    settings = workload.prepare(given.home)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    host = Host(settings, poll=0.02)
    host.start()
    assert host.settle(120)
    found = {"routing_us": routing(given.rounds), "journal": journal(host, given.rounds)}
    found |= {"share": share(host, given.rounds), "swaps": swaps(host, settings, given.swaps)}
    host.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
