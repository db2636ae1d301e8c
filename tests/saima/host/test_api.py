"""The API over a host: statuses, problem documents, traces, deadlines, limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from saima.features.declaration import Source
from saima.host.api import app
from saima.host.collector import Collector
from saima.stores import open_log


@contextmanager
def serving(application: Starlette) -> Iterator[httpx.Client]:
    """A client of a real server of the application."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            client.headers["content-type"] = "application/json"
            yield client
    finally:
        server.should_exit = True
        thread.join()


CLICKED = Source(key="user", fields={"user": "string", "n": "int64"})


@pytest.fixture
def web(rig: Any) -> Iterator[httpx.Client]:
    rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    with serving(app(host, lambda h: Collector(h.log, {"clicked": CLICKED}, lambda: 99))) as client:
        yield client


def test_a_prediction(web: httpx.Client, rig: Any) -> None:
    found = web.post("/v1/predict", json=rig.ask(trace="t"))
    assert (found.status_code, found.json()["trace"], found.headers["x-trace-id"]) == (200, "t", "t")


def test_the_trace_comes_from_traceparent(web: httpx.Client, rig: Any) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    found = web.post("/v1/predict", json=rig.ask(), headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert found.json()["trace"] == trace


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        ({"json": {"algorithm": "toi", "request": {}}}, 404, "/algorithm"),
        ({"json": {"algorithm": "toy", "request": {"x": 1.0, "name": "a", "y": 2}}}, 422, "/request/y"),
        ({"json": {"algorithm": "toy", "request": {"x": 1.0}}}, 422, "/request/name"),
        ({"json": {"algorithm": "toy", "request": {"x": 1.0, "name": "a"}, "time": 4}}, 422, "/time"),
        ({"json": [1]}, 400, None),
        ({"content": b"{"}, 400, None),
        ({"content": b'{"algorithm": "toy", "request": {"x": NaN, "name": "a"}}'}, 400, None),
        ({"content": b"[" * 100_000}, 400, None),
        ({"content": b"x" * ((8 << 20) + 1)}, 413, None),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, None),
        ({"json": {}, "headers": {"x-deadline-ms": "soon"}}, 400, None),
    ],
)
def test_a_bad_request_gets_a_problem_document(
    web: httpx.Client, sent: dict[str, Any], status: int, field: str | None
) -> None:
    found = web.post("/v1/predict", **sent)
    problem = found.json()
    assert (found.status_code, problem["status"], problem.get("field")) == (status, status, field)
    assert found.headers["content-type"] == "application/problem+json"
    assert problem["title"]
    assert problem["detail"]


def test_a_deadline_is_answered_on_time_and_not_journalled(web: httpx.Client, rig: Any) -> None:
    found = web.post("/v1/predict", json=rig.ask(400.0, trace="late"), headers={"x-deadline-ms": "50"})
    assert (found.status_code, found.json()["title"]) == (504, "Gateway Timeout")
    host = rig.hosts[0]
    rig.eventually(lambda: host.status()["counts"].get("abandoned") == 1)
    host.stop()
    rig.hosts.clear()
    assert rig.journal() == []


def test_unknown_paths_and_methods(web: httpx.Client) -> None:
    assert web.post("/v1/nothing").status_code == 404
    assert web.get("/v1/predict").status_code == 405
    assert web.get("/v1/nothing").headers["content-type"] == "application/problem+json"


def test_health_status_metrics_and_openapi(web: httpx.Client, rig: Any) -> None:
    web.post("/v1/predict", json=rig.ask())
    assert web.get("/livez").text == "ok\n"
    assert web.get("/readyz").status_code == 200
    assert web.get("/v1/status").json()["host"]["slots"][0]["state"] == "routed"
    metrics = web.get("/metrics").text
    assert 'kind="answers"} 1' in metrics
    assert 'stage="total",le="+Inf"} 1' in metrics
    variants = web.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["requestBody"]
    (variant,) = variants["content"]["application/json"]["schema"]["oneOf"]
    assert variant["properties"]["request"]["required"] == ["x", "name"]


def test_it_is_not_ready_before_a_version_routes(rig: Any) -> None:
    with serving(app(rig.host())) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        found = client.post("/v1/predict", json=rig.ask())
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert client.post("/v1/events", json={"events": []}).status_code == 503


def test_a_host_made_by_the_application_starts_settled_and_stops(rig: Any) -> None:
    from saima.host.host import Host

    rig.first()
    with serving(app(lambda: Host(rig.settings, load=lambda row: rig.loads[row.publication]()))) as client:
        assert client.get("/readyz").status_code == 200
    (status,) = rig.registry.statuses("host/").values()
    assert status["state"] == "stopped"


def event(**changes: Any) -> dict[str, Any]:
    return {"type": "clicked", "time": 5, "payload": {"user": "u", "n": 1}, **changes}


def test_events_are_appended(web: httpx.Client, rig: Any) -> None:
    found = web.post("/v1/events", json={"events": [event(), event(key="k", id="i", seq=3)]})
    assert found.json() == {"accepted": 2, "position": {"0": 2}}
    log = open_log(rig.settings)
    rows = log.read({}, topics=["clicked"])[0].table.to_pylist()
    log.close()
    assert [(row["key"], row["n"], row["seq"], row["appended"]) for row in rows] == [("u", 1, 0, 99), ("k", 1, 3, 99)]
    assert rows[1]["id"] == "i"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "/events"),
        ({"events": [], "more": 1}, "/more"),
        ({"events": [4]}, "/events/0"),
        ({"events": [event(), event(type="klicked")]}, "/events/1/type"),
        ({"events": [event(time=None)]}, "/events/0/time"),
        ({"events": [event(time=1.5)]}, "/events/0/time"),
        ({"events": [event(seq="a")]}, "/events/0/seq"),
        ({"events": [event(when=1)]}, "/events/0/when"),
        ({"events": [event(payload=None)]}, "/events/0/payload"),
        ({"events": [event(payload={"user": "u", "n": "many"})]}, "/events/0/payload/n"),
        ({"events": [event(payload={"user": None, "n": 1})]}, "/events/0/payload/user"),
    ],
)
def test_a_batch_with_a_bad_event_appends_nothing(
    web: httpx.Client, rig: Any, body: dict[str, Any], field: str
) -> None:
    found = web.post("/v1/events", json=body)
    assert (found.status_code, found.json()["field"]) == (422, field)
    log = open_log(rig.settings)
    assert log.read({}, topics=["clicked"]) == []
    log.close()


def test_a_score_that_is_no_number_is_null_and_degraded(web: httpx.Client, rig: Any) -> None:
    found = web.post("/v1/predict", json=rig.ask(1e300)).json()
    assert (found["scores"], found["degraded"]) == ([None], ["score"])
