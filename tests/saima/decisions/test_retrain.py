"""When a lineage retrains, and that only one retrain of it is ever queued or running."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.decisions import retrain
from saima.decisions.retrain import Facts, LaunchError, due
from saima.features.declaration import Lineage, Retrain
from saima.routing.deployment import chain, refresh, rollback, write
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.interfaces import Registry

HOUR = 3_600_000
LINEAGE = Lineage(train=["trees"], retrain=Retrain(samples=100, staleness="48h", interval="10s"))


def newest(count: int, label_time: int = 0) -> dict[str, int]:
    return {"count": count, "newest_label_time": label_time, "newest_offset": count * 10, "newest_appended": 5}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(Settings(home=tmp_path))


def test_nothing_is_due_without_samples_or_below_the_threshold() -> None:
    assert due(Facts(None, None), LINEAGE, 0) is None
    assert due(Facts(newest(99), None), LINEAGE, 0) is None


def test_enough_new_samples_trigger_and_say_how_many() -> None:
    trigger = due(Facts(newest(350), {"count": 200}, attempts=4), LINEAGE, 0)
    assert trigger is not None
    assert (trigger.kind, trigger.samples, trigger.position, trigger.attempt) == ("samples", 150, 3500, 4)


def test_a_stale_model_triggers_only_with_something_to_learn() -> None:
    trained = {"count": 10, "newest_label_time": 0}
    stale = due(Facts(newest(11, 49 * HOUR), trained), LINEAGE, 0)
    assert stale is not None
    assert stale.kind == "staleness"
    assert due(Facts(newest(11, 48 * HOUR), trained), LINEAGE, 0) is None
    assert due(Facts(newest(10, 49 * HOUR), trained), LINEAGE, 0) is None


def test_each_sensor_asks_for_its_own_kind() -> None:
    both = Facts(newest(500, 100 * HOUR), {"count": 0, "newest_label_time": 0})
    assert [due(both, LINEAGE, 0, [kind]).kind for kind in retrain.KINDS] == ["samples", "staleness"]  # type: ignore[union-attr]


def test_a_hold_or_a_claim_stops_every_trigger() -> None:
    assert due(Facts(newest(500), None, hold="rolled back"), LINEAGE, 0) is None
    assert due(Facts(newest(500), None, claimed=True), LINEAGE, 0) is None


def test_starts_keep_their_interval_and_failures_double_it() -> None:
    facts = Facts(newest(500), None, started=1_000)
    assert due(facts, LINEAGE, 10_999) is None
    assert due(facts, LINEAGE, 11_000) is not None
    failed = Facts(newest(500), None, started=1_000, failures=2)
    assert due(failed, LINEAGE, 40_999) is None
    assert due(failed, LINEAGE, 41_000) is not None


@given(failures=st.integers(0, 60))
def test_a_lineage_that_keeps_failing_is_tried_again_within_ten_minutes(failures: int) -> None:
    assert due(Facts(newest(500), None, started=1, failures=failures), LINEAGE, 600_001) is not None


@given(seen=st.integers(0, 1000), more=st.integers(0, 1000), later=st.integers(0, 1000))
def test_a_trigger_never_goes_away_by_more_samples(seen: int, more: int, later: int) -> None:
    first = due(Facts(newest(seen + more), {"count": seen}), LINEAGE, 0)
    second = due(Facts(newest(seen + more + later), {"count": seen}), LINEAGE, 0)
    assert first is None or second is not None


def test_facts_are_what_the_registry_holds(registry: Registry) -> None:
    registry.put_fact("samples/ads", newest(7))
    registry.put_fact("trained/ads/deep", {"count": 3, "started": 12})
    for outcome in ("routed", "failed", "failed"):
        registry.append_mark("retrain", {"algorithm": "ads", "lineage": "deep", "outcome": outcome, "started": 44})
    registry.append_mark("retrain", {"algorithm": "ads", "lineage": "wide", "outcome": "routed", "started": 90})
    claim = registry.claim("ads/deep", 1, "manual", 60)
    found = retrain.facts(registry, "ads", "deep")
    assert found == Facts(newest(7), {"count": 3, "started": 12}, None, claim is not None, 2, 3, 44)


def test_a_rollback_holds_the_lineage(registry: Registry) -> None:
    for publication in (1, 2):
        write(registry, refresh("ads", "deep", publication), "test", "route")
    write(registry, rollback("ads", "deep", "worse"), "test", "rollback")
    registry.put_fact("samples/ads", newest(500))
    assert retrain.facts(registry, "ads", "deep").hold == "worse"
    assert retrain.take_due(registry, "ads", "deep", LINEAGE, 0) is None
    trigger = retrain.Trigger("manual", "by hand", 0, 0, 0)
    assert retrain.take(registry, "ads", "deep", trigger) is None
    assert registry.claims() == []


def test_a_place_that_was_taken_and_given_back_meanwhile_is_not_taken_again(registry: Registry) -> None:
    """The run that ended has learned the samples: the decision is made again under the claim."""
    registry.put_fact("samples/ads", newest(500))

    class EndsMeanwhile:
        def __getattr__(self, name: str) -> Any:
            return getattr(registry, name)

        def claim(self, *arguments: Any) -> Any:
            registry.put_fact("trained/ads/deep", {"count": 500, "started": 1})
            return registry.claim(*arguments)

    assert retrain.take_due(EndsMeanwhile(), "ads", "deep", LINEAGE, 100_000) is None
    assert registry.claims() == []


def test_sensor_push_and_rollback_at_once_start_at_most_one(registry: Registry, tmp_path: Path) -> None:
    """Whatever order they win in: one claim at most, and none once the rollback stands."""
    write(registry, chain(refresh("ads", "deep", 1), refresh("ads", "deep", 2)), "test", "route")
    registry.put_fact("samples/ads", newest(500))
    started: list[str] = []
    gate = threading.Barrier(9)

    def push() -> None:
        own = open_registry(Settings(home=tmp_path))
        gate.wait()
        run = retrain.start(
            own, "ads", "deep", LINEAGE, 100_000, lambda name, tags: f"run of {tags[retrain.TAG_CLAIM]}"
        )
        if run:
            started.append(run)

    def sensor() -> None:
        own = open_registry(Settings(home=tmp_path))
        gate.wait()
        taken = retrain.take_due(own, "ads", "deep", LINEAGE, 100_000)
        if taken:
            started.append(retrain.run_key("deep", taken[0]))

    def back() -> None:
        own = open_registry(Settings(home=tmp_path))
        gate.wait()
        write(own, rollback("ads", "deep", "worse"), "person", "rollback")

    with ThreadPoolExecutor(9) as threads:
        for future in [threads.submit(work) for work in [push, sensor] * 4 + [back]]:
            future.result()
    assert len(started) <= 1
    assert len(registry.claims()) == len(started)
    assert retrain.take_due(registry, "ads", "deep", LINEAGE, 100_000) is None


class _Dagster(BaseHTTPRequestHandler):
    """Answers as Dagster's GraphQL does, with what the test has put on the server."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body["variables"]["params"]))  # type: ignore[attr-defined]
        answer = json.dumps({"data": {"launchRun": self.server.answer}}).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def dagster() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Dagster)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_launch_names_job_and_claim_and_binds_the_run(registry: Registry, dagster: HTTPServer) -> None:
    registry.put_fact("samples/ads", newest(500))
    dagster.answer = {"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}}  # type: ignore[attr-defined]
    launch = retrain.graphql(f"http://127.0.0.1:{dagster.server_port}")
    assert retrain.start(registry, "ads", "deep", LINEAGE, 100_000, launch) == "r1"
    [(path, params)] = dagster.asked  # type: ignore[attr-defined]
    assert path == "/graphql"
    assert params["selector"]["jobName"] == "ads_deep_retrain"
    [claim] = registry.claims()
    sent = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
    assert (claim.run_id, sent[retrain.TAG_CLAIM], sent[retrain.TAG_POSITION]) == ("r1", claim.token, "5000")


def test_a_refused_or_unreachable_launch_gives_the_place_back(registry: Registry, dagster: HTTPServer) -> None:
    registry.put_fact("samples/ads", newest(500))
    dagster.answer = {"__typename": "PythonError", "message": "no such job"}  # type: ignore[attr-defined]
    with pytest.raises(LaunchError, match="no such job"):
        retrain.start(
            registry, "ads", "deep", LINEAGE, 100_000, retrain.graphql(f"http://127.0.0.1:{dagster.server_port}")
        )
    with pytest.raises(LaunchError, match="the sensor asks again"):
        retrain.start(registry, "ads", "deep", LINEAGE, 100_000, retrain.graphql("http://127.0.0.1:9", timeout=1))
    assert registry.claims() == []
