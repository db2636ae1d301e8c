"""Exactly once, shown: a worker killed at random moments and at every named step ends in an undisturbed one's bytes.

The kills come from outside, while the process reads, computes, commits or appends; which of these it was is read from
a page of memory that the process shares with the test.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from saima.stores import open_online
from saima.worker.steps import STEPS

Home = Any  # the fixture's class, in conftest.py
TIMEOUT = 240
PHASES = ("read", "compute", "commit", "append")
RARE = ("after_bootstrap", "in_clear", "after_clear")
"""Steps that a process may pass once only."""

SEED = 20240229


RULE = {
    "id": "longer", "version": 1, "key": "shop", "on": ["viewed", "paid"], "within_ms": 3_600_000,
    "pattern": [
        {"name": "first", "where": ["and", ["==", "type", "viewed"], [">", "seconds", 800]]},
        {"name": "longer", "after": "followed_by", "where": [">", "seconds", ["last", "first.seconds"]]},
        {"name": "paid", "after": "not_followed_by", "where": ["==", "type", "paid"]},
    ],
}  # fmt: skip


class Lives:
    """Processes of one shard of a home's worker, one at a time."""

    def __init__(self, home: Home, folder: Path, shard: int) -> None:
        self._home = home
        self._shard = shard
        self._log, page = folder / f"worker-{shard}.log", folder / f"page-{shard}"
        page.write_bytes(bytes(64))
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 64)
        self._asked = {
            "arguments": ["--shard", str(shard), "--rows", "500", "--drain-seconds", "0.02"],
            "page": str(page),
        }
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._pid = 0

    def start(self, kill_at: str = "") -> None:
        """Start a process; it is killed at the given step, if any."""
        self._page[:] = bytes(64)
        asked = {**self._asked, "log": str(self._log), "environment": self._home.variables(), "kill_at": kill_at}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked).encode() + b"\n")
        self._pid = self._told(TIMEOUT)["pid"]

    def signal(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        os.kill(self._pid, number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        code = int(self._told(TIMEOUT)["exit"])
        self._pid = 0
        return code

    def check(self, deadline: float, pause: float) -> None:
        """Wait a little; fails where the process has ended by itself or the deadline (monotonic s) is over."""
        ended, _, _ = select.select([self._server.stdout], [], [], pause)
        assert not ended, f"the worker has ended by itself, exit code {self.wait()}: {self._log.read_text()}"
        assert time.monotonic() < deadline, f"the worker does not come so far: {self._log.read_text()}"

    @property
    def running(self) -> bool:
        """Whether the state of the process before has been taken over."""
        return self._page[0] != 0

    @property
    def phases(self) -> set[str]:
        """What the process is doing: one of read, compute and commit, and perhaps append beside it."""
        cycle, drain = (self._page[at : at + 32].rstrip(b" \0").decode() for at in (0, 32))
        found = {"append"} if drain == "before_append" else set()
        if cycle in ("after_read", "after_refused"):
            return found | {"compute"}
        return found | {"commit" if cycle in ("after_compute", "in_commit", "in_clear") else "read"}

    def kill_in(self, phase: str, seconds: float) -> set[str]:
        """Kill the process some seconds after it has entered the phase; what it was doing when it ended.

        One that has nothing left to do is killed while it looks for more.
        """
        deadline = time.monotonic() + TIMEOUT
        while not self.running:
            self.check(deadline, 0.005)
        wait = time.monotonic() + 1
        while phase not in self.phases and time.monotonic() < wait:
            self.check(deadline, 0.0002)
        time.sleep(seconds)
        assert self.signal(signal.SIGKILL) == -signal.SIGKILL
        return self.phases

    def catch_up(self) -> None:
        """Wait until the head of the log is covered, the worker's own dead letters included."""
        deadline = time.monotonic() + TIMEOUT
        while not (self.running and self._covered()):
            self.check(deadline, 0.05)

    def stop(self) -> None:
        """Stop cleanly."""
        assert self.signal(signal.SIGTERM) == 0, self._log.read_text()

    def close(self) -> None:
        """Kill what is left."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._server.kill()
        self._server.communicate()
        self._page.close()

    def _covered(self) -> bool:
        online = open_online(self._shard, self._home.settings)
        with online.read() as read:
            position = read.position()
        online.close()
        return bool(position == self._home.log.head())

    def _told(self, seconds: float) -> dict[str, int]:
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], seconds)
        assert ready, f"no word of the worker: {self._log.read_text() if self._log.exists() else 'not even a log'}"
        found: dict[str, int] = json.loads(self._server.stdout.readline())
        return found


@pytest.fixture(params=[1, 2], ids=["one shard", "two shards"])
def lives(home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Lives]]:
    """Processes of the home's worker, by shard."""
    made = [Lives(home.sharded(request.param), tmp_path, shard) for shard in range(request.param)]
    yield made
    for one in made:
        one.close()


def show(
    home: Home, another: Home, lives: list[Lives], events: int, kills: int, steps: tuple[str, ...]
) -> Counter[str]:
    """Kill at random moments, so many, and once at each of the steps, in random order with a share of the events
    before each; then hold the home against one whose worker nobody disturbed. Returns the phases that were struck.

    A version that breaks a guardrail meanwhile goes back once. Refused rows come last: they are appended to the log
    again, after what it holds by then.
    """
    another.history()
    for one in (home, another):
        one.order(RULE)
    epoch = home.endanger()
    chance = random.Random(SEED)
    plan = [("", PHASES[i % len(PHASES)]) for i in range(kills)] + [(step, "") for step in steps]
    chance.shuffle(plan)
    struck: Counter[str] = Counter()
    for place, (step, phase) in enumerate(plan):
        for one in (home, another):
            one.crowd(events * place // len(plan), events * (place + 1) // len(plan))
            if place == len(plan) - 1:
                one.log.append("nonsense", pa.table({"a": [1, 2]}))
        for shard in lives:
            shard.start(step and f"{step}:{1 if step in RARE else chance.randint(1, 2)}")
        for shard in lives:
            if step:
                assert shard.wait() == -signal.SIGKILL, step
                struck.update(shard.phases)
            else:
                struck.update(shard.kill_in(phase, chance.random() * (0.03 if phase == "append" else 0.005)))
    finish(lives, lambda: home.saved(epoch, TIMEOUT))
    another.run()
    compare(home, another)
    return struck


def finish(lives: list[Lives], done: Callable[[], None]) -> None:
    """Run all shards to the head of the log, until `done` returns, and stop them, the first one last: it tells of
    all."""
    for shard in lives:
        shard.start()
    for shard in lives:
        shard.catch_up()
    done()
    for shard in reversed(lives):
        shard.stop()


def compare(home: Home, another: Home) -> None:
    ours, theirs = home.state(), another.state()
    assert ours["position"] == theirs["position"] == home.log.head() == another.log.head()
    assert ours["outbox"] == theirs["outbox"] == []
    for kind in ("entities", "rows"):
        assert ours[kind].keys() == theirs[kind].keys()
        for name, wanted in theirs[kind].items():
            assert len(wanted) > 0, name
            assert ours[kind][name] == wanted, name
    assert ours["fact"] == theirs["fact"]
    samples = theirs["rows"]["shop/samples"]
    assert len(samples) == len(set(samples))


def test_a_worker_killed_at_random_moments_loses_and_doubles_nothing(
    home: Home, another: Home, lives: list[Lives]
) -> None:
    assert show(home, another, lives, events=5_000, kills=3, steps=())


@pytest.mark.full
@pytest.mark.timeout(3_600)
def test_a_worker_killed_fifty_times_and_at_every_step_loses_and_doubles_nothing(
    home: Home, another: Home, lives: list[Lives]
) -> None:
    struck = show(home, another, lives, events=200_000, kills=50, steps=STEPS)
    assert set(struck) == set(PHASES), struck
