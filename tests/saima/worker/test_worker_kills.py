"""A real worker process, killed between every two of its steps, must end where an undisturbed one ends."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import pyarrow as pa
import pytest

from saima.errors import SaimaError
from saima.stores import open_online
from saima.worker.main import CORRUPT, FENCED
from saima.worker.steps import STEPS, parse

B = 400_000 * 3_600_000
Home = Any  # the fixture's class, in conftest.py
TIMEOUT = 60


def killed(home: Home, step: str, count: int = 1) -> None:
    process = home.start(SAIMA_KILL_AT=f"{step}:{count}")
    assert process.wait(TIMEOUT) == -signal.SIGKILL, process.stderr.read()


def position(home: Home) -> int:
    store = open_online(0, home.settings)
    with store.read() as read:
        found = read.position().get(0, 0)
    store.close()
    return found


def finish(home: Home) -> None:
    """Run until the head of the log is covered, dead letters included, and all is built; then stop cleanly."""
    process = home.start()
    deadline = time.monotonic() + TIMEOUT
    try:
        while True:
            assert time.monotonic() < deadline, "the worker does not reach the head of the log"
            assert process.poll() is None, process.stderr.read()
            status = home.registry.statuses("worker/").get("worker/0", {})
            runs = status.get("pid") == process.pid and status["state"] == "running" and not status["warming"]
            if runs and status["position"]["0"] == home.log.head()[0]:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0, process.stderr.read()
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def run(home: Home, another: Home, steps: list[tuple[str, int]]) -> None:
    """Kill at each step in turn, with new traffic before each; the refused rows come last, since they are appended
    to the log themselves."""
    last = len(steps) - 1
    another.history()
    for place, (step, count) in enumerate(steps):
        for one in (home, another):
            one.traffic(place * 6, place * 6 + 6)
            if place == last:
                one.log.append("nonsense", pa.table({"a": [1, 2]}))
        killed(home, step, count)
    finish(home)
    finish(another)
    ours, theirs = home.state(), another.state()
    assert ours["position"] == theirs["position"] == home.log.head()
    assert ours["outbox"] == theirs["outbox"] == []
    assert ours["entities"] == theirs["entities"]
    assert ours["rows"] == theirs["rows"]
    assert ours["fact"] == theirs["fact"]
    assert len(ours["rows"]["shop/samples"]) == len(set(ours["rows"]["shop/samples"])) > 0
    for one in (home, another):
        assert one.tables.scan("events/dead_letter").collect()["id"].to_list() == [
            f"nonsense:{n}" for n in letters(one)
        ]


def letters(home: Home) -> list[int]:
    (segment,) = [found for found in home.log.read({0: 0}, 10**6) if found.topic == "nonsense"]
    return [segment.first, segment.last]


def test_a_worker_killed_in_the_middle_of_its_steps_loses_and_doubles_nothing(home: Home, another: Home) -> None:
    run(home, another, [("in_commit", 2), ("after_refused", 3)])


@pytest.mark.full
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_worker_killed_at_every_step_loses_and_doubles_nothing(home: Home, another: Home, count: int) -> None:
    steps = [(step, 1 if step == "after_bootstrap" else count) for step in STEPS if step != "after_refused"]
    run(home, another, [*steps, ("after_refused", count)])


def test_a_second_process_is_fenced_and_a_clean_stop_drains(home: Home) -> None:
    home.traffic(0, 5)
    first = home.start()
    deadline = time.monotonic() + TIMEOUT
    while home.registry.statuses("worker/").get("worker/0", {}).get("state") != "running":
        assert time.monotonic() < deadline
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    second = home.start()
    assert second.wait(TIMEOUT) == FENCED
    assert str(first.pid) in second.stderr.read()
    stop(second)
    while position(home) < home.log.head()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM)
    assert first.wait(TIMEOUT) == 0
    stop(first)
    assert home.registry.statuses("worker/")["worker/0"]["state"] == "stopped"
    assert home.state()["outbox"] == []


def test_a_corrupt_segment_stops_the_worker_and_loses_nothing_before_it(home: Home) -> None:
    import sqlite3

    home.traffic(0, 10)
    with sqlite3.connect(home.log.path) as connection:
        last = connection.execute("SELECT last FROM segments ORDER BY last LIMIT 1 OFFSET 15").fetchone()[0]
        before = connection.execute("SELECT max(last) FROM segments WHERE last < ?", (last,)).fetchone()[0]
        connection.execute("UPDATE segments SET data = zeroblob(length(data)) WHERE last = ?", (last,))
    connection.close()
    process = home.start()
    assert process.wait(TIMEOUT) == CORRUPT
    text = process.stderr.read()
    stop(process)
    assert "corrupt" in text
    assert "saima log repair" in text
    status = home.registry.statuses("worker/")["worker/0"]
    assert "corrupt" in status["state"]
    state = home.state()
    assert state["position"] == {0: before}
    assert state["outbox"] == []


def test_the_drill_names_its_steps() -> None:
    with pytest.raises(SaimaError, match="did you mean 'after_commit'"):
        parse("after_comit:1")
    with pytest.raises(SaimaError, match="not a count"):
        parse("after_commit:x")
