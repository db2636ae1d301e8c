"""Whatever a log holds, the worker stays up: rows are taken, dropped as duplicates, or kept as dead letters."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from saima.errors import CorruptSegment, PositionError
from saima.events import JOURNAL
from saima.stores import open_log, open_online
from saima.streams.adapters import reason_of
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
B = 400_000 * HOUR
APPENDED = 2_000_000_000_000
YEAR_2200 = 7_258_118_400_000


def settle(worker: Worker) -> None:
    while worker.cycle():
        pass
    worker.drain()


def typed(name: str, values: list[Any], chance: random.Random) -> pa.Array:
    """A column as some producer may write it: as declared, in another type, or as text."""
    shape = chance.randrange(14)
    if shape == 0:
        return pa.array([None if value is None else str(value) for value in values], pa.large_string())
    if shape == 1 and name not in ("shop", "item", "id", "key", "type"):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if shape == 2:
        return pa.nulls(len(values))
    if shape == 3:
        return pa.array([[1]] * len(values))
    if shape == 4:
        return pa.array([b"\xff\xfe"] * len(values))
    return pa.array(values)


def segment(chance: random.Random, first: int, rows: int) -> pa.Table:
    """Views, sound for the most part, with faults of row and of column."""
    columns: dict[str, list[Any]] = {name: [] for name in ("key", "type", "time", "seq", "id", "appended")}
    columns |= {"shop": [], "item": [], "seconds": []}
    for place in range(first, first + rows):
        time = B + place * 100
        jump = chance.choice([0] * 30 + [-HOUR, 5 * MINUTE, -time - 1, YEAR_2200 - time, 2**62, -(2**62)])
        shop = chance.choice([f"s{place % 5}"] * 20 + [None, "", "k" * 3_000, "\x00"])
        known = place if chance.randrange(20) else chance.randrange(place + 1)
        row = (
            shop,
            "viewed",
            time + jump,
            place,
            f"e{known}",
            APPENDED,
            shop,
            "i",
            chance.choice([1, 5, -(2**63), None]),
        )
        for name, value in zip(columns, row, strict=True):
            columns[name].append(None if chance.randrange(400) == 0 else value)
    broken = chance.randrange(10) == 0
    made = {name: typed(name, values, chance) if broken else pa.array(values) for name, values in columns.items()}
    if chance.randrange(20) == 0:
        made.pop(chance.choice(list(made)))
    if chance.randrange(20) == 0:
        made["unheard"] = pa.array(range(rows))
    return pa.table(made)


def fuzz(home: Home, rows: int, seed: int) -> None:
    """Append malformed rows, let the worker take them in uneven cycles with restarts, and account for every row."""
    chance = random.Random(seed)
    worker = Worker(home.settings, rows=chance.randrange(50, 3_000))
    sent = 0
    while sent < rows:
        for _ in range(chance.randrange(1, 12)):
            size = chance.randrange(1, 400)
            topic = chance.choice(["viewed"] * 12 + [JOURNAL, "paid", "rules", "unheard"])
            home.log.append(topic, segment(chance, sent, size))
            sent += size
        worker.cycle()
        if chance.randrange(20) == 0:
            worker.close()
            worker = Worker(home.settings, rows=chance.randrange(50, 3_000))
    settle(worker)
    status = worker.status()
    counts = status["counts"]
    letters = home.tables.scan("events/dead_letter").collect()
    views = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect()
    paid = home.tables.scan("events/paid").collect()
    assert worker.position == home.log.head()[0] == sent + letters.height
    assert counts["refused"] == letters.height == letters["id"].n_unique()
    assert status["dead_letters"] == dict(Counter(map(reason_of, letters["reason"])))
    assert set(status["dead_letters"]) >= {"unknown_topic", "wrong_schema", "missing", "wrong_time"}
    assert counts["rows"] == sent + letters.height
    assert views.height > rows / 4
    assert views["id"].n_unique() == views.height
    accounted = views.height + paid.height + counts["duplicates"] + letters.height
    assert accounted == sent, "every row is an event, a duplicate or a dead letter"
    assert views.filter("late").height + paid.filter("late").height == counts["late"]
    assert views["time"].to_numpy().max() <= APPENDED + DAY
    assert status["watermark"] <= APPENDED + DAY
    assert (letters["bytes"].bin.size() > 0).all()
    sample = letters.filter(pl.col("reason").str.starts_with("missing")).head(20)
    for data in sample["bytes"]:
        assert pa.ipc.open_stream(data).read_all().num_rows == 1
    worker.close()


def test_malformed_rows_are_taken_dropped_or_kept(home: Home) -> None:
    fuzz(home, 6_000, 5)


@pytest.mark.full
def test_a_hundred_thousand_malformed_rows(home: Home) -> None:
    fuzz(home, 100_000, 6)


def test_a_key_of_a_megabyte_is_kept_and_found(home: Home) -> None:
    huge = "k" * 2**20
    home.append("viewed", home.view("huge", B, huge, 7), home.view("small", B + 1, "s0", 7))
    worker = Worker(home.settings)
    settle(worker)
    with open_online(0, home.settings).read() as read:
        found = [read.get_many(table, [huge]) for table in home.built()]
    assert all(one[0] is not None for one in found)
    rows = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect()
    assert rows.sort("offset")["key"].str.len_bytes().to_list() == [2**20, 2]
    worker.close()


def test_an_event_of_the_year_2200_makes_no_other_late(home: Home) -> None:
    home.append("viewed", home.view("a", B + HOUR, "s0", 1))
    home.append("viewed", home.view("far", YEAR_2200, "s0", 1), home.view("before", -5, "s0", 1))
    home.append("viewed", home.view("b", B + HOUR - MINUTE, "s0", 1), home.view("c", B, "s0", 1))
    worker = Worker(home.settings)
    settle(worker)
    status = worker.status()
    assert (status["counts"]["refused"], status["counts"]["late"]) == (2, 1)
    assert status["watermarks"]["viewed"] == B + HOUR - 10 * MINUTE
    assert status["dead_letters"] == {"wrong_time": 2}
    worker.close()


def test_a_segment_that_is_no_arrow_ends_the_worker_before_it_by_name_and_repair_lets_it_go_on(home: Home) -> None:
    for number in range(3):
        home.append("viewed", home.view(f"v{number}", B + number, "s0", 1))
    with closing(sqlite3.connect(home.log.path)) as file, file:
        file.execute("UPDATE segments SET data = ? WHERE last = 2", (b"no arrow at all",))
    worker = Worker(home.settings)
    assert worker.cycle() == 1
    with pytest.raises(CorruptSegment, match=r"segment 2 to 2 of topic 'viewed' in .* is corrupt.*saima log repair"):
        worker.cycle()
    assert worker.position == 1
    home.log.repair()
    settle(worker)
    assert worker.position == 3
    rows = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect()
    assert sorted(rows["id"]) == ["v0", "v2"]
    worker.close()


def test_a_log_that_lost_its_head_or_its_tail_is_refused_by_name(home: Home) -> None:
    for number in range(6):
        home.append("viewed", home.view(f"v{number}", B + number, "s0", 1))
    worker = Worker(home.settings)
    settle(worker)
    with (
        closing(sqlite3.connect(home.log.path)) as file,
        file,
    ):  # the last records are gone, and so is the count of them
        file.execute("DELETE FROM segments WHERE last > 3")
        file.execute("UPDATE sqlite_sequence SET seq = 3")
    with pytest.raises(PositionError, match=r"offset 6 is beyond the head 3 of the event log"):
        worker.cycle()
    worker.close()
    for number in range(6, 12):
        home.append("viewed", home.view(f"v{number}", B + number, "s0", 1))
    with closing(sqlite3.connect(home.log.path)) as file, file:  # retention of another home cut what nobody had read
        file.execute("DELETE FROM segments WHERE last <= 8")
        file.execute("INSERT OR REPLACE INTO facts VALUES ('cut', '8')")
    worker = Worker(home.settings)
    with pytest.raises(PositionError, match=r"offset 6 is below the tail 8 of the event log .* rebuild"):
        worker.cycle()
    worker.close()


def test_offsets_that_are_missing_from_the_middle_are_never_skipped(home: Home) -> None:
    for number in range(4):
        home.append("viewed", home.view(f"v{number}", B + number, "s0", 1))
    with closing(sqlite3.connect(home.log.path)) as file, file:
        file.execute("DELETE FROM segments WHERE last = 2")
    worker = Worker(home.settings)
    assert worker.cycle() == 1
    with pytest.raises(CorruptSegment, match="offsets 2 to 2 are missing"):
        worker.cycle()
    worker.close()
    again = open_log(home.settings)
    assert again.head() == {0: 4}
    again.close()
