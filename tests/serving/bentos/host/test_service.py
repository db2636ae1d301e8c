"""The real host, two workers: swaps and a kill under load without a failed request, and counts that are exact."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from saima_client import Client, Refused

from saima.features import load
from saima.learning.increments import DataState
from saima.learning.model import spec_of
from saima.learning.trainers import trainer
from saima.routing.deployment import chain, configure, refresh, write
from saima.settings import Settings
from saima.stores import open_log, open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel, build

pytestmark = pytest.mark.e2e

DECLARATION = """
algorithm: toy
sources:
  clicked:
    key: name
    fields: {name: string, count: int64}
request:
  fields: {x: float64, name: string}
aggregates:
  clicks: {from: clicked, key: name, value: count, measures: [count], windows: [1h]}
features:
  double: {value: "x * 2", dtype: float32, default: 0.0}
  clicked_1h: {value: "clicks.count_1h", dtype: int64, default: 0}
models:
  tree: {kind: xgboost, output: value, objective: regression, inputs: [double, clicked_1h]}
"""


def eventually(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "the condition did not come true in time"
        threading.Event().wait(0.05)
    return found


class Town:
    """A home with published versions of a toy algorithm; version k scores about 3 x + 100 k."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, algorithms=home / "algorithms")
        folder = self.settings.algorithms / "toy"
        folder.mkdir(parents=True)
        (folder / "algorithm.yaml").write_text(DECLARATION)
        self.algorithm = load("toy", root=self.settings.algorithms)
        self.registry = open_registry(self.settings)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SAIMA_", "BENTOML_"))},
            "BENTOML_HOME": str(home / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "SAIMA_ALGORITHMS": str(self.settings.algorithms),
        }
        self.versions = [self.publish(number) for number in range(1, 5)]

    def publish(self, number: int) -> BundleRow:
        x = np.linspace(0, 10, 200)
        samples = pl.DataFrame(
            {"double": pl.Series(x * 2, dtype=pl.Float32), "clicked_1h": [0] * 200, "label": x * 3 + number * 100}
        )
        spec = spec_of(
            self.algorithm.declaration, "tree", 1, {"rounds": 30, "eta": 0.3, "subsample": 1.0, "min_child_weight": 1.0}
        )
        model = trainer("xgboost").fit(samples, spec)
        folder = self.settings.home / "trained" / str(number)
        folder.mkdir(parents=True)
        model.save(folder)
        trained = {"tree": TrainedModel("xgboost", folder)}
        learned = DataState({0: 0}, number, 200)
        return build(self.algorithm, "main", trained, learned, self.registry, trained_at=1, settings=self.settings)

    def route(self, row: BundleRow, **settings: Any) -> int:
        transition = chain(refresh("toy", "main", row.publication), configure("toy", **settings))
        return write(self.registry, transition, "test", "test").epoch

    def alive(self) -> list[dict[str, Any]]:
        """Statuses of host processes that live."""
        return [s for s in self.registry.statuses("host/").values() if Path(f"/proc/{s['pid']}").exists()]

    def routed(self, status: dict[str, Any]) -> set[int]:
        """Publications that answer in a host process: its epoch alone may be ahead of what has been loaded."""
        return {slot["publication"] for slot in status["slots"] if slot["state"] == "routed"}

    def journal(self) -> list[dict[str, Any]]:
        log = open_log(self.settings)
        rows: list[dict[str, Any]] = []
        position: dict[int, int] = {}
        while segments := log.read(position, topics=["journal"]):
            for segment in segments:
                rows += [json.loads(text) for text in segment.table["record"].to_pylist()]
                position = {segment.partition: segment.last}
        log.close()
        return rows


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def server(town: Town, bento_server: Any) -> Iterator[Any]:
    town.route(town.versions[0], allow_request_time=True, lane={"threads": 2, "deadline_ms": 5000})
    environment = {**town.environment, "SAIMA_HOME": str(town.settings.home), "SAIMA_HOST_WORKERS": "2"}
    with bento_server(["serving.bentos.host.service:Host"], environment, town.settings.home) as made:
        eventually(made.ready)
        eventually(lambda: len(town.alive()) == 2)
        yield made


@dataclass
class Traffic:
    """Four clients that ask until stopped."""

    url: str
    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    halt: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Traffic:
        self.client = Client(self.url, budget_s=60.0)
        self.threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt.set()
        for thread in self.threads:
            thread.join()
        self.client.close()

    def _ask(self) -> None:
        while not self.halt.is_set():
            try:
                self.answers.append(self.client.predict("toy", {"x": 2.0, "name": "a"}))
            except Exception as error:  # noqa: BLE001
                self.failures.append(error)


