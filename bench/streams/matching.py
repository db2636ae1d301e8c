"""The pattern matcher: events a second with 50 rules of 3 steps, with 500 rules, and memory after idle keys.

    python bench/streams/matching.py [--events N] [--repeats R]

Prints JSON: medians over the repeats. One core, in batches of 10,000 events as the worker reads them, with `advance`
after each; `stored` has `changes` after each batch as well. The collector of cycles is off, as in a process that has
only this to do: the engine makes none. `events_a_cpu_second` is what the machine gives when others use it too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one core, as the goals say

import numpy as np
import polars as pl

from saima.streams.matching import Matcher, RuleSet

BATCH = 10_000
KEYS = 1_000
SPACING = 10  # ms between events: a key has one every 10 s on the average
WITHIN = 500_000


def rules(count: int, types: int, seed: int, *, disjoint: bool = False) -> RuleSet:
    """Rules of three steps over `types` event types; disjoint ones have three types of their own each."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        chosen = range(3 * i, 3 * i + 3) if disjoint else rng.choice(types, 3, replace=False).tolist()
        steps: list[dict[str, Any]] = [
            {"name": f"s{j}", "where": ["==", "type", f"t{t}"]} for j, t in enumerate(chosen)
        ]
        for step in steps[1:]:
            step["after"] = "followed_by"
        found.append({"id": f"r{i}", "pattern": steps, "within_ms": WITHIN})
    return RuleSet.read(found)


def events(count: int, types: int, seed: int, keys: int = KEYS) -> pl.DataFrame:
    """Events of uniformly drawn types and keys."""
    rng = np.random.default_rng(seed)
    names = pl.Series([f"t{t}" for t in range(types)])
    users = pl.Series([f"user-{k}" for k in range(keys)])
    return pl.DataFrame(
        {
            "key": users[rng.integers(0, keys, count)],
            "type": names[rng.integers(0, types, count)],
            "time": np.arange(count, dtype=np.int64) * SPACING,
            "seq": np.arange(count, dtype=np.int64),
            "id": pl.Series(np.arange(count)).cast(pl.String),
        }
    )


def speed(made: RuleSet, stream: pl.DataFrame, *, store: bool = False) -> dict[str, float]:
    """Events a second over the second half of a stream, when windows are full; matches an event."""
    matcher = Matcher(made)
    half = stream.height // 2
    matches, spent, worked = 0, 0.0, 0.0
    for start in range(0, stream.height, BATCH):
        batch = stream[start : start + BATCH]
        began, cpu = time.perf_counter(), time.process_time()
        found = matcher.process_batch(batch)
        matcher.advance(int(batch["time"][-1]))
        if store:
            matcher.changes()
        if start >= half:
            spent += time.perf_counter() - began
            worked += time.process_time() - cpu
            matches += found.height
    count = stream.height - half
    return {
        "events_a_second": count / spent,
        "events_a_cpu_second": count / worked,
        "matches_an_event": matches / count,
    }


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median of each number."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(keys: int) -> dict[str, float]:
    """Memory before, with a partial match for every key, and after all have run out of time."""
    made = rules(50, 50, 5)
    matcher = Matcher(made)
    warm = events(100_000, 50, 6)
    for start in range(0, warm.height, BATCH):
        matcher.process_batch(warm[start : start + BATCH])
        matcher.advance(int(warm["time"][min(start + BATCH, warm.height) - 1]))
        matcher.changes()
    clock = warm.height * SPACING
    gc.collect()
    before = resident()
    first = made.rules["r0"].start.awaits
    for start in range(0, keys, BATCH):
        count = min(BATCH, keys - start)
        batch = events(count, 1, start).with_columns(
            key=pl.Series([f"once-{start + i}" for i in range(count)]),
            type=pl.lit((first or ("t0",))[0]),
            time=pl.lit(clock + start // 100, pl.Int64),
        )
        matcher.process_batch(batch)
        matcher.changes()
    held = resident()
    matcher.advance(clock + keys // 100 + WITHIN + 1)
    matcher.changes()
    gc.collect()
    after = resident()
    return {"before": before, "held": held, "after": after, "after_over_before": after / before, "live": matcher.live}


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What the numbers are to reach, of those that were measured."""
    rates = (("types_200", 200, 500_000), ("types_50", 50, 150_000), ("types_20", 20, 60_000))
    stated: list[dict[str, Any]] = [
        {
            "name": f"matching, 50 rules of 3 steps over {types} types: events",
            "value": found[name]["events_a_second"], "bound": bound, "least": True, "unit": "/s",
        }
        for name, types, bound in rates
        if name in found
    ]  # fmt: skip
    if "rules_500" in found:
        kept = found["rules_500"]["events_a_cpu_second"] / found["rules_50"]["events_a_cpu_second"]
        stated.append(
            {"name": "matching, 500 rules of disjoint types / 50", "value": kept, "bound": 0.9, "least": True}
        )
    if "idle_keys" in found:
        stated.append(
            {
                "name": "matching, memory after idle keys / before", "value": found["idle_keys"]["after_over_before"],
                "bound": 1.1, "least": False, "unit": " x",
            }
        )  # fmt: skip
    return stated


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    gc.disable()
    results: dict[str, Any] = {}
    for types in (200, 50, 20):
        if chosen.only in ("", "types", str(types)):
            stream = events(chosen.events, types, types)
            made = rules(50, types, 7)
            results[f"types_{types}"] = median([speed(made, stream) for _ in range(chosen.repeats)])
    if chosen.only in ("", "stored"):
        stream = events(chosen.events // 10, 200, 200)
        results["types_200_stored"] = median(
            [speed(rules(50, 200, 7), stream, store=True) for _ in range(chosen.repeats)]
        )
    if chosen.only in ("", "rules"):
        few, many = rules(50, 1500, 7, disjoint=True), rules(500, 1500, 7, disjoint=True)
        some, all_ = events(chosen.events, 150, 3), events(chosen.events, 1500, 3)
        pairs = [(speed(few, some), speed(many, all_)) for _ in range(chosen.repeats)]
        results["rules_50"] = median([pair[0] for pair in pairs])
        results["rules_500"] = median([pair[1] for pair in pairs])
    if chosen.only in ("", "memory"):
        results["idle_keys"] = idle(chosen.keys)
    print(json.dumps({**results, "goals": goals(results)}, indent=2))


if __name__ == "__main__":
    main()
