"""A real host of four workers under load: swaps, spoilt deployments, rollbacks and kills; no request pays for them."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from saima_client import Client

from saima.routing.deployment import lift_hold, restore, rollback, write
from saima.stores.interfaces import BundleRow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WORKERS = 4
YAML = """
algorithm: toy
request: {fields: {x: float64}}
features: {z: {value: "x", dtype: float64, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: {z: {tensor: float64, shape: []}}, output: y}}
journal: {full: 1.0}
"""
RULE = """
import time
import uuid
from pathlib import Path

HOLD = Path(%r)


def predict(state, tensors):
    x = tensors["z"]
    if (x < 0).any():
        (HOLD / uuid.uuid4().hex).touch()
        while (HOLD / "closed").exists():
            time.sleep(0.25)
    return x * 3 + %d
"""


class City:
    """A home with versions of `toy` that score 3 x + 1000 k; x < 0 waits while `hold/closed` exists."""

    def __init__(self, works: Any, home: Path) -> None:
        self.works = works
        self.hold = home / "hold"
        self.hold.mkdir()
        self.rows: dict[int, BundleRow] = {}
        self.environment = works.environment(WORKERS)

    def publish(self) -> BundleRow:
        number = len(self.rows) + 1
        code = RULE % (str(self.hold), 1000 * number)
        row: BundleRow = self.works.publish("toy", {"algorithm.yaml": YAML, "rule.py": code})
        self.rows[row.publication] = row
        return row

    def expected(self, answer: dict[str, Any], x: float) -> float:
        """The score of the version that an answer names."""
        return x * 3 + 1000 * (list(self.rows).index(answer["version"]) + 1)

    def everywhere(self, condition: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Wait until all workers are there and fulfil a condition; their statuses."""

        def settled() -> list[dict[str, Any]]:
            alive: list[dict[str, Any]] = self.works.alive()
            return alive if len(alive) == WORKERS and all(condition(one) for one in alive) else []

        found: list[dict[str, Any]] = self.works.eventually(settled, 180)
        return found

    def routes(self, row: BundleRow) -> list[dict[str, Any]]:
        """Wait until every worker routes a version."""
        return self.everywhere(lambda status: routed(status) == [row.publication])


def routed(status: dict[str, Any]) -> list[int]:
    return [slot["publication"] for slot in status["slots"] if slot["state"] == "routed"]


@pytest.fixture(scope="module")
def city(make_works: Any, tmp_path_factory: pytest.TempPathFactory) -> City:
    home = tmp_path_factory.mktemp("city")
    made = City(make_works(home), home)
    for _ in range(3):
        made.publish()
    return made


@pytest.fixture(scope="module")
def server(city: City, bento_server: Any) -> Iterator[Any]:
    first = city.rows[1]
    city.works.deploy(first, lane={"threads": 64, "queue": 4000, "deadline_ms": 50_000})
    with bento_server(["serving.bentos.host.service:Host"], city.environment, city.works.settings.home) as made:
        city.works.eventually(made.ready, 180)
        city.routes(first)
        yield made


def slow_calls(url: str, each: int, pool: ThreadPoolExecutor) -> list[Future[httpx.Response]]:
    """Slow calls in flight, `each` on every worker: whoever took a connection answers all that comes over it."""
    held: dict[int, int] = {}
    asked: list[Future[httpx.Response]] = []

    def ask(client: httpx.Client) -> httpx.Response:
        with closing(client):
            body = {"algorithm": "toy", "request": {"x": -1.0}}
            return client.post("/v1/predict", json=body, headers={"x-deadline-ms": "60000"})

    while len(asked) < WORKERS * each:
        client = httpx.Client(base_url=url, timeout=90)
        pid = client.get("/v1/status").json()["host"]["pid"]
        held.setdefault(pid, 0)
        if held[pid] < each:
            held[pid] += 1
            asked.append(pool.submit(ask, client))
        else:
            client.close()
    return asked


def test_two_hundred_slow_calls_in_flight_and_two_thousand_more(city: City, server: Any) -> None:
    (city.hold / "closed").touch()
    before, after = city.rows[1], city.rows[2]
    slow: list[dict[str, Any]] = []
    fast: list[dict[str, Any]] = []
    try:
        with ThreadPoolExecutor(200) as pool:
            asked = slow_calls(server.url, 50, pool)
            city.works.eventually(lambda: len(list(city.hold.iterdir())) == 201)
            city.works.deploy(after)
            city.routes(after)
            with Client(server.url, budget_s=50, hedge=False) as client, ThreadPoolExecutor(8) as callers:
                fast = list(callers.map(lambda n: client.predict("toy", {"x": n / 8}, trace=f"f{n}"), range(500)))
                (city.hold / "closed").unlink()  # a request may take a minute: the rest is asked while they end
                fast += callers.map(lambda n: client.predict("toy", {"x": n / 8}, trace=f"f{n}"), range(500, 2000))
            slow = [one.result().raise_for_status().json() for one in asked]
    finally:
        (city.hold / "closed").unlink(missing_ok=True)
    assert {answer["version"] for answer in slow} == {before.publication}
    assert {answer["version"] for answer in fast} == {after.publication}
    assert {tuple(answer["scores"]) for answer in slow} == {(city.expected(slow[0], -1.0),)}
    assert [answer["scores"] for answer in fast] == [[city.expected(fast[0], n / 8)] for n in range(2000)]
    assert all(answer["attempt"] == 1 for answer in fast)


