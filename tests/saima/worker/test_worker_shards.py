"""The worker in several shards: together they end in what one worker ends in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import SaimaError, StoreError
from saima.settings import settings
from saima.stores import open_online
from saima.stores.shards import ShardedStore
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py


def settle(home: Home, rows: tuple[int, ...]) -> None:
    """Run all shards to the head of the log, in turns and each in cycles of its own size."""
    workers = [Worker(home.settings, shard, rows=rows[shard]) for shard in range(home.settings.shards)]
    while sum(worker.cycle() for worker in workers):
        pass
    for worker in workers:
        worker.drain()
    for worker in workers:
        worker._teller.tell()
        worker.close()


def fill(*homes: Home) -> None:
    for home in homes:
        home.crowd(0, 4_000)
        home.traffic(0, 12)
        home.log.append("nonsense", pa.table({"a": [1, 2]}))


def test_shards_end_together_where_one_worker_ends(home: Home, another: Home) -> None:
    another.history()
    fill(home, another)
    settle(home.sharded(3), (700, 90, 4_000))
    settle(another, (500,))
    ours, theirs = home.state(), another.state()
    for kind, wanted in theirs.items():
        assert ours[kind] == wanted, kind
    assert len(ours["rows"]["shop/samples"]) > 20
    letters = [one.tables.scan("events/dead_letter").collect().height for one in (home, another)]
    assert letters == [2, 2]


def test_readers_read_each_key_from_its_shard(home: Home, another: Home) -> None:
    another.history()
    fill(home, another)
    settle(home.sharded(2), (700, 300))
    settle(another, (500,))
    alone = open_online(0, another.settings)
    together = ShardedStore([open_online(shard, home.settings) for shard in range(2)])
    keys = [f"s{n}" for n in range(100)] + ["nobody"]
    with alone.read() as one, together.read() as all_:
        assert all_.position() == one.position()
        for table in home.built():
            assert all_.scan(table) == one.scan(table)
            assert all_.get_many(table, keys) == one.get_many(table, keys)
            assert all_.get_many(table, []) == []
    alone.close()
    together.close()


def test_another_number_of_shards_is_refused(home: Home) -> None:
    home.traffic(0, 2)
    settle(home, (500,))
    worker = Worker(home.sharded(2).settings, 0)
    with pytest.raises(StoreError, match=r"one of 1 shards, but SAIMA_SHARDS is 2.*saima rebuild"):
        worker.bootstrap()
    worker.close()
    with pytest.raises(SaimaError, match="of 2 shards"):
        Worker(home.settings, 2)


def test_fewer_shards_are_refused(home: Home) -> None:
    home.traffic(0, 2)
    settle(home.sharded(2), (500, 500))
    with pytest.raises(StoreError, match=r"more shards than SAIMA_SHARDS=1.*saima rebuild"):
        Worker(home.sharded(1).settings)


def test_a_shard_has_one_worker(home: Home) -> None:
    settings = home.sharded(2).settings
    workers = [Worker(settings, shard) for shard in range(2)]
    with pytest.raises(StoreError, match=r"shard-1 already has a writer"):
        Worker(settings, 1)
    for worker in workers:
        worker.close()


def rebuild(home: Home, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`saima rebuild` for another number of shards."""
    for name, value in home.sharded(shards).variables().items():
        if name.startswith("SAIMA_"):
            monkeypatch.setenv(name, value)
    settings.cache_clear()
    ran = CliRunner().invoke(saima, ["rebuild"], catch_exceptions=False)
    settings.cache_clear()
    assert ran.exit_code == 0, ran.output
    assert not list((home.path / "online").glob("shard-?"))


RULE = {
    "id": "longer", "version": 1, "key": "shop", "on": ["viewed"], "within_ms": 600_000,
    "pattern": [
        {"name": "first", "where": [">", "seconds", 900]},
        {"name": "longer", "after": "followed_by", "where": [">", "seconds", ["last", "first.seconds"]]},
    ],
}  # fmt: skip


def test_after_a_rebuild_in_another_number_of_shards_nothing_is_lost_or_appended_again(
    home: Home, another: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    another.history()
    for one in (home, another):
        one.order(RULE)
    for place, shards in enumerate((1, 3, 2, 1)):
        if place:
            rebuild(home, shards, monkeypatch)
            known = home.log.consumers()
            assert all(position == {0: 0} for position in known.values()), "the whole log is read again"
            assert set(known) <= {f"worker/{shard}" for shard in range(shards)}, "what is no more holds nothing up"
        for one in (home, another):
            one.crowd(place * 1_500, place * 1_500 + 1_500)
        settle(home.sharded(shards), (300, 700, 2_000))
        assert set(home.log.consumers()) == set(home.registry.statuses("worker/"))
        assert len(home.log.consumers()) == shards
    settle(another, (500,))
    ours, theirs = home.state(), another.state()
    assert ours["rows"] == theirs["rows"]
    assert len(ours["rows"]["matches"]) > 40
    assert ours["entities"] == theirs["entities"]
    assert ours["fact"] == theirs["fact"]
