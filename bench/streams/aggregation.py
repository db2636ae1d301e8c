"""Our aggregation on the same events as the peers': single events, batches, tumbling windows, reads; JSON on stdout."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
from workload import HOUR, START, purchases, timed

from saima.events import Event
from saima.features.declaration import Source
from saima.features.windows.canonical import canonical
from saima.streams.aggregation.definition import Definition
from saima.streams.aggregation.engine import Aggregation
from saima.streams.aggregation.tumbling import Tumbling, TumblingDefinition

MINUTE = 60_000
BATCH = 10_000
MEASURES = ("count", "sum", "mean", "min", "max")
WINDOWS = ((HOUR, 5 * MINUTE), (24 * HOUR, HOUR))
SOURCE = Source(key="user", fields={"user": "string", "amount": "int64"}, lateness="10s")
Backend = Literal["rows", "columns"]


def spent(name: str = "spent", where: str | None = None) -> Definition:
    """Ten features a user: five measures over an hour and over a day."""
    return Definition(name, "buy", ("user",), "amount", where and canonical(where), MEASURES, WINDOWS, ("1h", "24h"))


def engine(backend: Backend, definitions: Sequence[Definition] = (spent(),)) -> Aggregation:
    """A new engine."""
    return Aggregation(definitions, {"buy": SOURCE}, backend)


def frames(count: int, users: int, span: int) -> list[pl.DataFrame]:
    """Standard events in batches."""
    found, times, amounts = purchases(count, users, span)
    whole = pl.DataFrame({"key": found, "time": times, "user": found, "amount": amounts}).with_columns(
        type=pl.lit("buy"), seq=pl.int_range(pl.len()), id=pl.int_range(pl.len()).cast(pl.String)
    )
    return [whole[at : at + BATCH] for at in range(0, count, BATCH)]


def events(count: int, users: int, span: int) -> list[Event]:
    """The same, one by one."""
    rows = zip(*purchases(count, users, span), strict=True)
    return [
        Event(user, "buy", at, seq, str(seq), {"user": user, "amount": amount})
        for seq, (user, at, amount) in enumerate(rows)
    ]


def feed(made: Aggregation, found: Sequence[Event]) -> None:
    """Every event through `process`, and what was noted folded into tiles at the end."""
    process = made.process
    for event in found:
        process(event)
    made.settle()


def feed_batches(made: Aggregation, found: Sequence[pl.DataFrame]) -> None:
    """Every batch through `process_batch`."""
    for frame in found:
        made.process_batch(frame)


def singles(count: int, users: int, span: int, repeats: int) -> dict[str, Any]:
    """Single events in both backends."""
    found = events(count, users, span)
    return {
        backend: timed(lambda: feed(engine(backend), found), count, repeats)  # noqa: B023
        for backend in ("rows", "columns")
    }


def tumbling(found: Sequence[pl.DataFrame], count: int, repeats: int) -> dict[str, float]:
    """Tumbling windows of five minutes, closed as the watermark passes them."""
    definition = TumblingDefinition("buy", ("user",), "amount", ("count", "sum", "min", "max"), 5 * MINUTE)

    def run() -> None:
        made, closed = Tumbling(definition, SOURCE), 0
        for frame in found:
            made.process_batch(frame)
            closed += made.close(frame.item(-1, "time") - 10_000).height
        closed += made.close(1 << 60).height
        if not closed:
            raise RuntimeError("no window closed")

    return timed(run, count, repeats)


def update_and_read(backend: Backend, count: int, users: int, span: int) -> dict[str, float]:
    """Microseconds of one update and a read of its ten features, by the clock and of this thread's CPU."""
    made, found = engine(backend), events(2 * count, users, span)
    feed(made, found[:count])
    made.read("spent", found[0].key, found[count].time)
    taken: tuple[list[float], list[float]] = ([], [])
    for event in found[count:]:
        started, used = time.perf_counter_ns(), time.thread_time_ns()
        made.process(event)
        made.read("spent", event.key, event.time + 1)
        ended, spent_until = time.perf_counter_ns(), time.thread_time_ns()
        taken[0].append((ended - started) / 1000)
        taken[1].append((spent_until - used) / 1000)
    clock, cpu = (statistics.quantiles(one, n=1000) for one in taken)
    return {
        "p50_us": clock[499], "p99_us": clock[989], "p999_us": clock[998],
        "cpu_p50_us": cpu[499], "cpu_p99_us": cpu[989], "cpu_p999_us": cpu[998],
    }  # fmt: skip