def test_a_rollback_reaches_all_workers(city: City, server: Any, capsys: Any) -> None:
    began = time.monotonic()
    write(city.works.registry, rollback("toy", "imported", "a test"), "test", "a test")
    found = city.routes(city.rows[1])
    with capsys.disabled():
        print(f"rolled back in all workers after {time.monotonic() - began:.2f} s")
    assert {status["epoch"] for status in found} == {city.works.registry.deployment().epoch}
    marks = [mark["at"] for mark in city.works.registry.marks("swap")]
    assert marks


def test_a_truncated_deployment_keeps_the_last_good_epoch_in_every_worker(city: City, server: Any) -> None:
    registry = city.works.registry
    good = registry.deployment().epoch
    registry.deploy(good, registry.deployment().document, "test", "to be truncated")
    with sqlite3.connect(city.works.settings.home / "registry.db") as connection:
        connection.execute("update deployments set document = substr(document, 1, 40) where epoch = ?", (good + 1,))
    found = city.everywhere(lambda status: "damaged" in status["error"])
    assert {status["epoch"] for status in found} <= {good, good + 1}
    with Client(server.url, budget_s=30) as client:
        answers = [client.predict("toy", {"x": 1.0}) for _ in range(40)]
    assert {answer["version"] for answer in answers} == {city.rows[1].publication}
    restore(registry, "test")
    city.everywhere(lambda status: not status["error"] and status["epoch"] == good + 2)


def swaps(city: City, server: Any, kills: int) -> None:
    """Kill a worker at a random moment of every swap; then the whole host, which comes back to the newest epoch."""
    draw = random.Random(7)
    answers: list[tuple[float, dict[str, Any]]] = []
    failures: list[BaseException] = []
    halt = threading.Event()

    def load() -> None:
        number = 0
        with Client(server.url, budget_s=50) as client:
            while not halt.is_set():
                number += 1
                try:
                    answers.append((number / 8, client.predict("toy", {"x": number / 8})))
                except Exception as error:  # noqa: BLE001
                    failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for _ in range(kills):
            row = city.publish()
            victim = draw.choice(city.works.alive())["pid"]
            city.works.deploy(row)
            threading.Event().wait(draw.random() * 0.8)  # any moment of the swap will do
            os.kill(victim, signal.SIGKILL)
            found = city.routes(row)
            assert {status["epoch"] for status in found} == {city.works.registry.deployment().epoch}
    finally:
        halt.set()
        thread.join()
    assert failures == []
    assert answers
    for x, answer in answers:
        assert answer["scores"] == [city.expected(answer, x)]
    traces = [answer["trace"] for _, answer in answers]
    city.works.eventually(lambda: set(traces) <= {record["trace"] for record in city.works.journal()})
    records = city.works.journal()
    identities = [(record["boot"], record["number"]) for record in records]
    assert len(set(identities)) == len(identities)
    by_attempt = {(record["trace"], record["attempt"]): record for record in records}
    for x, answer in answers:
        record = by_attempt[answer["trace"], answer["attempt"]]
        assert (record["version"], record["request"]) == (answer["version"], {"x": x})


def test_workers_killed_in_swaps_come_back_to_one_epoch(city: City, server: Any) -> None:
    write(city.works.registry, lift_hold("toy", "imported"), "test", "go on")
    swaps(city, server, 2)


@pytest.mark.full
def test_workers_killed_in_swaps_come_back_to_one_epoch_in_full(city: City, server: Any) -> None:
    swaps(city, server, 20)


def test_the_whole_host_killed_in_a_swap_comes_back_to_the_newest_epoch(
    city: City, server: Any, bento_server: Any
) -> None:
    """Started anew after SIGKILL in the middle of a swap, every worker answers under the newest epoch."""
    row = city.publish()
    city.works.deploy(row)
    pids = [status["pid"] for status in city.works.alive()]
    os.killpg(server.process.pid, signal.SIGKILL)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()
    city.works.eventually(lambda: not city.works.alive())
    arguments = ["serving.bentos.host.service:Host"]
    with bento_server(arguments, city.environment, city.works.settings.home) as again:
        city.works.eventually(again.ready, 180)
        found = city.routes(row)
        assert {status["epoch"] for status in found} == {city.works.registry.deployment().epoch}
        with Client(again.url, budget_s=30) as client:
            answer = client.predict("toy", {"x": 2.0})
        assert (answer["version"], answer["scores"]) == (row.publication, [city.expected(answer, 2.0)])
