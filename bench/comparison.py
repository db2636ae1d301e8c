"""What the comparisons with peers share: goals, processes of their own, where it ran, the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.environments import ROOT, environment, versions_of


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
        value, bound = f"{self.value:,.2f}{self.unit}", f"{self.bound:,g}{self.unit}"
        return f"{'ok    ' if self.met else 'MISSED'} {self.name:<66} {value:>16} ({side} {bound})"


def run(folder: Path, python: Path | str, *arguments: object, **variables: str) -> Any:
    """JSON that a script of a folder prints, in a process of its own."""
    command = [str(python), *map(str, arguments)]
    print(f"... {' '.join(map(str, arguments))}", file=sys.stderr)
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment(**variables), cwd=folder)
    return json.loads(found.stdout)


def machine(packages: Sequence[str], peers: Sequence[str]) -> dict[str, Any]:
    """Where it ran."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "loop_ns": pace(),
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in packages} | versions_of(*peers),
    }


def pace() -> float:
    """CPU nanoseconds of one turn of an empty loop: how quick Python is here and now, about 20 on a quiet machine."""
    used = time.process_time_ns()
    for _ in range(1_000_000):
        pass
    return (time.process_time_ns() - used) / 1_000_000


def options(description: str | None, out: str) -> argparse.ArgumentParser:
    """The options of every comparison; `out`: the file under bench/results/."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / out)
    return parser


def report(
    given: argparse.Namespace,
    before: Mapping[str, Any],
    measure: Callable[[], dict[str, Any]],
    goals: Callable[[dict[str, Any]], list[Goal]],
    table: Callable[[dict[str, Any]], list[str]],
    **more: Any,
) -> None:
    """Measure, print, write; exits with code 1 if it is to be strict and a goal is missed. before: the machine."""
    started = time.perf_counter()
    found = measure()
    reached = goals(found)
    document = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started),
        "quick": given.quick,
        **more,
        "machine": {**before, "load_after": os.getloadavg()[0], "loop_ns_after": pace()},
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
