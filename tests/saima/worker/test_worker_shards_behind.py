"""Shards that stand at different positions: what is served says so, and state is built when the others have come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from saima.errors import StoreError
from saima.features import load
from saima.features.extractor import Extractor
from saima.features.parity import check
from saima.stores import open_online, open_reader
from saima.worker.catalog import catalog, declared
from saima.worker.handover import compare
from saima.worker.worker import Worker

from .test_worker_declarations import WIDE, changing, write_yaml

Home = Any  # the fixture's class, in conftest.py
SHOPS = [f"s{number}" for number in range(97)]
TURNS = 8


def shards(home: Home, rows: int = 150) -> list[Worker]:
    return [Worker(home.settings, shard, rows=rows) for shard in range(home.settings.shards)]


def close(workers: list[Worker]) -> None:
    for worker in workers:
        while worker.cycle():
            pass
    for worker in workers:
        worker.drain()
        worker.close()


def record(extractor: Extractor, shop: str, q: int) -> dict[str, Any]:
    """What the journal says of a request."""
    found = extractor.extract({"shop": shop, "item": "i"}, None, None, q)
    return {
        "trace": f"{shop} {q}",
        "time": q,
        "position": {str(partition): offset for partition, offset in found.position.items()},
        **({"positions": list(found.positions)} if found.positions else {}),
        "rows": found.rows,
        "features": found.plain([0]),
        "request": {"shop": shop, "item": "i"},
        "items": [],
        "kept": [0],
        "whole": True,
        "degraded": found.degraded,
    }


def served(home: Home) -> list[dict[str, Any]]:
    """Records of requests while the shards are never at one position, the first ahead at times, at times the second."""
    algorithm = load(home.algorithms / "shop")
    workers, reader = shards(home), open_reader(home.settings)
    extractor = Extractor(algorithm, reader)
    records = []
    for worker in workers:
        worker.bootstrap()
    for turn in range(TURNS):
        for shard, worker in enumerate(workers):
            for _ in range(3 - 2 * shard if not turn else 1 + 3 * ((turn + shard + 1) % 2)):
                worker.cycle()
        q = home.B + max(worker.position for worker in workers) * 6_000
        records += [record(extractor, shop, q) for shop in SHOPS]
    reader.close()
    close(workers)
    return records


def test_what_was_served_is_recomputed_as_of_each_shards_position(home: Home) -> None:
    home.crowd(0, 4_000)
    records = served(home.sharded(2))
    assert all(len(one["positions"]) == 2 and one["position"]["0"] == min(one["positions"]) for one in records)
    ahead = [np.sign(one["positions"][0] - one["positions"][1]) for one in records]
    assert {-1, 1} <= {int(sign) for sign in ahead}
    algorithm = load(home.algorithms / "shop")
    events = {topic: home.tables.scan(f"events/{topic}") for topic in ("viewed",)}
    found = check(algorithm, records, events)
    assert found.rows == len(records) == TURNS * len(SHOPS)
    assert (found.mismatches, found.versions, found.skipped) == (0, 0, {})
    without = check(algorithm, [{**one, "positions": None} for one in records], events)
    assert without.mismatches > 0, "as of the least position of all, what the shard ahead had read is missing"


def test_records_of_one_shard_and_of_several_are_recomputed_together(home: Home) -> None:
    home.crowd(0, 1_000)
    alone = served(home)
    assert not any("positions" in one for one in alone)
    for folder in (home.path / "online").glob("shard-?"):
        folder.rename(folder.with_name(f"aside-{folder.name}"))
    home.crowd(1_000, 2_000)
    together = served(home.sharded(3))
    events = {topic: home.tables.scan(f"events/{topic}") for topic in ("viewed",)}
    found = check(load(home.algorithms / "shop"), [*together, *alone], events)
    assert found.rows == len(alone) + len(together)
    assert (found.mismatches, found.versions, found.skipped) == (0, 0, {})


def test_batch_and_stream_are_compared_as_of_each_shards_position(home: Home) -> None:
    home.crowd(0, 2_000)
    workers = shards(home.sharded(2))
    for _ in range(4):
        workers[0].cycle()
    workers[1].cycle()
    found = catalog(declared(home.algorithms))
    reader = open_reader(home.settings)
    with pytest.raises(StoreError, match="waiting for shard 1 to reach offset"):
        compare(found, reader, home.tables, home.registry, seconds=0.1)
    beside = threading.Thread(target=catch_up, args=(workers[1], workers[0].position))
    beside.start()
    agreed = compare(found, reader, home.tables, home.registry)
    beside.join()
    assert agreed.mismatches == 0, agreed.differing
    assert sum(agreed.keys.values()) > 90
    workers[1].cycle()  # now ahead, its rows in the outbox
    catch_up(workers[0], workers[1].position)
    workers[0].drain()
    agreed = compare(found, reader, home.tables, home.registry)
    assert agreed.mismatches == 0, agreed.differing
    reader.close()
    close(workers)


def catch_up(worker: Worker, position: int) -> None:
    while worker.position < position:
        worker.cycle()


def test_a_table_that_is_missing_is_built_of_all_shards_events(home: Home, another: Home) -> None:
    another.history()
    for one in (home, another):
        one.crowd(0, 1_500)
    workers = shards(home.sharded(2))
    for _ in range(5):
        workers[0].cycle()
    workers[1].cycle()
    position = workers[0].position
    for worker in workers:
        worker.close()  # killed, with rows in the outboxes: nothing is drained
    home.registry.put_fact("history/viewed", {"end": home.B - 1})  # another history: all of it is built anew
    workers = shards(home)
    threads = [start(worker.bootstrap) for worker in workers]
    threads[1].join(240)
    assert not threads[1].is_alive(), "the shard that is behind waits for nobody"
    deadline = time.monotonic() + 240
    while "waiting for shard 1 to reach offset" not in workers[0].state:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    catch_up(workers[1], position)
    threads[0].join(240)
    assert not threads[0].is_alive()
    close(workers)
    alone = Worker(another.settings)
    close([alone])
    for table in another.built():
        assert sorted(scan(home, 0, table) + scan(home, 1, table)) == scan(another, 0, table), table


@pytest.mark.parametrize("number", [2, 3])
def test_declarations_that_change_are_carried_out_by_every_shard(home: Home, another: Home, number: int) -> None:
    another.history()
    for one in (home.sharded(number), another):
        for worker in shards(one):
            worker.bootstrap()
            worker.close()
        changing(one)
    write_yaml(home, WIDE)  # what the last order says, so that nobody orders more
    together, alone = shards(home, 60), shards(another)
    for workers in (together, alone):
        while sum(worker.cycle() for worker in workers) or any(worker.status()["warming"] for worker in workers):
            pass
        close(workers)
    ours, theirs = home.state(), another.state()
    ours.pop("fact"), theirs.pop("fact")  # told each second by a thread, which does not run here
    assert ours == theirs
    assert len([name for name in theirs["entities"] if name.startswith("tile/")]) == 2
    assert theirs["rows"]["shop/samples"]


def start(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def scan(home: Home, shard: int, table: str) -> list[tuple[str, bytes]]:
    online = open_online(shard, home.settings)
    with online.read() as read:
        found = read.scan(table)
    online.close()
    return found
