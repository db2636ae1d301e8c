"""A real host with a full disk, a locked log, a killed worker: answers = journalled + dropped, by the client's list."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saima_client import Client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WORKERS = 2
YAML = """
algorithm: toy
request: {fields: {x: float64, text: string}}
features: {z: {value: "x", dtype: float64, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: {z: {tensor: float64, shape: []}}, output: y}}
journal: {full: 1.0}
"""
RULE = "def predict(state, tensors):\n    return tensors['z'] * 3\n"


@pytest.fixture(scope="module")
def home(make_works: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    works = make_works(tmp_path_factory.mktemp("journal"))
    row = works.publish("toy", {"algorithm.yaml": YAML, "rule.py": RULE})
    works.deploy(row, lane={"threads": 4, "queue": 4000, "deadline_ms": 50_000})
    return works


@pytest.fixture(scope="module")
def server(home: Any, bento_server: Any) -> Iterator[Any]:
    """The host, its spools on a disk of 256 KB."""
    spool = home.settings.home / "spool"
    spool.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(spool)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with bento_server(["serving.bentos.host.service:Host"], home.environment(WORKERS), home.settings.home) as made:
            home.eventually(made.ready, 180)
            home.eventually(lambda: len(home.alive()) == WORKERS, 180)
            yield made
    finally:
        subprocess.run(["umount", "-l", str(spool)], check=True)


def asked(url: str, count: int, prefix: str) -> list[str]:
    """Traces of so many answers, each got at the first attempt or the next."""

    def one(number: int) -> str:
        answer = client.predict("toy", {"x": float(number), "text": "x" * 500}, trace=f"{prefix}-{number}")
        assert answer["scores"] == [number * 3.0]
        return str(answer["trace"])

    with Client(url, budget_s=50, hedge=False) as client, ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(count)))


def drained(home: Any) -> list[dict[str, Any]]:
    """Wait until every living worker has moved all that it spooled; their statuses."""

    def found() -> list[dict[str, Any]]:
        alive: list[dict[str, Any]] = home.alive()
        done = all(s["drained"] == s["journalled"] and s["answers"] == s["journalled"] + s["dropped"] for s in alive)
        return alive if len(alive) == WORKERS and done else []

    result: list[dict[str, Any]] = home.eventually(found, 120)
    return result


def test_a_full_disk_and_a_locked_log_cost_no_answer_and_every_drop_is_counted(home: Any, server: Any) -> None:
    before = {status["boot"]: status["dropped"] for status in drained(home)}
    with closing(sqlite3.connect(home.settings.home / "log" / "events.db", isolation_level=None)) as lock:
        lock.execute("begin exclusive")
        answers = asked(server.url, 600, "full")
        statuses = home.eventually(lambda: [s for s in home.alive() if s["dropped"]])
        assert any("No space left" in status["error"] or "disk took" in status["error"] for status in statuses)
        lock.execute("rollback")
    dropped = sum(status["dropped"] - before.get(status["boot"], 0) for status in drained(home))
    records = [record for record in home.journal() if record["trace"].startswith("full-")]
    traces = [record["trace"] for record in records]
    assert len(set(traces)) == len(traces)
    assert set(traces) <= set(answers)
    assert len(answers) == 600 == len(traces) + dropped
    assert 0 < dropped < 600
    for record in records:
        assert record["scores"] == [record["request"]["x"] * 3]
        assert record["features"]["z"] == [record["request"]["x"]]
        assert len(record["request"]["text"]) == 500
    after = asked(server.url, 50, "after")
    home.eventually(lambda: set(after) <= {record["trace"] for record in home.journal()})  # room again: none is dropped


def test_a_killed_worker_loses_nothing_that_it_answered(home: Any, server: Any) -> None:
    """Its spool lies on the disk; the worker that takes its place, or the other one, moves it to the log once."""
    with closing(sqlite3.connect(home.settings.home / "log" / "events.db", isolation_level=None)) as lock:
        lock.execute("begin exclusive")
        answers = asked(server.url, 60, "killed")
        victim = max(home.alive(), key=lambda status: status["journalled"])
        os.kill(victim["pid"], signal.SIGKILL)
        more = asked(server.url, 40, "later")
        lock.execute("rollback")
    wanted = {*answers, *more}
    home.eventually(lambda: wanted <= {record["trace"] for record in home.journal()}, 120)
    traces = [record["trace"] for record in home.journal() if record["trace"] in wanted]
    assert sorted(traces) == sorted(wanted), "each once"
    assert json.dumps(sorted(wanted))


def test_a_torn_record_is_never_seen(home: Any, server: Any) -> None:
    """What a killed process had half written was never answered; the successor leaves it out."""
    from saima.host.drain import pack
    from saima.host.journal import snapshot
    from saima.host.spool import frame

    def record(trace: str, score: float) -> bytes:
        return pack("toy", trace, 5, snapshot({"trace": trace}, None, [], np.array([score])))

    spool = home.settings.home / "spool"
    whole = frame(0, record("whole", 1.0))
    torn = frame(1, record("torn", 2.0))[:-3]
    fresh = spool / "0-dead.fresh"
    fresh.write_bytes(whole + torn)
    fresh.rename(spool / "0-dead.spool")
    home.eventually(lambda: not Path(spool / "0-dead.spool").exists())
    found = [record["trace"] for record in home.journal()]
    assert (found.count("whole"), found.count("torn")) == (1, 0)
