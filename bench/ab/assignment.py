"""Assignment: one unit through ten layers, and a column of units on two threads; JSON on stdout."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import polars as pl

from saima.routing.buckets import bucket, bucket_expr
from saima.routing.experiments import Experiment
from saima.routing.layers import Layers

LAYERS = 10


def resolve(rounds: int) -> dict[str, float]:
    """CPU microseconds of resolving a unit in ten layers: the median of parts of a thousand units."""
    experiments = [
        Experiment.model_validate(
            {
                "experiment": f"e{number}",
                "layer": f"l{number}",
                "unit": "user",
                "arms": {arm: {"lineage": "main", "weight": 50} for arm in "ab"},
            }
        )
        for number in range(LAYERS)
    ]
    layers, taken = Layers(experiments), []
    for part in range(max(3, rounds // 1000)):
        units = [f"user-{part * 1000 + n}" for n in range(1000)]
        used = time.process_time()
        for unit in units:
            layers.resolve(lambda _, unit=unit: unit)
        taken.append((time.process_time() - used) * 1000)
    return {"p50_us": float(np.median(taken)), "p90_us": float(np.quantile(taken, 0.9)), "layers": LAYERS}


def batch(units: int, repeats: int) -> dict[str, float]:
    """Units a second from text to arm, by wall clock and by the CPU time of both threads."""
    frame = pl.DataFrame({"unit": pl.int_range(units, eager=True).cast(pl.String)})
    # Two halves side by side: an expression over one column works on one thread.
    halves = [frame[: units // 2].lazy(), frame[units // 2 :].lazy()]
    arm = (bucket_expr("checkout", "unit") >= 5000).cast(pl.Int8).alias("arm")
    taken = []
    for _ in range(repeats):
        wall, used = time.perf_counter(), time.process_time()
        found = pl.collect_all([half.select(arm) for half in halves])
        taken.append((time.perf_counter() - wall, time.process_time() - used))
    some = range(0, units, max(1, units // 1000))
    arms = pl.concat(found)["arm"]
    assert all(arms[n] == (bucket("checkout", str(n)) >= 5000) for n in some), "batch and scalar disagree"
    wall, used = (float(np.median([each[part] for each in taken])) for part in (0, 1))
    return {"units": units, "per_second": units / wall, "per_second_of_two_cores": 2 * units / used}


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=50_000)
    given = parser.parse_args()
    print(json.dumps({"resolve": resolve(given.rounds), "batch": batch(given.units, 5)}))


if __name__ == "__main__":
    main()
