"""The host over HTTP: saturation, half of it, overload, a shadow, a swap of a large bundle; one worker on one core.

    python bench/host/over_http.py --home FOLDER [--seconds N] [--bundle-mb N]

The load comes from another core, open loop, at random times; latencies count from the scheduled times. JSON on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
import workload
from server import cores, host, status, wait

from cli.load import Load, quantiles, request_bytes, run
from saima.routing.deployment import configure, write
from saima.settings import Settings
from saima.stores import open_log, open_registry

DEADLINE_MS = 100


def saturation(url: str, requests: list[bytes], seconds: float, clients: int = 4) -> dict[str, float]:
    """Answers a second to clients that ask again at once."""

    async def client(number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        answered, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            writer.write(requests[(number * 7919 + answered) % len(requests)])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
            answered += head[9:12] == b"200"
        writer.close()
        return answered

    async def everybody() -> int:
        return sum(await asyncio.gather(*map(client, range(clients))))

    used = cpu(url)
    begun = time.monotonic()
    answered = asyncio.run(everybody())
    took = time.monotonic() - begun
    return {"per_s": answered / took, "cpu_ms_each": (cpu(url) - used) * 1000 / max(answered, 1)}


def cpu(url: str) -> float:
    """CPU seconds of the worker so far."""
    times = psutil.Process(status(url)["pid"]).cpu_times()
    return times.user + times.system


def stages(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """Mean ms of each stage between two statuses."""
    old = {row["stage"]: (sum(row["buckets"]), row["sum"]) for row in before["histograms"]}
    found = {}
    for row in after["histograms"]:
        count, total = old.get(row["stage"], (0, 0.0))
        asked = sum(row["buckets"]) - count
        found[row["stage"]] = (row["sum"] - total) * 1000 / asked if asked else 0.0
    return found


def overload(url: str, requests: list[bytes], peak: float, times: float, seconds: float) -> dict[str, Any]:
    """Goodput beyond saturation: answers within their deadline, per second and as a share of the peak."""
    found = run(url, requests, peak * times, seconds, connections=512)
    good = found.within(DEADLINE_MS) / seconds
    return {"times": times, "goodput": good, "share": good / peak, **found.document()}


def swap(url: str, settings: Settings, requests: list[bytes], rate: float, megabytes: int) -> dict[str, Any]:
    """p99 in the 5 s around a swap to a large bundle beside the p99 before; requests that failed.

    The bundle is built before: on a machine of two cores its training would take the one that asks.
    """
    publication = workload.built(settings, "main", seed=int(time.time()), padding=megabytes << 20)
    time.sleep(2)
    steady = run(url, requests, rate, 10)
    marks: dict[str, float] = {}
    old = status(url)["epoch"]

    def change() -> None:
        time.sleep(5)
        workload.deploy(settings, "main", publication)
        wait(lambda: status(url)["epoch"] > old and _routed(url, old), 120, settings.home / "host.log")
        marks["at"] = time.monotonic()

    thread = threading.Thread(target=change)
    begun = time.monotonic()
    loads: list[tuple[float, Load]] = []
    thread.start()
    while "at" not in marks or time.monotonic() < marks["at"] + 2.5:
        loads.append((time.monotonic(), run(url, requests, rate, 1.0, patience=3.0)))
    thread.join()
    around = [
        one for at, load in loads if marks["at"] - 3.5 <= at <= marks["at"] + 2.5 for one in load.taken.get(200, [])
    ]
    failed = sum(count for _, load in loads for code, count in load.answers.items() if code != 200)
    before = quantiles(steady.taken[200])
    return {"steady_ms": before, "around_ms": quantiles(around), "ratio": quantiles(around)["p99"] / before["p99"],
            "failed": failed, "bundle_mb": megabytes, "seconds": time.monotonic() - begun}  # fmt: skip


def _routed(url: str, _: int) -> bool:
    newest = max(slot["publication"] for slot in status(url)["slots"])
    return any(slot["publication"] == newest and slot["state"] == "routed" for slot in status(url)["slots"])


def journal(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """Bytes of the log a record, and whether every answer was kept."""
    log = open_log(settings)
    stored = sum(path.stat().st_size for path in settings.home.glob("log*/**/*") if path.is_file())
    stored += sum(path.stat().st_size for path in settings.home.glob("log.db*"))
    count = sum(found.get(name, 0) for name in ("drained", "inherited"))
    log.close()
    return {"bytes_each": stored / max(count, 1), "answers": found["answers"], "journalled": found["journalled"],
            "dropped": found["dropped"]}  # fmt: skip


def measure(home: Path, seconds: float, megabytes: int) -> dict[str, Any]:
    """Everything, one after the other."""
    settings = workload.prepare(home)
    registry = open_registry(settings)
    write(registry, configure(workload.NAME, shadow=None, lane={"threads": 1, "queue": 64, "deadline_ms": 1000}),
          "bench", "bench")  # fmt: skip
    server, client = cores()
    os.sched_setaffinity(0, client)
    bodies = [json.dumps(body).encode() for body in workload.bodies(1000)]
    with host(home, server) as url:
        requests = [request_bytes(url, body) for body in bodies]
        hurried = [request_bytes(url, body, {"x-deadline-ms": str(DEADLINE_MS)}) for body in bodies]
        saturation(url, requests, 3)
        peak = saturation(url, requests, seconds)
        before = status(url)
        half = run(url, requests, peak["per_s"] / 2, seconds)
        after = status(url)
        found = {
            "saturation": peak,
            "half": half.document(),
            "stages_ms": stages(before, after),
            "overload": [overload(url, hurried, peak["per_s"], times, seconds) for times in (1.5, 3.0)],
        }
        time.sleep(1)
        found["steady"] = run(url, requests, 200, seconds).document() | {"rate_asked": 200}
        time.sleep(1)
        found["journal"] = journal(settings, status(url))
        workload.publish(settings, "other", seed=7, shadow="other")
        wait(lambda: len([s for s in status(url)["slots"] if s["state"] == "routed"]) == 2, 60, home / "host.log")
        calm = max(peak["per_s"] / 4, 20)
        shadowed = run(url, requests, calm, seconds)
        write(registry, configure(workload.NAME, shadow=None), "bench", "bench")
        time.sleep(2)
        plain = run(url, requests, calm, seconds)
        found["shadow"] = {"with_ms": shadowed.document()["latency_ms"], "without_ms": plain.document()["latency_ms"]}
        if megabytes:
            found["swap"] = swap(url, settings, requests, peak["per_s"] / 2, megabytes)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--bundle-mb", type=int, default=200)
    given = parser.parse_args()
    print(json.dumps(measure(given.home, given.seconds, given.bundle_mb)))


if __name__ == "__main__":
    main()
