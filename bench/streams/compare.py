"""The streams benchmark: ours and the peers in one run, each in a process and an environment of its own; the ratios.

    python -m bench.streams.compare [--quick] [--alone] [--strict] [--out bench/results/streams.json]

The peers' figures include their routing; ours are a library's, called in process. `--quick` takes a tenth of the
events, `--alone` leaves the other engines out. Ratios are of CPU time, which a busy machine moves less than the clock;
the clock's are beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.comparison import Goal, machine, options, report, run
from bench.environments import ROOT, python_of

HERE = Path(__file__).parent
ROUTING = "The figures of Bytewax and Pathway include their routing; ours are calls of a library in one process."
ENGINES = ("matching", "linking", "deploying", "store", "end_to_end")
"""Benchmarks of other engines, joined as they are: each prints JSON with its own `goals` or none."""


def measure(quick: bool, engines: Sequence[str] = ENGINES) -> dict[str, Any]:
    """Everything, one after the other: ours and its peer side by side in time."""
    share = 10 if quick else 1
    ours = {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    users = ("--users", 10_000 // share)
    found = {"aggregation": run(HERE, sys.executable, "aggregation.py", "--events", 300_000 // share, *users, **ours)}
    windowed = ("--windowed", 50_000 // share)
    found["bytewax"] = run(
        HERE, python_of("bytewax"), "bytewax_peer.py", "--events", 300_000 // share, *users, *windowed
    )
    found["pathway"] = run(
        HERE, python_of("pathway"), "pathway_peer.py", "--events", 100_000 // share, *users, PATHWAY_THREADS="1"
    )
    for name in engines:
        if (HERE / f"{name}.py").is_file():
            found[name] = run(HERE, sys.executable, f"{name}.py", **ours)
    return found


def ratio(ours: Mapping[str, float], theirs: Mapping[str, float], per: str = "per_cpu_second") -> float:
    """Our events a second over theirs."""
    return ours[per] / theirs[per]


def goals(found: Mapping[str, Any]) -> list[Goal]:
    """What the numbers of aggregation are to reach."""
    ours, bytewax, pathway = found["aggregation"], found["bytewax"], found["pathway"]
    single = max(ours["single"].values(), key=lambda one: float(one["per_cpu_second"]))
    latency = min(ours["update_and_read"].values(), key=lambda one: float(one["cpu_p99_us"]))
    batches, windows = ours["batches"], ours["tumbling"]
    image = min(ours["snapshot"].values(), key=lambda one: float(one["snapshot_ms"]))
    growth = [one["batch_ns"] for one in ours["growth"].values()]
    return [
        Goal("single events, 10 features a user: updates", single["per_second"], 800_000, True, "/s"),
        Goal("single events / Bytewax stateful_map", ratio(single, bytewax["stateful_map"]), 4, True, " x"),
        Goal("batches of 10,000: updates", batches["per_second"], 3_000_000, True, "/s"),
        Goal("batches of 10,000 / Bytewax stateful_map", ratio(batches, bytewax["stateful_map"]), 15, True, " x"),
        Goal("tumbling windows / Bytewax fold_window", ratio(windows, bytewax["fold_window"]), 40, True, " x"),
        Goal("tumbling windows / Pathway", ratio(windows, pathway["tumbling"]), 20, True, " x"),
        Goal("update and read of 10 features: p99", latency["p99_us"], 15, False, " us"),
        Goal("update and read of 10 features: p99 of CPU", latency["cpu_p99_us"], 15, False, " us"),
        Goal("update and read of 10 features: p99.9", latency["p999_us"], 1000, False, " us"),
        Goal("1,000 declarations of which 900 are duplicates / 100", ours["duplicates"]["ratio"], 1.2, False, " x"),
        Goal("snapshot of 100,000 tiles", 1e5 * image["snapshot_ms"] / image["tiles"], 150, False, " ms"),
        Goal("an event's cost with 1e6 keys / with 1e4", growth[-1] / growth[0], 1.5, False, " x"),
    ]  # fmt: skip


def others(found: Mapping[str, Any]) -> list[Goal]:
    """Goals that other engines' benchmarks state themselves: name, value, bound, least, unit."""
    stated = [goal for name in ENGINES for goal in _stated(found.get(name))]
    return [Goal(one["name"], one["value"], one["bound"], one["least"], one.get("unit", "")) for one in stated]


def _stated(document: Any) -> list[dict[str, Any]]:
    return list(document.get("goals", [])) if isinstance(document, dict) else []


def table(found: Mapping[str, Any]) -> list[str]:
    """The measurements in lines: events a second by the clock and of CPU, and the peer's."""
    ours, bytewax, pathway = found["aggregation"], found["bytewax"], found["pathway"]
    rows = [
        ("single events, rows", ours["single"]["rows"], bytewax["stateful_map"]),
        ("single events, columns", ours["single"]["columns"], bytewax["stateful_map"]),
        ("batches of 10,000", ours["batches"], bytewax["stateful_map"]),
        ("tumbling, Bytewax fold_window", ours["tumbling"], bytewax["fold_window"]),
        ("tumbling, Pathway", ours["tumbling"], pathway["tumbling"]),
    ]
    lines = [
        "events a second               ours, clock    ours, CPU   theirs, clock   theirs, CPU   ratio, clock   CPU"
    ]
    for name, one, other in rows:
        clock, cpu = ratio(one, other, "per_second"), ratio(one, other)
        lines.append(
            f"{name:<30}{one['per_second']:>11,.0f}{one['per_cpu_second']:>13,.0f}{other['per_second']:>16,.0f}"
            f"{other['per_cpu_second']:>14,.0f}{clock:>13.1f} x{cpu:>5.0f} x"
        )
    return [*lines, ROUTING]


def main() -> None:
    """Measure, print, write."""
    parser = options(__doc__, "streams.json")
    parser.add_argument("--alone", action="store_true", help="aggregation and its peers, not the other engines")
    given = parser.parse_args()
    before = machine(("polars", "numpy", "numba"), ("bytewax", "pathway"))
    engines = () if given.alone else ENGINES
    report(
        given, before, lambda: measure(given.quick, engines), lambda found: [*goals(found), *others(found)], table,
        note=ROUTING,
    )  # fmt: skip


if __name__ == "__main__":
    main()
