"""Silence in the worker: a record of the log moves time on where rules or sessions wait for it, once and in replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.events import SILENCE, SILENCE_TOPIC, Event, to_table
from saima.stores import open_online
from saima.worker.silence import MOST
from saima.worker.worker import Worker

from .conftest import B

Home = Any  # the fixture's class, in conftest.py
MINUTE = 60_000
UNPAID = {
    "id": "unpaid", "version": 1, "key": "shop", "on": ["viewed", "paid"], "within_ms": 15 * MINUTE,
    "pattern": [
        {"name": "view", "where": ["==", "type", "viewed"]},
        {"name": "pay", "after": "not_followed_by", "where": ["==", "type", "paid"]},
    ],
}  # fmt: skip


class Clock:
    """A wall clock that a test moves."""

    def __init__(self, now: int = 2_000_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def wait(home: Home, worker: Worker, clock: Clock, minutes: float) -> int:
    """Let time go by without an event; the records of silence that the worker wrote."""
    records = 0
    for _ in range(int(minutes * MINUTE / 1_000)):
        clock.now += 1_000
        records += worker.listen()
        home.follow(worker, drain=False)
    return records


def matches(home: Home) -> list[dict[str, Any]]:
    if not home.tables.exists("matches"):
        return []
    return home.tables.scan("matches").collect().sort("offset", "ids").rows(named=True)


def silences(home: Home) -> list[dict[str, Any]]:
    found = home.log.read({0: 0}, 1_000_000, topics=[SILENCE])
    return [{"offset": one.first + i, **row} for one in found for i, row in enumerate(one.table.to_pylist())]


@pytest.fixture
def algorithms(algorithms: Path) -> Path:
    """Those of the other tests, where silence is minded."""
    path = algorithms / "shop" / "algorithm.yaml"
    path.write_text(path.read_text().replace("idle: null", "idle: 1m"))
    return algorithms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_ban_at_the_end_fires_where_traffic_has_stopped(home: Home, clock: Clock) -> None:
    home.order(UNPAID)
    home.append("viewed", home.view("v0", B, "s0", 1))
    home.append("paid", home.payment("t0", B, 1.0))
    home.append("viewed", home.view("v1", B + MINUTE, "s1", 1))
    worker = Worker(home.settings, clock=clock)
    home.follow(worker)
    worker.listen()
    wait(home, worker, clock, 24)
    worker.drain()
    assert not matches(home), "15 minutes from the view and 10 of lateness are not over"
    wait(home, worker, clock, 3)
    worker.drain()
    found = matches(home)
    assert [(row["ids"], row["time"]) for row in found] == [(["v1"], B + 16 * MINUTE)]
    records = silences(home)
    assert found[0]["offset"] in {row["offset"] for row in records}
    assert {row["key"] for row in records} == {"viewed", "paid"}
    assert wait(home, worker, clock, 600) == 0, "nothing waits any more, so nothing is written"
    home.append("viewed", home.view("v2", B + 40 * MINUTE, "s1", 1))
    home.follow(worker)
    assert worker.status()["rules"]["late"] == 0, "time went no further than it had to"
    worker.close()
    assert len(records) <= 2 * 4


def test_a_session_ends_where_its_topic_has_stopped_and_others_go_on(home: Home, clock: Clock) -> None:
    folder = home.algorithms / "shop" / "sessions"
    folder.mkdir()
    (folder / "visits.yaml").write_text("gap: 240000\nlenient: true\nentries:\n  viewed: {level: page, name: item}\n")
    home.append("viewed", home.view("v0", B, "s0", 1))
    worker = Worker(home.settings, clock=clock)
    home.follow(worker)
    worker.listen()
    for minute in range(20):
        home.append("paid", home.payment(f"t{minute}", B + minute * MINUTE, 1.0))
        wait(home, worker, clock, 1)
    worker.drain()
    told = worker.status()["sessions"]["visits"]
    worker.close()
    assert told["open"] == 0
    nodes = home.tables.scan("sessions/visits").collect()
    assert set(nodes.filter(level="session")["left"]) == {B}
    assert {row["key"] for row in silences(home)} == {"viewed"}


def test_a_replay_of_the_log_gives_the_same(home: Home, another: Home, tmp_path: Path, clock: Clock) -> None:
    """However the log is cut, and with a restart after every cycle: what silence let out comes once, at its offset."""
    home.order(UNPAID)
    worker = Worker(home.settings, clock=clock)
    for part in range(3):
        home.traffic(part * 5, part * 5 + 5)
        home.follow(worker, drain=False)
        worker.listen()
        assert wait(home, worker, clock, 13) > 0
        worker.close()  # in the middle of the silence
        worker = Worker(home.settings, clock=clock)
        home.follow(worker)
        worker.listen()
        wait(home, worker, clock, 13)
    home.follow(worker)
    worker.close()
    wanted = matches(home)
    assert wanted
    caused = {row["offset"] for row in silences(home)}
    assert caused & {row["offset"] for row in wanted}
    third = type(home)(tmp_path / "third", home.algorithms)
    for one, rows, restarts in ((another, 100_000, False), (third, 5, True)):
        one.history()
        for segment in home.log.read({0: 0}, 1_000_000):
            one.log.append(segment.topic, segment.table)
        one.run(rows, restarts)
        assert matches(one) == wanted
        assert state(one) == state(home)
    third.close()


def state(home: Home) -> list[Any]:
    online = open_online(0, home.settings)
    with online.read() as read:
        held = dict(read.scan("matching_held"))
        found = [read.scan("matching"), held["marks"]]
    online.close()
    return found


def test_what_nobody_listened_to_is_no_silence(home: Home, clock: Clock) -> None:
    home.order(UNPAID)
    home.append("viewed", home.view("v0", B, "s0", 1))
    home.append("paid", home.payment("t0", B, 1.0))
    home.run()
    clock.now += 24 * 60 * MINUTE  # a day in which no worker ran
    worker = Worker(home.settings, clock=clock)
    home.follow(worker)
    assert worker.listen() == 0
    clock.now += 24 * 60 * MINUTE  # a day in which the machine slept
    assert worker.listen() == 0
    assert wait(home, worker, clock, 1.0) == 0
    assert not silences(home)
    assert wait(home, worker, clock, 10) > 0
    assert max(row["silent"] for row in silences(home)) <= 11 * MINUTE + MOST
    worker.close()


def test_a_topic_that_never_idles_is_waited_for(home: Home, clock: Clock) -> None:
    path = home.algorithms / "shop" / "algorithm.yaml"
    path.write_text(path.read_text().replace("idle: 1m", "idle: null"))
    home.order(UNPAID)
    home.append("viewed", home.view("v0", B, "s0", 1))
    home.append("paid", home.payment("t0", B, 1.0))
    worker = Worker(home.settings, clock=clock)
    home.follow(worker)
    assert wait(home, worker, clock, 60) == 0
    worker.close()


def test_a_topic_that_lags_loses_nothing(home: Home) -> None:
    """Payments come half an hour of event time behind the views: the views wait for them."""
    home.order(UNPAID)
    for i in range(40):
        home.append("viewed", home.view(f"v{i}", B + i * MINUTE, f"s{i % 3}", i))
        if i >= 30:
            home.append("paid", home.payment(f"t{i}", B + (i - 30) * MINUTE, 1.0))
    told = home.run(rows=3)["rules"]
    assert told["late"] == 0
    assert told["watermark"] == B + 9 * MINUTE - 10 * MINUTE


@pytest.mark.parametrize(
    ("source", "silent", "seen"), [("nobody", 5, 5), ("viewed", -1, 5), ("viewed", None, 5), ("viewed", 5, None)]
)
def test_what_is_no_record_of_silence_is_refused(home: Home, source: str, silent: int | None, seen: int | None) -> None:
    home.order(UNPAID)
    event = Event(source, SILENCE, home.appended, 0, "odd", {"silent": silent, "seen": seen})
    home.log.append(SILENCE, to_table(SILENCE_TOPIC, [event], home.appended))
    assert home.run()["counts"]["refused"] == 1
    letters = home.tables.scan("events/dead_letter").collect()
    assert "not a record of silence" in letters["reason"][0]


def test_an_order_given_today_does_not_end_the_horizon_of_yesterdays_ids(home: Home) -> None:
    """Orders and silence have the wall clock for a time, replayed events another: duplicates are still found."""
    home.append("viewed", home.view("v0", B + MINUTE, "s0", 1))
    home.order(UNPAID)
    home.append("viewed", home.view("v0", B + MINUTE, "s0", 1))
    assert home.run()["counts"]["duplicates"] == 1
    assert home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect().height == 1
