"""Journal records of requests that are parts of one trace, through the worker's cycle on real stores."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest

from saima.events import JOURNAL
from saima.worker.worker import Worker

MINUTE = 60_000
Home = Any  # the fixture's class, in conftest.py


def test_an_outcome_of_a_whole_trace_belongs_to_its_earliest_part(home: Home) -> None:
    time = home.B + MINUTE
    parts = [home.prediction("t1", time + late, number, part=part, parts=2)
             for number, (part, late) in enumerate([(1, 0), (0, 5)])]  # fmt: skip
    home.append(JOURNAL, *[dataclasses.replace(event, id=f"b:{n}") for n, event in enumerate(parts)])
    home.append("paid", home.payment("t1", time + MINUTE, 3.0))
    counts = home.run()["counts"]
    assert (counts["predictions"], counts["samples"]) == (1, 1)
    (row,) = home.tables.scan("shop/samples").collect().to_dicts()
    assert (row["time"], row["label"]) == (time, 3.0)


@pytest.mark.parametrize("part", [-1, 2, True, 1.0, "1", None, [1]], ids=repr)
def test_a_record_of_no_possible_part_is_a_dead_letter(home: Home, part: Any) -> None:
    home.append(JOURNAL, home.prediction("t1", home.B + MINUTE, part=part, parts=2))
    home.append(JOURNAL, home.prediction("t2", home.B + MINUTE, part=1, parts=2))
    worker = Worker(home.settings)
    home.follow(worker)
    assert worker.status()["counts"]["predictions"] == 1
    worker.close()
    letters = home.tables.scan("events/dead_letter").collect()
    assert letters.height == 1
    assert letters.select(pl.any_horizontal(pl.col(pl.String).str.contains("is no part: a number from 0"))).item()
