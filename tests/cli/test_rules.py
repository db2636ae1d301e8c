"""`saima rules` beside a worker that runs and beside none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from saima.events import Event, to_table
from saima.features import load
from saima.recordings import topics
from saima.settings import settings
from saima.stores import open_log, open_registry
from saima.worker.worker import Worker

ALGORITHM = """
algorithm: shop
sources:
  viewed: {key: shop, fields: {shop: string, seconds: int64}, lateness: 1m}
request: {fields: {shop: string}}
features:
  known: {value: "request.shop == 's1'", dtype: bool}
"""
RULE: dict[str, Any] = {
    "id": "longer", "version": 1, "on": ["viewed"], "within_ms": 60_000,
    "pattern": [
        {"name": "first", "where": ["==", "type", "viewed"]},
        {"name": "longer", "after": "followed_by", "where": [">", "seconds", ["last", "first.seconds"]]},
    ],
}  # fmt: skip
NOW = 1_700_000_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    folder = tmp_path / "algorithms" / "shop"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(ALGORITHM)
    settings.cache_clear()
    open_registry().put_fact("history/viewed", {"end": NOW})
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def worker(home: Path) -> Iterator[Worker]:
    made, stop = Worker(settings(), drain_seconds=0.05), threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 60
    while not open_registry().statuses("worker/") and time.monotonic() < deadline:
        time.sleep(0.05)
    yield made
    stop.set()
    thread.join()
    made.close()


def views(*seconds: int) -> list[Event]:
    return [
        Event("s1", "viewed", NOW + i * 1000, i, f"v{i}", {"shop": "s1", "seconds": n}) for i, n in enumerate(seconds)
    ]


def file(folder: Path, *rules: dict[str, Any]) -> str:
    path = folder / "rules.json"
    path.write_text(json.dumps(list(rules)))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(saima, ["rules", *arguments])


def test_deploy_list_explain_and_disable_beside_a_worker(home: Path, worker: Worker) -> None:
    deployed = run("deploy", file(home, RULE))
    assert "1 rules ordered at offset 1; the worker has carried it out" in deployed.output, deployed.output
    log = open_log()
    topic = topics(load(home / "algorithms" / "shop").declaration)["viewed"]
    later = Event("s2", "viewed", NOW + 200_000, 0, "x", {"shop": "s2", "seconds": 0})
    log.append("viewed", to_table(topic, [*views(1, 2, 3), later], NOW + 200_000))
    log.close()
    disabled = run("disable", "longer")
    assert "the worker has carried it out" in disabled.output, disabled.output
    listed = json.loads(run("list", "--json").output)
    assert (listed["deployed"], listed["disabled"]) == ([], ["longer"])
    worker.drain()
    from saima.stores import open_tables

    found = open_tables().scan("matches").collect().sort("time")
    assert found["ids"].to_list() == [["v0", "v1"], ["v1", "v2"]]
    assert found["rule"].unique().to_list() == ["longer"]


def test_a_rule_deployed_without_a_worker_waits_in_the_log(home: Path) -> None:
    assert "no worker runs" in run("deploy", file(home, RULE)).output
    assert "no rules are deployed" in run("list").output
    worker = Worker(settings())
    while worker.cycle():
        pass
    worker.close()
    assert "longer  version 1  by hand" in run("list").output
    assert "begins" in run("explain", "longer").output
    assert "version 1 is deployed and says something else" in str(
        run("deploy", file(home, {**RULE, "within_ms": 5})).exception
    )
    assert "no rule 'longr' is deployed (did you mean 'longer'?)" in str(run("disable", "longr").exception)


def test_explain_and_test_a_file(home: Path) -> None:
    path = file(home, RULE)
    assert "longer version 1" in run("explain", path).output
    events = home / "events.jsonl"
    rows = [{"key": e.key, "type": e.type, "time": e.time, **e.payload} for e in views(1, 2, 1)]
    events.write_text("\n".join(map(json.dumps, rows)))
    tried = run("test", path, "--events", str(events)).output
    assert "3 events, 1 matches" in tried
    assert "longer: 1 matches" in tried
    assert "first 0; longer 1" in tried
    assert "no recorded events" in str(run("test", path).exception)
    events.write_text('{"key": "s1"}')
    assert "no column 'type'" in str(run("test", path, "--events", str(events)).exception)


def test_mistakes_are_named_with_file_and_path(home: Path) -> None:
    path = file(home, {**RULE, "pattern": [{"name": "first", "wher": 1}]})
    message = str(run("deploy", path).exception)
    assert "rules.json" in message
    assert "$.pattern[0].wher" in message
    (home / "broken.json").write_text("{")
    assert "is no JSON" in str(run("explain", str(home / "broken.json")).exception)