def duplicates(count: int, users: int, span: int, repeats: int) -> dict[str, Any]:
    """A thousand declarations of which 900 duplicate others, beside the hundred different ones."""
    found = frames(count, users, span)
    distinct = [spent(f"d{i}", f"amount > {i}") for i in range(100)]
    copies = [spent(f"c{i}", f"(amount > {i % 100})") for i in range(900)]
    each: dict[str, Any] = {}
    for name, definitions in (("hundred", distinct), ("thousand", [*distinct, *copies])):
        made = [engine("columns", definitions) for _ in range(repeats)]
        each[name] = timed(lambda: feed_batches(made.pop(), found), count, repeats)  # noqa: B023
    return {**each, "ratio": each["thousand"]["cpu_seconds"] / each["hundred"]["cpu_seconds"]}


def snapshot(repeats: int) -> dict[str, Any]:
    """Milliseconds of a snapshot of 100,000 tiles, and of the way back, in both backends."""
    found: dict[str, Any] = {}
    batches = frames(240_000, 5_000, 24 * HOUR)
    for backend in ("rows", "columns"):
        made = engine(backend)
        feed_batches(made, batches)
        made.settle()
        data = made.snapshot()
        out, back = (timed(run, 1, repeats) for run in (made.snapshot, lambda: Aggregation.restore(data)))  # noqa: B023
        found[backend] = {
            "tiles": made.count(), "bytes": len(data), "snapshot_ms": 1000 * out["seconds"],
            "snapshot_cpu_ms": 1000 * out["cpu_seconds"], "restore_ms": 1000 * back["seconds"],
        }  # fmt: skip
    return found


def everybody(users: int) -> list[pl.DataFrame]:
    """One event of every user, before all others."""
    name = pl.format("user{}", pl.int_range(users))
    whole = pl.select(
        key=name, type=pl.lit("buy"), time=pl.lit(START - HOUR), seq=pl.int_range(users), id=pl.lit(""), user=name,
        amount=pl.lit(1, pl.Int64),
    )  # fmt: skip
    return [whole[at : at + BATCH] for at in range(0, users, BATCH)]


def growth(count: int) -> dict[str, Any]:
    """CPU nanoseconds of an event in batches, as the keys grow."""
    found: dict[str, Any] = {}
    for users in (10_000, 100_000, 1_000_000):
        batches, made = frames(count, users, HOUR), engine("columns")
        feed_batches(made, everybody(users))
        in_batches = timed(lambda: feed_batches(made, batches), count, 1)  # noqa: B023
        found[str(users)] = {"batch_ns": 1e9 * in_batches["cpu_seconds"] / count}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--span", type=int, default=HOUR)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    shape = (given.users, given.span)
    batches = frames(given.events, *shape)
    feed_batches(engine("columns"), batches[:2])  # kernels are compiled or loaded
    tumbling(batches[:2], BATCH, 1)
    feed(engine("columns"), events(10, 2, HOUR))
    found = {
        "single": singles(given.events, *shape, given.repeats),
        "batches": timed(lambda: feed_batches(engine("columns"), batches), given.events, given.repeats),
        "tumbling": tumbling(batches, given.events, given.repeats),
        "update_and_read": {
            "rows": update_and_read("rows", given.events // 10, *shape),
            "columns": update_and_read("columns", given.events // 10, *shape),
        },
        "duplicates": duplicates(given.events // 10, *shape, given.repeats),
        "snapshot": snapshot(given.repeats),
        "growth": growth(given.events),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
