"""What the worker tells: rates and latencies, Dagster's REST endpoint, facts after a restart."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from saima.stores import open_online
from saima.worker.report import Reporter
from saima.worker.status import Meter
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py


@dataclass
class Webserver:
    """A loopback server that keeps what was posted; `status` is what it answers."""

    status: int = 200
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    """A real HTTP server on a free port."""
    known = Webserver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known.posts.append((self.path, body))
            answer = {"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "run-1"}}}}
            self.send_response(known.status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_state_is_reported_once_and_again_when_it_changes(home: Home, webserver: Webserver) -> None:
    reporter = Reporter(home.registry, webserver.address)
    assert reporter.report("shop/samples", {"dagster/row_count": 3, "offset": 9})
    assert reporter.report("shop/samples", {"dagster/row_count": 3, "offset": 9})
    assert reporter.report("shop/samples", {"dagster/row_count": 4, "offset": 10})
    assert webserver.posts == [
        (
            "/report_asset_materialization/shop/samples",
            {"metadata": {"dagster/row_count": count, "offset": offset}, "data_version": str(offset)},
        )
        for count, offset in ((3, 9), (4, 10))
    ]


def test_what_dagster_missed_is_reported_when_it_answers(home: Home, webserver: Webserver) -> None:
    reporter = Reporter(home.registry, webserver.address)
    webserver.status = 503
    assert not reporter.report("shop/samples", {"offset": 1})
    assert "503" in reporter.error
    webserver.status = 200
    assert Reporter(home.registry, webserver.address).report("shop/samples", {"offset": 2})
    assert [body["metadata"] for _, body in webserver.posts] == [{"offset": 1}, {"offset": 2}]


def test_a_running_worker_reports_its_tables_and_pushes_a_retrain(
    home: Home, webserver: Webserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIMA_DAGSTER_URL", webserver.address)
    home.traffic(0, 20)
    worker = Worker(home.settings, drain_seconds=0.02)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    wanted = {
        "/graphql",
        "/report_asset_materialization/shop/events_viewed",
        "/report_asset_materialization/shop/journal",
        "/report_asset_materialization/shop/samples",
    }
    deadline = threading.Event()
    for _ in range(1500):
        if wanted <= {path for path, _ in webserver.posts}:
            break
        deadline.wait(0.02)
    stop.set()
    thread.join()
    worker.close()
    assert wanted <= {path for path, _ in webserver.posts}
    launched = [body for path, body in webserver.posts if path == "/graphql"]
    assert launched[0]["variables"]["params"]["selector"]["jobName"] == "shop_base_retrain"
    (claim,) = home.registry.claims()
    assert (claim.lineage, claim.run_id, len(launched)) == ("shop/base", "run-1", 1)
    told = next(body["metadata"] for path, body in webserver.posts if path.endswith("/events_viewed"))
    assert {"lag_events", "late", "refused", "watermark", "dagster/row_count"} <= told.keys()
    status = home.registry.statuses("worker/")["worker/0"]
    assert status["state"] == "stopped"
    assert status["lag_events"] == status["outbox_rows"] == 0
    assert status["visible_p99_ms"] >= status["visible_p50_ms"] >= 0


def test_the_fact_is_mended_where_a_process_died_before_it_told(home: Home) -> None:
    home.traffic(0, 10)
    home.run()
    whole = home.registry.fact("samples/shop")
    home.registry.put_fact("samples/shop", {"count": 0})
    again = Worker(home.settings)
    again.bootstrap()
    again.close()
    assert home.registry.fact("samples/shop") == whole


def test_the_meter_reads_rates_and_latencies_of_what_was_committed() -> None:
    meter = Meter(span=1000)
    assert meter.read(0) == {
        "events_per_second": 0.0,
        "visible_p50_ms": None,
        "visible_p99_ms": None,
        "visible_max_ms": None,
    }
    meter.committed(100, [np.array([90, 80, 70]), np.array([60])])
    found = meter.read(500)
    assert (found["events_per_second"], found["visible_p50_ms"], found["visible_max_ms"]) == (4.0, 25.0, 40)
    assert meter.read(2000)["events_per_second"] == 0.0
    meter.committed(3000, [np.full(30_000, 2999)])
    assert meter.read(3000)["visible_p99_ms"] == 1.0


def test_events_that_come_one_by_one_share_a_commit_where_the_worker_lingers(home: Home) -> None:
    worker, halt = Worker(home.settings.model_copy(update={"linger_ms": 1000})), threading.Event()
    working = threading.Thread(target=worker.run, args=(halt,))
    working.start()
    online = open_online(0, home.settings)

    def commits(position: int) -> int:
        deadline = time.monotonic() + 60
        while worker.position < position:
            assert working.is_alive()
            assert time.monotonic() < deadline, worker.status()
            time.sleep(0.01)
        with online.read() as read:
            return read.generation("worker")

    try:
        home.append("viewed", home.view("first", home.B, "s0", 1))
        before = commits(1)
        for number in range(12):
            home.append("viewed", home.view(f"one{number}", home.B, "s0", number))
        assert commits(13) - before < 12
    finally:
        halt.set()
        working.join()
        worker.close()
        online.close()
