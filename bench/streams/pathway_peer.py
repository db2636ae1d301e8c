"""Pathway on the same events: tumbling windows of five minutes in a batch run on one worker; JSON on stdout.

Run by the interpreter of its own environment, with PATHWAY_THREADS=1. The time is that of the whole run, with its
connector and routing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import pandas as pd
import pathway as pw
from workload import HOUR, MINUTE, purchases, timed


def run(frame: pd.DataFrame) -> None:
    """Every window of the events, counted as it comes out."""
    pw.internals.parse_graph.G.clear()
    rows = 0

    def count(**_: object) -> None:
        nonlocal rows
        rows += 1

    events = pw.debug.table_from_pandas(frame)
    windows = events.windowby(
        pw.this.time, window=pw.temporal.tumbling(duration=5 * MINUTE), instance=pw.this.user
    ).reduce(
        user=pw.this._pw_instance,
        start=pw.this._pw_window_start,
        count=pw.reducers.count(),
        total=pw.reducers.sum(pw.this.amount),
        least=pw.reducers.min(pw.this.amount),
        greatest=pw.reducers.max(pw.this.amount),
    )
    pw.io.subscribe(windows, on_change=count)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    if rows < frame["user"].nunique():
        raise RuntimeError(f"{rows} windows came out")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--span", type=int, default=HOUR)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    users, times, amounts = purchases(given.events, given.users, given.span)
    frame = pd.DataFrame({"user": users, "time": times, "amount": amounts})
    out = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints is no result
    found = timed(lambda: run(frame), given.events, given.repeats)
    os.dup2(out, 1)
    sys.stdout.write(json.dumps({"tumbling": found}) + "\n")


if __name__ == "__main__":
    main()
