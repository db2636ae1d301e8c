from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from saima.errors import Conflict, StoreError
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.registry import SqlRegistry

COUNTER = """
import sys
from saima.errors import Conflict
from saima.stores.registry import SqlRegistry
registry = SqlRegistry(sys.argv[1])
for _ in range(int(sys.argv[2])):
    while True:
        seen = registry.deployment()
        try:
            registry.deploy(seen.epoch, {"count": seen.document.get("count", 0) + 1}, sys.argv[3], "count")
            break
        except Conflict:
            pass
"""

CLAIMER = """
import sys
from saima.stores.registry import SqlRegistry
registry = SqlRegistry(sys.argv[1])
won = [n for n in range(50) if registry.claim(f"ctr/{n}", n, "test", 60)]
print(" ".join(map(str, won)), flush=True)
"""


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Iterator[SqlRegistry]:
    registry = SqlRegistry(f"sqlite:///{tmp_path / 'registry.db'}", clock)
    yield registry
    registry.close()


def test_publication_numbers_grow_and_a_digest_has_one(registry: SqlRegistry) -> None:
    assert registry.publish("ctr", "a", "d1", "a-d1", "/b/1", {"models": {}}) == 1
    assert registry.publish("ctr", "a", "d1", "a-d1", "/elsewhere", {}) == 1
    assert registry.publish("ctr", "b", "d1", "b-d1", "/b/2", {}) == 2
    assert registry.publish("cvr", "a", "d2", "a-d2", "/b/3", {}) == 3
    assert registry.bundle(1).path == "/b/1"
    assert registry.bundle(1).manifest == {"models": {}}
    assert [row.publication for row in registry.bundles("ctr")] == [1, 2]
    assert [row.publication for row in registry.bundles("ctr", "b")] == [2]
    with pytest.raises(StoreError, match="no bundle has publication number 9"):
        registry.bundle(9)


def test_deployments_by_compare_and_set(registry: SqlRegistry, clock: Clock) -> None:
    assert registry.deployment().epoch == 0
    assert registry.deployment().document == {}
    assert registry.deploy(0, {"a": 1}, "ann", "first") == 1
    clock.now += 5
    assert registry.deploy(1, {"a": 2}, "bob", "second") == 2
    for expected in (0, 1, 3):
        with pytest.raises(Conflict, match=f"at epoch 2, not {expected}"):
            registry.deploy(expected, {}, "eve", "late")
    assert [(d.epoch, d.document, d.author, d.reason, d.created) for d in registry.deployments()] == [
        (2, {"a": 2}, "bob", "second", 1_000_005),
        (1, {"a": 1}, "ann", "first", 1_000_000),
    ]
    assert len(registry.deployments(limit=1)) == 1


def test_processes_race_for_epochs(tmp_path: Path, start) -> None:
    address = f"sqlite:///{tmp_path / 'registry.db'}"
    processes = [start(COUNTER, address, 15, f"p{i}") for i in range(3)]
    for process in processes:
        assert process.wait(60) == 0, process.stderr.read()
    registry = SqlRegistry(address)
    assert (registry.deployment().epoch, registry.deployment().document) == (45, {"count": 45})
    assert [d.document["count"] for d in registry.deployments()] == list(range(45, 0, -1))


def test_processes_race_for_claims(tmp_path: Path, start) -> None:
    address = f"sqlite:///{tmp_path / 'registry.db'}"
    processes = [start(CLAIMER, address) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in processes]
    won = [int(n) for output, _ in outputs for n in output.split()]
    assert sorted(won) == list(range(50)), [errors for _, errors in outputs]
    assert len(SqlRegistry(address).claims()) == 50


def test_threads_race_for_one_claim(registry: SqlRegistry) -> None:
    barrier, won = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        claim = registry.claim("ctr/a", 1, "push", 60)
        if claim:
            won.append(claim)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.claims() == won
    assert len(won) == 1


