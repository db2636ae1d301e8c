"""Backfill of 20 windows over history: ours beside DuckDB's best SQL of the same semantics, on the same Parquet files.

    python -m bench.features.backfill [--events N] [--requests N] [--keys N] [--out FILE]

Each side runs in a process of its own with two threads, reads the files, and keeps a sum of every column, which must
agree. JSON on stdout: seconds of wall clock and CPU, the process's largest resident memory, and the ratio.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.environments import environment, python_of

WINDOWS = {"1h": (3_600_000, 300_000), "6h": (21_600_000, 300_000), "24h": (86_400_000, 3_600_000),
           "3d": (259_200_000, 3_600_000), "7d": (604_800_000, 3_600_000)}  # fmt: skip
"""Width and default hop of each window, ms."""

MEASURES = ("count", "sum", "mean", "max")
SPAN = 30 * 86_400_000
START = 1_700_000_000_000

DECLARATION = {
    "algorithm": "bench",
    "sources": {"viewed": {"key": "user", "fields": {"user": "int64", "cents": "int64"}}},
    "request": {"fields": {"user": "int64"}},
    "aggregates": {
        "views": {
            "from": "viewed", "key": "user", "value": "cents", "measures": list(MEASURES), "windows": list(WINDOWS),
        }
    },
    "features": {
        f"{measure}_{window}": {
            "value": f"views.{measure}_{window}", "dtype": "float64" if measure == "mean" else "int64",
        }
        for window in WINDOWS for measure in MEASURES
    },
}  # fmt: skip


def write(folder: Path, events: int, requests: int, keys: int) -> None:
    """Events in order of time, as a log holds them, and requests in no order; a few keys have many events."""
    rng = np.random.default_rng(0)
    log = {
        "user": (keys * rng.random(events) ** 1.5).astype(np.int64),
        "time": np.sort(rng.integers(START, START + SPAN, events)),
        "cents": rng.integers(-1000, 100_000, events),
    }
    pl.DataFrame(log).write_parquet(folder / "events.parquet")
    asked = {
        "user": (keys * rng.random(requests) ** 1.5).astype(np.int64),
        "time": rng.integers(START, START + SPAN, requests),
    }
    pl.DataFrame(asked).write_parquet(folder / "requests.parquet")


def ours(folder: Path, memory: int | None) -> dict[str, Any]:
    """Backfill through the compiled plan, as the asset of history's features does it."""
    from saima.features import load
    from saima.features.backfill import backfill, stream

    home = folder / "bench"
    home.mkdir(exist_ok=True)
    (home / "algorithm.yaml").write_text(json.dumps(DECLARATION))
    algorithm = load(home)
    resident, started, computed = peak(), time.perf_counter(), time.process_time()
    requests, events = pl.scan_parquet(folder / "requests.parquet"), pl.scan_parquet(folder / "events.parquet")
    logs = {"viewed": events}
    if memory is None:
        frames = [backfill(algorithm, requests, logs).collect()]
        frames = [frames[0].drop("time")]
    else:
        frames = [part.drop("time") for part in stream(algorithm, requests, logs, memory=memory)]
    sums = [sum(filter(None, values)) for values in zip(*[f.sum().row(0) for f in frames], strict=True)]
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - computed,
        "peak_mb": peak(),
        "imports_mb": resident,
        "sums": dict(zip(frames[0].columns, sums, strict=True)),
    }


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(command: list[str], **more: str) -> dict[str, Any]:
    found = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=environment(**more), cwd=Path(__file__).parent
    )
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def compare(events: int, requests: int, keys: int, repeats: int) -> dict[str, Any]:
    """Both sides on the same files; the fastest of `repeats` runs of each."""
    root = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="saima-bench-") as temporary:
        folder = Path(temporary)
        write(folder, events, requests, keys)
        me = [sys.executable, __file__, "--folder", str(folder)]
        mine = min((run(me, PYTHONPATH=root) for _ in range(repeats)), key=lambda r: r["seconds"])
        peer = [str(python_of("duckdb")), "duckdb_peer.py", str(folder), json.dumps(WINDOWS), str(repeats)]
        theirs = run(peer)
    for form, found in theirs.items():
        for column, total in mine["sums"].items():
            if not math.isclose(found["sums"][column], total, rel_tol=1e-9):
                raise SystemExit(f"{form}: the sum of {column} is {found['sums'][column]}, ours {total}")
        del found["sums"]
    del mine["sums"]
    best = min(theirs, key=lambda form: theirs[form]["seconds"])
    return {
        "events": events, "requests": requests, "keys": keys, "windows": len(WINDOWS) * len(MEASURES),
        "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0],
        "saima": mine, "duckdb": theirs, "best": best,
        "faster": theirs[best]["seconds"] / mine["seconds"],
        "less_cpu": theirs[best]["cpu_seconds"] / mine["cpu_seconds"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, help="bytes; our side alone then streams within them")
    parser.add_argument("--folder", type=Path, help="where the files lie; our side alone runs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.folder:
        found = ours(given.folder, given.memory)
    else:
        found = compare(given.events, given.requests, given.keys, given.repeats)
    text = json.dumps(found, indent=1)
    if given.out:
        given.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
