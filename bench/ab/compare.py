"""The benchmark of experiments: assignment, and a report beside GrowthBook's gbstats in one run; the ratios.

    python -m bench.ab.compare [--quick] [--strict] [--out bench/results/ab.json]

Each runs in a process of its own on two threads. `--quick` takes a tenth of the units.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.comparison import Goal, machine, options, report, run
from bench.environments import ROOT, python_of

HERE = Path(__file__).parent


def measure(quick: bool) -> dict[str, Any]:
    """One after the other."""
    share = 10 if quick else 1
    ours, units = {"PYTHONPATH": str(ROOT)}, 1_000_000 // share
    assigned = run(HERE, sys.executable, "assignment.py", "--units", 10_000_000 // share, "--rounds", 50_000 // share,
                   **ours)  # fmt: skip
    evaluated = run(HERE, sys.executable, "evaluation.py", "--units", units, **ours)
    peer = run(HERE, python_of("gbstats"), "gbstats_peer.py", "--units", units)
    return {"assignment": assigned, "report": evaluated, "gbstats": peer}


def goals(found: dict[str, Any]) -> list[Goal]:
    """What the numbers are to reach."""
    resolve, batch, made = found["assignment"]["resolve"], found["assignment"]["batch"], found["report"]
    size = f"{made['metrics']} metrics, {made['looks']} looks, {made['segments']} segments"
    peer = found["gbstats"]["sums_cpu_seconds"] + found["gbstats"]["statistics_cpu_seconds"]
    return [
        Goal(f"resolve with {resolve['layers']} layers: p50 of CPU", resolve["p50_us"], 6, False, " us"),
        Goal("assignment in batch on 2 threads, millions a second of CPU", batch["per_second_of_two_cores"] / 1e6, 10,
             True),
        Goal(f"report: {made['units']:,} units, {size}", made["seconds"], 5, False, " s"),
        Goal("report: memory", made["peak_mb"] / 1024, 2.5, False, " GB"),
        Goal("gbstats with Polars' sums look by look / ours, of CPU", peer / made["cpu_seconds"], 1, True, " x"),
    ]  # fmt: skip


def table(found: dict[str, Any]) -> list[str]:
    """The measurements in lines."""
    made, peer, batch = found["report"], found["gbstats"], found["assignment"]["batch"]
    return [
        f"report    {made['seconds']:.2f} s, of CPU {made['cpu_seconds']:.2f} s, {made['samples']:,} samples",
        f"gbstats   sums {peer['sums_seconds']:.2f} s, of CPU {peer['sums_cpu_seconds']:.2f} s; statistics "
        f"{peer['statistics_seconds']:.2f} s, of CPU {peer['statistics_cpu_seconds']:.2f} s; ratios without covariates",
        f"batch     {batch['per_second'] / 1e6:.1f} million units a second by the clock",
    ]


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "ab.json").parse_args()
    before = machine(("polars", "tea-tasting", "scipy", "xxhash"), ("gbstats",))
    report(given, before, lambda: measure(given.quick), goals, table)


if __name__ == "__main__":
    main()
