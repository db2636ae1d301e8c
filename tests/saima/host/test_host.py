"""The host: answers, swaps without a failed request, counts exactly, keeps the last good epoch."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from typing import Any

import pytest

from saima.errors import RequestError
from saima.host.lane import Expired
from saima.routing.deployment import configure, refresh, release, rollback
from saima.routing.experiments import Experiment
from tests.saima.host.conftest import PATIENT, Doubling, loaded


def experiment(**more: Any) -> Experiment:
    body = {
        "experiment": "race",
        "layer": "model",
        "unit": "trace",
        "arms": {
            "champion": {"lineage": "main", "weight": 50, "parameters": {"scale": 1.0}},
            "challenger": {"lineage": "other", "weight": 50, "parameters": {"scale": 10.0}},
        },
    }
    return Experiment.model_validate(body | more)


def test_an_answer_names_version_arm_and_trace(rig: Any) -> None:
    publication = rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    answer = host.predict(rig.ask(trace="t-1"))
    assert answer["scores"] == [publication * 1000 + 2.0]
    assert (answer["trace"], answer["version"], answer["lineage"]) == ("t-1", publication, "main")
    assert answer["epoch"] == rig.registry.deployment().epoch
    assert answer["degraded"] == []


def test_before_a_deployment_it_says_that_nothing_is_deployed(rig: Any) -> None:
    host = rig.host()
    assert not host.ready
    with pytest.raises(RequestError, match="nothing is deployed") as caught:
        host.predict(rig.ask())
    assert caught.value.status == 503


def test_arms_get_their_lineage_and_parameters(rig: Any) -> None:
    main, other = rig.publish("main"), rig.publish("other")
    rig.deploy(
        refresh("toy", "main", main), refresh("toy", "other", other), configure("toy", [experiment()], **PATIENT)
    )
    host = rig.host()
    rig.eventually(lambda: len(routed(host)) == 2)
    answers = [host.predict(rig.ask(trace=f"t{i}")) for i in range(60)]
    assert {answer["arm"] for answer in answers} == {"champion", "challenger"}
    for answer in answers:
        expected = main * 1000 + 2.0 if answer["arm"] == "champion" else other * 1000 + 20.0
        assert answer["scores"] == [expected]
        assert host.predict(rig.ask(trace=answer["trace"], attempt=2))["arm"] == answer["arm"]


def test_eligibility_keeps_a_request_out_of_an_experiment(rig: Any) -> None:
    main, other = rig.publish("main"), rig.publish("other")
    rig.deploy(
        refresh("toy", "main", main),
        refresh("toy", "other", other),
        configure("toy", [experiment(eligibility="x > 10")], **PATIENT),
    )
    host = rig.host()
    rig.eventually(lambda: len(routed(host)) == 2)
    assert {host.predict(rig.ask(1.0, trace=f"t{i}"))["arm"] for i in range(20)} == {""}
    assert {host.predict(rig.ask(11.0, trace=f"t{i}"))["arm"] for i in range(20)} == {"champion", "challenger"}


def routed(host: Any) -> dict[str, int]:
    return {slot["lineage"]: slot["publication"] for slot in host.status()["slots"] if slot["state"] == "routed"}


def test_swaps_under_load_fail_no_request_and_free_the_old(rig: Any) -> None:
    rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    failures: list[BaseException] = []
    versions: list[int] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            try:
                versions.append(host.predict(rig.ask(), 10.0)["version"])
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        publication = rig.publish()
        rig.deploy(refresh("toy", "main", publication))
        rig.eventually(lambda p=publication: versions and versions[-1] == p)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(versions)) == 9
    rig.eventually(lambda: sum(not bundle.closed for bundle in rig.bundles) == 2)
    marks = [mark["publication"] for mark in rig.registry.marks("swap")]
    assert marks == sorted(set(marks))
    assert len(marks) == 9


def test_answers_are_journalled_or_dropped(rig: Any) -> None:
    rig.first(allow_request_time=True)
    host = rig.host()
    rig.eventually(lambda: host.ready)
    answers = [host.predict(rig.ask(float(i) / 3, trace=f"t{i}", time=1000 + i)) for i in range(200)]
    host.stop()
    rig.hosts.clear()
    status = rig.registry.statuses("host/")[f"host/{host.boot}"]
    assert status["answers"] == 200 == status["journalled"] + status["dropped"]
    rows = rig.journal()
    assert [row["trace"] for row in rows] == [answer["trace"] for answer in answers]
    assert not list((rig.settings.home / "spool").iterdir())
    record = json.loads(rows[5]["record"])
    assert record["scores"] == answers[5]["scores"]
    assert record["features"] == {"x": [1.6666666]}
    assert (record["time"], record["number"], record["boot"]) == (1005, 5, host.boot)
    assert record["position"] == {"0": 7}
    assert (record["kept"], record["weights"], record["whole"], record["shadow"]) == ([0], [1.0], True, False)


def test_a_damaged_deployment_keeps_the_last_good_epoch(rig: Any) -> None:
    publication = rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    epoch = host.predict(rig.ask())["epoch"]
    rig.deploy(refresh("toy", "main", rig.publish()))
    rig.eventually(lambda: host.predict(rig.ask())["epoch"] == epoch + 1)
    newest = rig.registry.deployment()
    rig.registry.deploy(newest.epoch, {**newest.document, "digest": "0" * 64}, "test", "wrong digest")
    rig.eventually(lambda: "digest" in host.status()["error"])
    assert host.predict(rig.ask())["epoch"] == epoch + 1
    with sqlite3.connect(rig.settings.home / "registry.db") as connection:
        connection.execute("update deployments set document = substr(document, 1, 40)")
    fresh = rig.host()
    rig.eventually(lambda: fresh.status()["error"])
    assert host.predict(rig.ask())["epoch"] == epoch + 1
    assert publication


def test_a_host_that_starts_on_a_damaged_deployment_takes_the_newest_whole_one(rig: Any) -> None:
    rig.first()
    epoch = rig.deploy(refresh("toy", "main", rig.publish()))
    with sqlite3.connect(rig.settings.home / "registry.db") as connection:
        connection.execute("update deployments set document = substr(document, 1, 40) where epoch = ?", (epoch,))
    host = rig.host()
    rig.eventually(lambda: host.ready)
    assert host.predict(rig.ask())["epoch"] == epoch - 1
    assert str(epoch) in host.status()["error"]


def test_a_bundle_that_fails_its_golden_requests_never_routes(rig: Any) -> None:
    first = rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    bad = rig.publish(fails="golden request 0 is answered differently")
    rig.deploy(refresh("toy", "main", bad))
    slots = rig.eventually(lambda: [s for s in host.status()["slots"] if s["state"] == "error"])
    assert slots[0]["publication"] == bad
    assert "golden request 0" in slots[0]["error"]
    assert host.predict(rig.ask())["version"] == first


def test_rollback_is_at_once_since_the_standby_is_warm(rig: Any) -> None:
    first = rig.first()
    host = rig.host()
    rig.eventually(lambda: routed(host).get("main") == first)
    second = rig.publish()
    rig.deploy(refresh("toy", "main", second))
    rig.eventually(lambda: routed(host).get("main") == second)
    states = {slot["publication"]: slot["state"] for slot in host.status()["slots"]}
    assert states == {first: "standby", second: "routed"}
    loads = len(rig.bundles)
    rig.deploy(rollback("toy", "main", "it is worse"))
    rig.eventually(lambda: host.predict(rig.ask())["version"] == first)
    assert len(rig.bundles) == loads


def test_going_back_to_a_version_that_is_draining_loads_it_anew(rig: Any) -> None:
    first = rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    slow = threading.Thread(target=host.predict, args=(rig.ask(900.0), 60.0))
    slow.start()
    for _ in range(2):
        rig.deploy(refresh("toy", "main", rig.publish()))
    rig.deploy(release("toy", "main", first))
    rig.eventually(lambda: routed(host).get("main") == first)
    slow.join()
    assert host.predict(rig.ask())["version"] == first


def test_a_failing_version_falls_back_and_says_so(rig: Any) -> None:
    rig.first(fallback={"constant": 5.0})
    host = rig.host()
    rig.eventually(lambda: host.ready)
    for _ in range(7):
        answer = host.predict(rig.ask(-1.0))
        assert answer["scores"] == [5.0]
        assert answer["degraded"] == ["fallback:constant"]
    assert host.predict(rig.ask(1.0))["scores"] == [5.0], "the breaker is open"
    assert host.status()["counts"]["errors"] == 5


def test_without_a_fallback_a_failure_is_a_500(rig: Any) -> None:
    rig.first()
    host = rig.host()
    rig.eventually(lambda: host.ready)
    with pytest.raises(RequestError, match="negative") as caught:
        host.predict(rig.ask(-1.0))
    assert caught.value.status == 500


def test_a_failure_past_the_deadline_is_late_whoever_sees_it_first(rig: Any) -> None:
    class Late(Doubling):
        def score(self, features: Any, parameters: dict[str, Any]) -> Any:
            time.sleep(0.3)
            raise ArithmeticError("late")

    publication = rig.first()
    rig.loads[publication] = lambda: loaded(Late(publication))
    host = rig.host()
    rig.eventually(lambda: host.ready)
    lane, ticket = host.submit(rig.ask(), 0.2)
    with pytest.raises(Expired, match="before the deadline"):
        ticket.future.result(20)  # nobody has given up before
    host.give_up(lane, ticket)  # whoever comes second finds it said
    counts = host.status()["counts"]
    assert counts["expired"] == 1
    assert "failed" not in counts


def test_a_shadow_is_journalled_and_not_answered(rig: Any) -> None:
    main, other = rig.publish("main"), rig.publish("other")
    rig.deploy(
        refresh("toy", "main", main), refresh("toy", "other", other), configure("toy", shadow="other", **PATIENT)
    )
    host = rig.host()
    rig.eventually(lambda: len(routed(host)) == 2)
    assert host.predict(rig.ask(trace="t"))["version"] == main
    rig.eventually(lambda: host.status()["shadowed"] == 1)
    host.stop()
    rig.hosts.clear()
    found = [(json.loads(row["record"])["version"], json.loads(row["record"])["shadow"]) for row in rig.journal()]
    assert found == [(main, False), (other, True)]
    status = rig.registry.statuses("host/")[f"host/{host.boot}"]
    assert status["answers"] == 1 == status["journalled"]


def test_the_time_of_a_request_is_the_hosts_unless_the_deployment_allows_it(rig: Any) -> None:
    rig.first()
    host = rig.host(clock=lambda: 5000)
    rig.eventually(lambda: host.ready)
    assert host.predict(rig.ask())["time"] == 5000
    with pytest.raises(RequestError) as caught:
        host.predict(rig.ask(time=1))
    assert caught.value.field == "/time"
    rig.deploy(configure("toy", allow_request_time=True))
    rig.eventually(lambda: host.predict(rig.ask())["epoch"] == rig.registry.deployment().epoch)
    assert host.predict(rig.ask(time=1))["time"] == 1