ANSWERED: list[str] = []
"""Traces that clients of this module have had answered."""


def test_it_answers_and_says_what_is_wrong(server: Any, town: Town) -> None:
    with Client(server.url, budget_s=30) as client:
        answer = client.predict("toy", {"x": 2.0, "name": "a"}, trace="first", time=10_000_000)
        ANSWERED.append("first")
        assert answer["scores"][0] == pytest.approx(106, abs=3)
        assert (answer["version"], answer["degraded"], answer["time"]) == (1, ["clicks"], 10_000_000)
        with pytest.raises(Refused) as caught:
            client.predict("toy", {"x": "two", "name": "a"})
        assert (caught.value.status, caught.value.field) == (422, "/request/x")
    bad = httpx.post(f"{server.url}/v1/predict", content=b"{", headers={"content-type": "application/json"})
    assert (bad.status_code, bad.headers["content-type"]) == (400, "application/problem+json")
    assert httpx.post(f"{server.url}/v1/nowhere").status_code == 404
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert "saima_answers_total" in httpx.get(f"{server.url}/metrics").text
    assert httpx.get(f"{server.url}/openapi.json").json()["openapi"] == "3.1.0"
    assert {status["epoch"] for status in town.alive()} == {1}


def test_events_are_validated_and_appended(server: Any, town: Town) -> None:
    event = {"type": "clicked", "time": 5, "payload": {"name": "u", "count": 3}}
    good = httpx.post(f"{server.url}/v1/events", json={"events": [event, event]})
    assert good.status_code == 200
    assert good.json()["accepted"] == 2
    bad = httpx.post(f"{server.url}/v1/events", json={"events": [event, {**event, "payload": {"name": "u"}}]})
    assert (bad.status_code, bad.json()["field"]) == (422, "/events/1/payload/count")
    log = open_log(town.settings)
    (segment,) = log.read({}, topics=["clicked"])
    assert segment.table["count"].to_pylist() == [3, 3]
    assert len(set(segment.table["id"].to_pylist())) == 1, "the same event has the same identity"
    log.close()


def test_swaps_and_a_killed_worker_fail_no_request(server: Any, town: Town) -> None:
    before = {status["pid"] for status in town.alive()}
    with Traffic(server.url) as traffic:
        for row in town.versions[1:3]:
            town.route(row)
            eventually(lambda p=row.publication: traffic.answers and traffic.answers[-1]["version"] == p)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        town.route(town.versions[3])
        eventually(lambda: len({s["pid"] for s in town.alive()} - {victim}) == 2)
        eventually(lambda: all(town.routed(s) == {town.versions[3].publication} for s in town.alive()))
        asked = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > asked + 50)
    assert traffic.failures == []
    assert {answer["version"] for answer in traffic.answers} == {1, 2, 3, 4}
    assert traffic.answers[-1]["version"] == 4
    for answer in traffic.answers:
        assert answer["scores"][0] == pytest.approx(100 * answer["version"] + 6, abs=4)
    ANSWERED.extend(answer["trace"] for answer in traffic.answers)


def test_every_answer_is_in_the_journal_once(server: Any, town: Town) -> None:
    """After the kill: what the dead worker had spooled has reached the log through a living one."""
    assert ANSWERED

    def answered() -> bool:
        return set(ANSWERED) <= {record["trace"] for record in town.journal()}

    eventually(answered)
    records = town.journal()
    identities = [(record["boot"], record["number"]) for record in records]
    assert len(set(identities)) == len(identities)
    eventually(lambda: all(s["drained"] == s["answers"] == s["journalled"] for s in town.alive()))
    by_boot = {s["boot"]: s for s in town.alive()}
    for boot, status in by_boot.items():
        assert status["dropped"] == 0
        assert sum(record["boot"] == boot for record in town.journal()) == status["journalled"]


def test_one_bundle_serves_alone_and_answers_alike(server: Any, town: Town, bento_server: Any) -> None:
    row = town.versions[3]
    with bento_server([row.tag], town.environment, town.settings.home) as alone:
        eventually(alone.ready)
        with Client(alone.url, budget_s=30) as one, Client(server.url, budget_s=30) as many:
            request = {"x": 7.25, "name": "b"}
            single = one.predict("toy", request, trace="same", time=20_000_000)
            shared = many.predict("toy", request, trace="same", time=20_000_000)
    assert single["scores"] == shared["scores"]
    assert single["degraded"] == shared["degraded"] == ["clicks"]
    changing = ("version", "epoch")
    assert {k: v for k, v in single.items() if k not in changing} == {
        k: v for k, v in shared.items() if k not in changing
    }
