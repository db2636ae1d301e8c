"""The feature benchmark: ours and the peers in one run, each in a process and an environment of its own; the ratios.

    python -m bench.features.compare [--quick] [--strict] [--out bench/results/features.json]

Feast is asked for values that were computed before; ours computes them. `--quick` takes a tenth of the rows.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.comparison import Goal, machine, options, report, run
from bench.environments import ROOT, python_of

HERE = Path(__file__).parent
CANDIDATES = (50, 200, 500, 1000)


def measure(quick: bool) -> dict[str, Any]:
    """Everything, one after the other: ours and its peer side by side in time."""
    share = 10 if quick else 1
    ours = {"PYTHONPATH": str(ROOT)}
    online = run(HERE, sys.executable, "online.py", "--rounds", 400 // share, "--candidates", *CANDIDATES,
                 POLARS_MAX_THREADS="1", **ours)  # fmt: skip
    repeats = max(5, 20 // share)
    feast = run(HERE, python_of("feast"), "feast_peer.py", "online", "--entities", *CANDIDATES, "--repeats", repeats)
    sizes = ("--events", 10_000_000 // share, "--requests", 1_000_000 // share)
    backfill = run(HERE, sys.executable, "backfill.py", *sizes, "--repeats", 1 if quick else 2, **ours)
    history = run(HERE, python_of("feast"), "feast_peer.py", "historical", "--rows", 1_000_000 // share,
                  "--features", 20, "--keys", 100_000 // share)  # fmt: skip
    return {"online": online, "feast_online": feast, "backfill": backfill, "feast_historical": history}


def goals(found: dict[str, Any]) -> list[Goal]:
    """What the numbers are to reach."""
    ours = {case["candidates"]: case for case in found["online"]["cases"]}
    feast = {case["entities"]: case for case in found["feast_online"]["found"]}
    main, backfill = ours[500], found["backfill"]
    made = [
        Goal("500 candidates, 100 features into the matrix: p50", main["us"]["p50"] / 1000, 0.35, False, " ms"),
        Goal("500 candidates, 100 features into the matrix: p99", main["us"]["p99"] / 1000, 1.5, False, " ms"),
        Goal("Feast's get_online_features of 100 for 500, p50 / ours", feast[500]["p50_ms"] * 1000 / main["us"]["p50"],
             500, True, " x"),
        Goal("one Polars select of the 100 features by hand, p50 / ours",
             main["one_select_us"]["p50"] / main["us"]["p50"], 4, True, " x"),
    ]  # fmt: skip
    for fewer, more in pairwise(CANDIDATES):
        growth = ours[more]["us"]["p50"] / ours[fewer]["us"]["p50"]
        made.append(Goal(f"{more} candidates for {fewer}: growth of p50", growth, more / fewer, False, " x"))
    seconds = backfill["saima"]["seconds"]
    scaled = found["feast_historical"]["found"]["seconds"] * backfill["requests"]
    scaled /= found["feast_historical"]["found"]["rows"]
    rows = f"{backfill['requests']:,} requests x {backfill['windows']} windows, {backfill['events']:,} events"
    return [
        *made,
        Goal(f"{rows}: DuckDB's best ({backfill['best']}) / ours", backfill["faster"], 3, True, " x"),
        Goal(f"{rows}: memory", backfill["saima"]["peak_mb"] / 1024, 2, False, " GB"),
        Goal("Feast's historical retrieval of as many rows / ours", scaled / seconds, 30, True, " x"),
    ]


def table(found: dict[str, Any]) -> list[str]:
    """The measurements in lines."""
    feast = {case["entities"]: case for case in found["feast_online"]["found"]}
    lines = ["candidates   ours p50   ours p99   one select   Feast online   select/ours   Feast/ours   of CPU each"]
    for case in found["online"]["cases"]:
        count, us, select = case["candidates"], case["us"], case["one_select_us"]["p50"]
        theirs = feast[count]["p50_ms"] * 1000
        times = f"{us['p50']:>5.0f} us   {us['p99']:>5.0f} us   {select:>7.0f} us   {theirs / 1000:>9.1f} ms"
        cpu = case["one_select_us"]["cpu_p50"] / us["cpu_p50"], feast[count]["cpu_p50_ms"] * 1000 / us["cpu_p50"]
        lines.append(
            f"{count:>10}   {times}   {select / us['p50']:>9.1f} x   {theirs / us['p50']:>8.0f} x"
            f"   {cpu[0]:>7.1f} x   {cpu[1]:>4.0f} x"
        )
    backfill, history = found["backfill"], found["feast_historical"]["found"]
    lines.append(
        f"backfill     ours {backfill['saima']['seconds']:.2f} s, DuckDB "
        + ", ".join(f"{form} {each['seconds']:.2f} s" for form, each in backfill["duckdb"].items())
        + f"; Feast, {history['rows']:,} precomputed rows: {history['seconds']:.1f} s"
    )
    return lines


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "features.json").parse_args()
    before = machine(("polars", "numpy", "numba", "lmdb"), ("duckdb", "feast"))
    report(given, before, lambda: measure(given.quick), goals, table)


if __name__ == "__main__":
    main()
