"""Lanes, breaker and fallback, seen by the clients of a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import polars as pl
import pytest

from ab.exposure import from_journal
from saima.host.api import app
from saima.host.breaker import Breakers
from saima.routing.deployment import configure, refresh
from saima.routing.experiments import Experiment
from tests.saima.host.conftest import PATIENT, Doubling, loaded
from tests.saima.host.test_api import serving

HELD = 77.0
"""A request with this x stays in the model until it is let go."""


class Gated(Doubling):
    """Keeps a list of what it scored, holds HELD back, and can be made to fail."""

    def __init__(self, publication: int) -> None:
        super().__init__(publication)
        self.seen: list[float] = []
        self.held, self.go = threading.Semaphore(0), threading.Event()
        self.broken = False

    def score(self, features: Any, parameters: dict[str, Any]) -> Any:
        x = float(features.matrix(["x"])[0, 0])
        self.seen.append(x)
        if x == HELD:
            self.held.release()
            self.go.wait(30)
        if self.broken:
            raise RuntimeError("it is broken")
        return super().score(features, parameters)


class Served:
    """A server of one algorithm, and what it runs."""

    def __init__(self, rig: Any, stack: ExitStack, **settings: Any) -> None:
        self.rig = rig
        self.publication = rig.publish()
        self.bundle = Gated(self.publication)
        rig.loads[self.publication] = lambda: loaded(self.bundle)
        rig.deploy(refresh("toy", "main", self.publication), configure("toy", **PATIENT | settings))
        self.host = rig.host()
        rig.eventually(lambda: self.host.ready)
        self.web = stack.enter_context(serving(app(self.host)))
        self._pool = stack.enter_context(ThreadPoolExecutor(32))

    def ask(self, x: float, deadline_ms: int = 30_000, **more: Any) -> httpx.Response:
        return self.web.post("/v1/predict", json=self.rig.ask(x, **more), headers={"x-deadline-ms": str(deadline_ms)})

    def soon(self, x: float, deadline_ms: int = 30_000, **more: Any) -> Future[httpx.Response]:
        return self._pool.submit(self.ask, x, deadline_ms, **more)

    def hold(self, deadline_ms: int = 30_000) -> Future[httpx.Response]:
        """A request that is in the model now."""
        answer = self.soon(HELD, deadline_ms)
        assert self.bundle.held.acquire(timeout=20)
        return answer

    def waiting(self, count: int) -> None:
        self.rig.eventually(lambda: self.host.status()["lanes"]["toy"]["waiting"] == count)


Serve = Callable[..., Served]


@pytest.fixture
def serve(rig: Any) -> Iterator[Serve]:
    with ExitStack() as stack:
        made: list[Served] = []

        def make(threads: int = 1, queue: int = 8, **settings: Any) -> Served:
            lane = {"threads": threads, "queue": queue, "deadline_ms": 30_000}
            made.append(Served(rig, stack, lane=lane, **settings))
            return made[-1]

        yield make
        for one in made:
            one.bundle.go.set()


def test_an_expired_queued_job_is_answered_on_time_and_never_run(serve: Serve) -> None:
    served = serve()
    first = served.hold()
    late = served.ask(5.0, deadline_ms=40)
    assert (late.status_code, late.json()["title"]) == (504, "Gateway Timeout")
    assert not first.done(), "it was answered although the slot is not free"
    served.bundle.go.set()
    assert (first.result(20).status_code, served.ask(6.0).status_code) == (200, 200)
    assert served.bundle.seen == [HELD, 6.0]
    status = served.host.status()
    assert (status["answers"], status["counts"]["expired"]) == (2, 1)


def test_a_body_that_outlives_its_deadline_keeps_its_slot(serve: Serve) -> None:
    served = serve(queue=1)
    assert served.hold(deadline_ms=40).result(20).status_code == 504
    queued = served.soon(5.0)
    served.waiting(1)
    full = served.ask(6.0)
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    assert (served.bundle.seen, queued.done()) == ([HELD], False), "the slot was given away"
    served.bundle.go.set()
    assert queued.result(20).status_code == 200
    assert served.bundle.seen == [HELD, 5.0]
    served.rig.eventually(lambda: served.host.status()["counts"].get("abandoned") == 1)
    assert served.host.status()["answers"] == 1


def rejected(served: Served) -> int:
    """Requests turned away that the version is charged with."""
    return sum(row["rejected"] for row in served.host.status()["traffic"] if row["publication"] == served.publication)


def test_what_is_turned_away_is_charged_to_the_version_that_holds_the_lane(serve: Serve) -> None:
    served = serve(queue=1)
    assert served.hold(deadline_ms=40).result(20).status_code == 504
    served.rig.eventually(lambda: rejected(served) == 1)
    queued = served.soon(5.0)
    served.waiting(1)
    assert served.ask(6.0).status_code == 429
    assert rejected(served) == 2
    served.bundle.go.set()
    assert queued.result(20).status_code == 200
    row = next(row for row in served.host.status()["traffic"] if row["publication"] == served.publication)
    assert (row["answers"], row["errors"], row["rejected"]) == (1, 0, 2)


def test_a_request_that_expires_in_the_queue_is_charged_to_the_version_at_work(serve: Serve) -> None:
    served = serve()
    first = served.hold()
    assert served.ask(5.0, deadline_ms=40).status_code == 504
    assert rejected(served) == 1
    served.bundle.go.set()
    assert first.result(20).status_code == 200
    assert served.host._answerer.lanes["toy"].holder is None


def test_a_full_lane_refuses_a_body_before_it_is_parsed(serve: Serve) -> None:
    served = serve(queue=1)
    served.hold()
    queued = served.soon(5.0)
    served.waiting(1)
    torn, whole = b'{"algorithm": "toy", "request": {', json.dumps({"trace": "t", **served.rig.ask(6.0)}).encode()
    answers = [served.web.post("/v1/predict", content=body).status_code for body in (torn, whole, b'{"algorithm": "to')]
    assert answers == [429, 429, 400]
    assert served.host.status()["counts"]["rejected"] == rejected(served) == 2
    served.bundle.go.set()
    assert queued.result(20).status_code == 200
    assert served.web.post("/v1/predict", content=torn).status_code == 400


def test_a_request_that_would_miss_its_deadline_is_rejected_at_once(serve: Serve) -> None:
    served = serve()
    for _ in range(20):
        assert served.ask(130.0).status_code == 200  # each takes 30 ms
    first = served.hold()
    queued = [served.soon(5.0) for _ in range(2)]
    served.waiting(2)
    hopeless = served.ask(6.0, deadline_ms=20)
    assert (hopeless.status_code, first.done()) == (429, False)
    assert "deadline" in hopeless.json()["detail"]
    served.bundle.go.set()
    assert [one.result(20).status_code for one in queued] == [200, 200]
    assert 6.0 not in served.bundle.seen


def test_a_saturated_lane_leaves_another_one_free(serve: Serve, rig: Any) -> None:
    served = serve(queue=2)
    served.hold()
    queued = [served.soon(5.0) for _ in range(2)]
    served.waiting(2)
    assert served.ask(6.0).status_code == 429
    rig.deploy(configure("other", lane={"threads": 1, "queue": 2, "deadline_ms": 30_000}))
    other = rig.registry.publish("other", "main", "digest-other", "other:1", "nowhere", {})
    rig.loads[other] = lambda: loaded(Doubling(other))
    rig.deploy(refresh("other", "main", other))
    body = {**rig.ask(2.0), "algorithm": "other"}
    rig.eventually(lambda: served.web.post("/v1/predict", json=body).status_code == 200)
    assert [served.web.post("/v1/predict", json=body).json()["scores"] for _ in range(20)] == [
        [other * 1000 + 2.0]
    ] * 20
    assert not any(one.done() for one in queued)


def test_the_breaker_opens_probes_once_and_closes(serve: Serve) -> None:
    served = serve(threads=8, queue=64, fallback={"constant": 5.0})
    now = [0.0]
    served.host._answerer._attempts.breakers = Breakers(lambda: now[0])
    served.bundle.broken = True
    found = [served.ask(1.0).json() for _ in range(8)]
    assert {tuple(one["degraded"]) for one in found} == {("fallback:constant",)}
    assert served.bundle.seen == [1.0] * 5, "after five failures in a row nobody tries"
    assert served.host.status()["breakers"] == ["toy"]

    now[0] = 6.0
    probe = served.hold()
    others = [served.ask(2.0).json() for _ in range(10)]
    assert {tuple(one["degraded"]) for one in others} == {("fallback:constant",)}
    assert served.bundle.seen[5:] == [HELD], "one probes, the others are turned away"
    served.bundle.go.set()
    assert probe.result(20).json()["degraded"] == ["fallback:constant"], "the probe failed: open anew"
    assert served.ask(3.0).json()["degraded"] == ["fallback:constant"]

    now[0], served.bundle.broken = 12.0, False
    assert served.ask(4.0).json()["degraded"] == []
    assert [served.ask(5.0).json()["degraded"] for _ in range(5)] == [[]] * 5
    assert served.host.status()["breakers"] == []


RACE = Experiment.model_validate(
    {
        "experiment": "race",
        "layer": "model",
        "unit": "trace",
        "arms": {"champion": {"lineage": "main", "weight": 50}, "challenger": {"lineage": "main", "weight": 50}},
    }
)


@pytest.mark.parametrize(
    ("fallback", "score", "flag"),
    [
        ({"lineage": "spare", "rule": "x * 10", "constant": 5.0}, None, "fallback:spare"),
        ({"rule": "x * 10 + 1", "constant": 5.0}, 31.0, "fallback:rule"),
        ({"rule": "nothing + 1", "constant": 5.0}, 5.0, "fallback:constant"),
        ({"lineage": "gone", "constant": 5.0}, 5.0, "fallback:constant"),
    ],
)
def test_a_fallback_is_flagged_and_never_an_exposure(
    serve: Serve, rig: Any, fallback: dict[str, Any], score: float | None, flag: str
) -> None:
    served = serve(fallback=fallback)
    spare = rig.publish("spare")
    rig.deploy(refresh("toy", "spare", spare), configure("toy", [RACE], default_lineage="main"))
    rig.eventually(lambda: sum(slot["state"] == "routed" for slot in served.host.status()["slots"]) == 2)
    good = served.ask(2.0, trace="good")
    served.bundle.broken = True
    bad = served.ask(3.0, trace="bad").json()
    assert bad["scores"] == [spare * 1000 + 3.0 if score is None else score]
    assert (bad["degraded"], bad["arm"] != "") == ([flag], True)
    assert (bad["version"], bad["lineage"]) == ((spare, "spare") if score is None else (served.publication, "main"))
    assert good.json()["degraded"] == []
    served.host.stop()
    rig.hosts.clear()
    journal = pl.DataFrame(rig.journal()).select("trace", "record")
    records = {row["trace"]: json.loads(row["record"]) for row in journal.iter_rows(named=True)}
    assert (records["bad"]["degraded"], records["bad"]["version"]) == ([flag], bad["version"])
    assert records["bad"]["scores"] == bad["scores"]
    assert from_journal(journal.lazy(), "race").collect()["trace"].to_list() == ["good"]


def test_without_a_fallback_an_open_breaker_is_a_500_that_says_so(serve: Serve) -> None:
    served = serve()
    served.bundle.broken = True
    found = [served.ask(1.0) for _ in range(6)]
    assert [one.status_code for one in found] == [500] * 6
    assert "it is broken" in found[0].json()["detail"]
    assert "circuit breaker is open" in found[5].json()["detail"]