def test_an_unbound_claim_ends_by_time(registry: SqlRegistry, clock: Clock) -> None:
    first = registry.claim("ctr/a", 7, "sensor", 10)
    assert first is not None
    assert (first.position, first.trigger, first.run_id, first.claimed) == (7, "sensor", "", 1_000_000)
    assert registry.claim("ctr/a", 8, "push", 10) is None
    assert registry.claim("ctr/b", 8, "push", 10) is not None
    clock.now += 10_000
    assert registry.claims() == []
    assert not registry.bind(first.token, "run")
    second = registry.claim("ctr/a", 8, "push", 10)
    assert second is not None
    assert [c.token for c in registry.claims()] == [second.token]


def test_a_bound_claim_ends_by_release_only(registry: SqlRegistry, clock: Clock) -> None:
    claim = registry.claim("ctr/a", 7, "sensor", 10)
    assert claim is not None
    assert registry.bind(claim.token, "run-1")
    assert registry.bind(claim.token, "run-1")
    clock.now += 1_000_000
    assert not registry.bind(claim.token, "run-2")
    assert [c.run_id for c in registry.claims()] == ["run-1"]
    assert registry.claim("ctr/a", 8, "push", 10) is None
    registry.release("another token")
    registry.release(claim.token)
    registry.release(claim.token)
    assert registry.claims() == []
    assert not registry.bind(claim.token, "run-1")
    assert registry.claim("ctr/a", 8, "push", 10) is not None


def test_statuses_by_prefix(registry: SqlRegistry, clock: Clock) -> None:
    registry.set_status("host/a", {"state": "starting"})
    registry.set_status("Host/b", {})
    registry.set_status("worker/0", {})
    clock.now += 1
    registry.set_status("host/a", {"state": "routing"})
    assert registry.statuses("host/") == {"host/a": {"state": "routing", "updated": 1_000_001}}
    assert list(registry.statuses()) == ["Host/b", "host/a", "worker/0"]
    registry.drop_status("worker/0")
    assert registry.statuses("worker") == {}


def test_facts_and_marks(registry: SqlRegistry, clock: Clock) -> None:
    assert registry.fact("history") is None
    registry.put_fact("history", {"end": 1})
    registry.put_fact("history", {"end": 2})
    assert registry.fact("history") == {"end": 2}
    assert registry.facts("his") == {"history": {"end": 2}}
    registry.append_mark("swap", {"publication": 1})
    clock.now += 10
    registry.append_mark("swap", {"publication": 2})
    registry.append_mark("swap", {"publication": 3, "at": 5})
    registry.append_mark("rollback", {})
    assert registry.marks("swap") == [
        {"publication": 1, "at": 1_000_000},
        {"publication": 2, "at": 1_000_010},
        {"publication": 3, "at": 5},
    ]
    assert [m["publication"] for m in registry.marks("swap", since=1_000_010)] == [2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_is_no_json_is_refused(registry: SqlRegistry, value: object) -> None:
    with pytest.raises(StoreError, match="fact 'x' is no JSON"):
        registry.put_fact("x", {"value": value})
    assert registry.fact("x") is None


def test_a_damaged_deployment_is_named(registry: SqlRegistry, tmp_path: Path) -> None:
    for epoch in range(3):
        registry.deploy(epoch, {"epoch": epoch + 1}, "ann", "because")
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
        connection.execute("UPDATE deployments SET document = substr(document, 1, 5) WHERE epoch = 3")
    with pytest.raises(StoreError, match=r"epoch 3 in the registry .* is damaged; the last whole one is epoch 2"):
        registry.deployment()
    assert [d.epoch for d in registry.deployments()] == [2, 1]
    assert registry.deploy(3, {"epoch": 4}, "ann", "mended") == 4
    assert registry.deployment().document == {"epoch": 4}


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(StoreError, match=r"cannot create the registry .*registry.db: it is not a SQLite file"):
        open_registry(Settings(home=tmp_path))


@pytest.mark.parametrize("address", ["nonsense", "sqlite://", "nodb://host/x"])
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(StoreError, match="registry_url="):
        SqlRegistry(address)
