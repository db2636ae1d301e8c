"""Bytewax on the same events: the same update in a stateful_map, and tumbling windows by fold_window; JSON on stdout.

Run by the interpreter of its own environment. The time is that of the whole dataflow on one worker, with its routing;
that of the dataflow without the operator is given beside it.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main
from workload import HOUR, MINUTE, purchases, timed

Item = tuple[str, Any]
HOPS = ((5 * MINUTE, HOUR), (HOUR, 24 * HOUR))
"""Hop and width of the windows: tiles of five minutes for an hour, of an hour for a day."""


class _Nothing(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        """Take the items and forget them."""


class Nowhere(DynamicSink[Any]):
    """A sink that costs nothing."""

    def build(self, *_: object) -> _Nothing:
        return _Nothing()


def update(tiles: Any, event: tuple[int, int]) -> tuple[Any, None]:
    """Count, sum, least and greatest in the tiles of two windows: what ten features are read from."""
    if tiles is None:
        tiles = ({}, {})
    at, value = event
    for held, (hop, width) in zip(tiles, HOPS, strict=True):
        start = at // hop * hop
        tile = held.get(start)
        if tile is None:
            held[start] = [1, value, value, value]
            for old in [old for old in held if old < at - width - hop]:
                del held[old]
        else:
            tile[0] += 1
            tile[1] += value
            if value < tile[2]:
                tile[2] = value
            if value > tile[3]:
                tile[3] = value
    return tiles, None


def stateful(items: list[Item]) -> Dataflow:
    """Updates of tiles by user."""
    flow = Dataflow("stateful")
    stream = op.input("in", flow, TestingSource(items, batch_size=10_000))
    op.output("out", op.stateful_map("update", stream, update), Nowhere())
    return flow


def folded(items: list[Item]) -> Dataflow:
    """Count, sum, least and greatest of tumbling windows of five minutes."""

    def add(total: list[int], event: tuple[datetime, int]) -> list[int]:
        value = event[1]
        return [total[0] + 1, total[1] + value, min(total[2], value), max(total[3], value)]

    def merge(one: list[int], other: list[int]) -> list[int]:
        return [one[0] + other[0], one[1] + other[1], min(one[2], other[2]), max(one[3], other[3])]

    flow = Dataflow("folded")
    stream = op.input("in", flow, TestingSource(items, batch_size=10_000))
    clock = EventClock(lambda event: event[0], wait_for_system_duration=timedelta(seconds=10))
    windower = TumblingWindower(align_to=datetime(2020, 1, 1, tzinfo=UTC), length=timedelta(minutes=5))
    windows = fold_window(
        "fold", stream, clock, windower, lambda: [0, 0, 1 << 62, -(1 << 62)], add, merge, ordered=False
    )
    op.output("out", windows.down, Nowhere())
    return flow


def passed(items: list[Item]) -> Dataflow:
    """The dataflow without an operator."""
    flow = Dataflow("passed")
    op.output("out", op.input("in", flow, TestingSource(items, batch_size=10_000)), Nowhere())
    return flow


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--span", type=int, default=HOUR)
    parser.add_argument("--windowed", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    users, times, amounts = purchases(given.events, given.users, given.span)
    items: list[Item] = list(zip(users, zip(times, amounts, strict=True), strict=True))
    found = {
        "stateful_map": timed(lambda: run_main(stateful(items)), given.events, given.repeats),
        "routing_alone": timed(lambda: run_main(passed(items)), given.events, given.repeats),
    }
    users, times, amounts = purchases(given.windowed, given.users, given.span)
    moments = [datetime.fromtimestamp(at / 1000, UTC) for at in times]
    windowed: list[Item] = list(zip(users, zip(moments, amounts, strict=True), strict=True))
    found["fold_window"] = timed(lambda: run_main(folded(windowed)), given.windowed, given.repeats)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
