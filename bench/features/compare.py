"""The feature benchmark: ours and the peers in one run, each in a process and an environment of its own; the ratios.

    python bench/features/compare.py [--quick] [--strict] [--out bench/results/features.json]

Feast is asked for values that were computed before; ours computes them. `--quick` takes a tenth of the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from environments import ROOT, environment, python_of

HERE = Path(__file__).parent
CANDIDATES = (50, 200, 500, 1000)


@dataclass(frozen=True)
class Goal:
    """A number, what it is to reach, and whether it does: at most or at least `bound`."""

    name: str
    value: float
    bound: float
    least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the number is on the right side of its bound."""
        return self.value >= self.bound if self.least else self.value <= self.bound

    def __str__(self) -> str:
        side = "at least" if self.least else "at most"
        wanted = f"{side} {self.bound:g}{self.unit}"
        return f"{'ok    ' if self.met else 'MISSED'} {self.name:<66} {self.value:>10.3f}{self.unit:<4} ({wanted})"


def run(python: Path | str, *arguments: object, **variables: str) -> Any:
    """JSON that a script of this folder prints, in a process of its own."""
    command = [str(python), *map(str, arguments)]
    print(f"... {' '.join(map(str, arguments))}", file=sys.stderr)
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment(**variables), cwd=HERE)
    return json.loads(found.stdout)


def measure(quick: bool) -> dict[str, Any]:
    """Everything, one after the other: ours and its peer side by side in time."""
    share = 10 if quick else 1
    ours = {"PYTHONPATH": str(ROOT)}
    online = run(sys.executable, "online.py", "--rounds", 400 // share, "--candidates", *CANDIDATES,
                 POLARS_MAX_THREADS="1", **ours)  # fmt: skip
    repeats = max(5, 20 // share)
    feast = run(python_of("feast"), "feast_peer.py", "online", "--entities", *CANDIDATES, "--repeats", repeats)
    sizes = ("--events", 10_000_000 // share, "--requests", 1_000_000 // share)
    backfill = run(sys.executable, "backfill.py", *sizes, "--repeats", 1 if quick else 2, **ours)
    history = run(python_of("feast"), "feast_peer.py", "historical", "--rows", 1_000_000 // share, "--features", 20,
                  "--keys", 100_000 // share)  # fmt: skip
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


def machine() -> dict[str, Any]:
    """Where it ran."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("polars", "numpy", "numba", "lmdb")} | locked("duckdb", "feast"),
    }


def locked(*peers: str) -> dict[str, str]:
    """Versions of the peers, as their locks say."""
    found = {}
    for peer in peers:
        for line in _lines(HERE / f"requirements-{peer}.lock"):
            if line.startswith(f"{peer}=="):
                found[peer] = line.partition("==")[2].split()[0]
    return found


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


def _lines(path: Path | str) -> Sequence[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).is_file() else []


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "features.json")
    given = parser.parse_args()
    started, before = time.perf_counter(), machine()
    found = measure(given.quick)
    reached = goals(found)
    document = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started),
        "quick": given.quick,
        "machine": {**before, "load_after": os.getloadavg()[0]},
        "goals": [asdict(goal) | {"met": goal.met} for goal in reached],
        **found,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(document, indent=1) + "\n")
    print("\n".join([*table(found), "", *map(str, reached)]))
    load = max(document["machine"]["load"], document["machine"]["load_after"])
    if load > before["cores"]:
        print(f"the machine was busy (load {load:.1f} on {before['cores']} cores): wall clock says little")
    print(f"written to {given.out}")
    if given.strict and not all(goal.met for goal in reached):
        sys.exit(1)


if __name__ == "__main__":
    main()
