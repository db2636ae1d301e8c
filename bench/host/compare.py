"""The host's benchmark: all goals of the host in one run, the peers beside it; bench/results/host.json.

    python -m bench.host.compare [--quick] [--strict] [--out bench/results/host.json]

One worker on one core, the load from another. `--quick` takes a tenth of the work and swaps a small bundle.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.comparison import Goal, machine, options, report, run
from bench.environments import ROOT, python_of

HERE = Path(__file__).parent


def measure(quick: bool) -> dict[str, Any]:
    """Everything, one after the other, in one home."""
    ours = {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="bench-host-") as text:
        home = Path(text) / "home"
        http = run(HERE, sys.executable, "over_http.py", "--home", home, "--seconds", 3 if quick else 15,
                   "--bundle-mb", 8 if quick else 200, **ours)  # fmt: skip
        inside = run(HERE, sys.executable, "embedded.py", "--home", home, "--rounds", 100 if quick else 1000,
                     "--swaps", 10 if quick else 100, **ours)  # fmt: skip
        hand = run(HERE, sys.executable, "two_services.py", "--home", home, "--rounds", 10 if quick else 50, **ours)
    repeats = 5 if quick else 20
    feast = run(HERE.parent / "features", python_of("feast"), "feast_peer.py", "online", "--entities", 500,
                "--repeats", repeats)  # fmt: skip
    return {"http": http, "embedded": inside, "by_hand": hand, "feast": feast["found"][0]}


def goals(found: dict[str, Any]) -> list[Goal]:
    """What the numbers are to reach."""
    http, inside, hand, feast = found["http"], found["embedded"], found["by_hand"], found["feast"]
    half, each = http["half"]["latency_ms"], 1000 / http["saturation"]["cpu_ms_each"]
    stages = http["stages_ms"]
    usual, usual_cpu = feast["p50_ms"] + hand["post_ms"], feast["cpu_p50_ms"] + hand["cpu_ms"]
    shadow = http["shadow"]
    once, thrice = http["overload"]
    made = [
        Goal("500 x 100 x 100 trees over HTTP at half saturation: p50", half["p50"], 2.5, False, " ms"),
        Goal("the same: p99", half["p99"], 6, False, " ms"),
        Goal("answers a second of a worker's core", http["saturation"]["per_s"], 400, True),
        Goal("the same, of CPU alone", each, 400, True),
        Goal(
            "host beyond extraction and model, over HTTP",
            half["p50"] - stages["extract"] - stages["score"],
            1,
            False,
            " ms",
        ),
        Goal("host beyond extraction and model, embedded", inside["share"]["beyond_ms"]["p50"], 0.15, False, " ms"),
        Goal("Feast + model service, p50 / ours", usual / half["p50"], 100, True, " x"),
        Goal(
            "Feast + model service, CPU a request / ours",
            usual_cpu / http["saturation"]["cpu_ms_each"],
            100,
            True,
            " x",
        ),
        Goal("packed rows + model service, p50 / ours", hand["whole_ms"] / half["p50"], 8, True, " x"),
        Goal("overload of 1.5 x: goodput / peak", once["share"] * 100, 75, True, " %"),
        Goal("overload of 3 x: goodput / peak", thrice["share"] * 100, 50, True, " %"),
        Goal("overload of 3 x: rejections, p50", thrice["rejected_ms"].get("p50", 0.0), 10, False, " ms"),
        Goal("journal on the request's thread, p50", inside["journal"]["us"]["p50"], 15, False, " us"),
        Goal("journal: bytes of the log a request", http["journal"]["bytes_each"] / 1024, 8, False, " KB"),
        Goal("journal: dropped at 200 a second", http["journal"]["dropped"], 0, False),
        Goal("routing through 10 layers, p50", inside["routing_us"]["p50"], 6, False, " us"),
        Goal("shadow: more p99", shadow["with_ms"]["p99"] - shadow["without_ms"]["p99"], 1, False, " ms"),
        Goal(f"memory over {inside['swaps']['swaps']} swaps: growth", inside["swaps"]["growth_mb"], 16, False, " MB"),
    ]
    if "swap" in http:
        swap = http["swap"]
        name = f"swap of a bundle of {swap['bundle_mb']} MB"
        made += [Goal(f"{name}: failed", swap["failed"], 0, False),
                 Goal(f"{name}: p99 of the 5 s around it / steady", swap["ratio"], 1.3, False, " x")]  # fmt: skip
    return made


def table(found: dict[str, Any]) -> list[str]:
    """The measurements in lines."""
    http, hand, feast = found["http"], found["by_hand"], found["feast"]
    each = http["saturation"]
    return [
        f"ours         {each['per_s']:.0f}/s, {each['cpu_ms_each']:.2f} ms of CPU each",
        f"             at half of that {http['half']['latency_ms']}, mean ms of stages {http['stages_ms']}",
        f"by hand      {hand['whole_ms']:.1f} ms, {hand['cpu_ms']:.1f} ms of CPU",
        f"Feast        {feast['p50_ms']:.1f} + {hand['post_ms']:.1f} ms, "
        f"{feast['cpu_p50_ms']:.1f} + {hand['cpu_ms']:.1f} ms of CPU",
    ]


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "host.json").parse_args()
    before = machine(("bentoml", "xgboost-cpu", "numpy", "pydantic-core", "starlette", "uvicorn"), ("feast",))
    report(given, before, lambda: measure(given.quick), goals, table)


if __name__ == "__main__":
    main()
