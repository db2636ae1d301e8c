"""Rules and sessions in several shards: each match and node once, by the owner of its key, whatever their number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.stores import open_online
from saima.stores.shards import owner
from saima.streams.matching import Matcher
from saima.worker.matching import BOOK, HELD, STATE
from saima.worker.worker import Worker

from .conftest import TWICE

Home = Any  # the fixture's class, in conftest.py
MINUTE = 60_000

UNPAID = {
    "id": "unpaid", "version": 1, "key": ["shop", "item"], "on": ["viewed", "paid"], "within_ms": 15 * MINUTE,
    "pattern": [
        {"name": "view", "where": [">", "seconds", 900]},
        {"name": "pay", "after": "not_followed_by", "where": ["==", "type", "paid"]},
    ],
}  # fmt: skip
VISITS = "gap: 240000\nlenient: true\nentries:\n  viewed: {level: page, name: item}\n"
TABLES = {"matches": ("offset", "time", "rule", "key", "ids"), "sessions/visits": ("offset", "node_id")}


def crowd(home: Home) -> None:
    """Orders between events; the only rule that hears of payments drains, its partial matches still hear of them."""
    home.order(TWICE)
    home.crowd(0, 600)
    home.order(UNPAID)
    home.crowd(600, 4_000)
    home.order({**TWICE, "version": 2, "within_ms": 30 * MINUTE}, disable=("unpaid",))
    home.crowd(4_000, 4_300)
    home.order({**UNPAID, "within_ms": 5 * MINUTE})  # refused: the old one drains
    home.crowd(4_300, 5_500)
    home.order({**UNPAID, "version": 2}, in_flight="migrate")
    home.crowd(5_500, 6_500)


def run(home: Home, shards: int, rows: tuple[int, ...], restarts: bool = False) -> None:
    """Run all shards to the head, in turns and each in cycles of its own size."""
    settings = home.sharded(shards).settings
    workers = [Worker(settings, shard, rows=rows[shard]) for shard in range(shards)]
    while sum(worker.cycle() for worker in workers):
        if restarts:
            for shard, worker in enumerate(workers):
                worker.close()
                workers[shard] = Worker(settings, shard, rows=rows[shard])
    for worker in workers:
        worker.drain()
        worker.close()


def rows(home: Home) -> dict[str, pl.DataFrame]:
    return {name: home.tables.scan(name).collect().sort(*order) for name, order in TABLES.items()}


def told(home: Home) -> list[dict[str, Any]]:
    """What each shard holds of rules; of its keys it holds no other's."""
    found = []
    for shard in range(home.settings.shards):
        online = open_online(shard, home.settings)
        with online.read() as read:
            state, held, book = dict(read.scan(STATE)), dict(read.scan(HELD)), read.scan(BOOK)
        online.close()
        matcher = Matcher.load(state.items())
        keys = [key for partition in matcher.partitions.values() for key in partition.keys]
        meta = json.loads(state["@"])
        assert all(owner(key, home.settings.shards) == shard for key in keys)
        clock = json.loads(held["clock"])
        found.append({"keys": keys, "rules": meta["rules"], "watermark": meta["watermark"], "book": book, **clock})
    return found


@pytest.fixture
def declared(home: Home) -> Home:
    folder = home.algorithms / "shop" / "sessions"
    folder.mkdir()
    (folder / "visits.yaml").write_text(VISITS)
    return home


def test_matches_and_nodes_are_those_of_one_worker(declared: Home, another: Home, tmp_path: Path) -> None:
    third = type(declared)(tmp_path / "third", declared.algorithms)
    for one in (another, third):
        one.history()
    for one in (declared, another, third):
        crowd(one)
    run(declared, 1, (100_000,))
    run(another, 2, (700, 300))
    run(third, 3, (2_000, 900, 1_500), restarts=True)
    whole, (alone,) = rows(declared), told(declared)
    assert set(whole["matches"]["rule"]) == {"twice", "unpaid"}
    assert whole["matches"].filter(rule="unpaid").height > 20
    assert whole["sessions/visits"].height > 1_000
    for home in (another, third):
        for name, frame in rows(home).items():
            assert frame.equals(whole[name]), name
        found = told(home)
        assert sorted(key for one in found for key in one["keys"]) == sorted(alone["keys"])
        assert sum(one["late"] for one in found) == alone["late"] > 0
        for one in found:
            assert one["keys"], "every shard has some"
            assert {name: one[name] for name in ("rules", "watermark", "book")} == {
                name: alone[name] for name in ("rules", "watermark", "book")
            }
    third.close()


def test_every_shard_refuses_the_version_of_a_rule_that_drains_in_another(home: Home) -> None:
    home.order(TWICE)
    home.traffic(0, 3)  # three shops, two of them in one shard
    home.order(disable=("twice",))
    home.order({**TWICE, "within_ms": 5 * MINUTE})
    workers = [Worker(home.sharded(8).settings, shard) for shard in range(8)]
    for worker in workers:
        while worker.cycle():
            pass
    status = [worker.status()["rules"] for worker in workers]
    live = [worker._engines.matching.matcher.live for worker in workers]
    for worker in workers:
        worker.close()
    assert 0 in live
    assert sum(live) > 0
    assert all("version 1 is deployed and says something else" in one["refused"] for one in status)
    assert all(one["deployed"] == [] for one in status)


def test_a_file_of_rules_is_ordered_once(home: Home) -> None:
    folder = home.algorithms / "shop" / "rules"
    folder.mkdir()
    (folder / "twice.json").write_text(json.dumps(TWICE))
    workers = [Worker(home.sharded(2).settings, shard) for shard in range(2)]
    for worker in workers:
        worker.bootstrap()
    assert [worker.watch() for worker in workers] == [1, 0]
    for worker in workers:
        while worker.cycle():
            pass
    assert [[rule["id"] for rule in worker.status()["rules"]["deployed"]] for worker in workers] == [["twice"]] * 2
    for worker in workers:
        worker.close()
