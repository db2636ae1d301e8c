"""Batch and stream hold the same bytes, also while rows wait in the outbox; a difference is named."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import StoreError
from saima.settings import settings
from saima.stores import open_online
from saima.worker.catalog import catalog, declared
from saima.worker.handover import Agreement, compare
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py


def look(home: Home) -> Agreement:
    online = open_online(0, home.settings)
    try:
        return compare(catalog(declared(home.algorithms)), online, home.tables, home.registry)
    finally:
        online.close()


def test_batch_and_stream_agree_bit_for_bit(home: Home) -> None:
    home.traffic(0, 20)
    worker = Worker(home.settings, rows=2)
    for _ in range(4):
        worker.cycle()
    worker.drain()
    worker.cycle()
    waiting = look(home)
    assert waiting.mismatches == 0, waiting.differing
    home.follow(worker, drain=False)
    assert look(home).mismatches == 0
    worker.drain()
    worker.close()
    found = look(home)
    assert found.mismatches == 0
    assert found.position > waiting.position
    assert set(found.keys.values()) == {3}
    assert len(found.keys) == 2


def test_a_difference_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.traffic(0, 10)
    home.run()
    table = next(name for name in home.built() if name.startswith("row/"))
    online = open_online(0, home.settings, writer=True)
    with online.write() as txn:
        (data,) = txn.get_many(table, ["s1"])
        txn.put_many(table, [("s1", None), ("s9", data)])
    online.close()
    found = look(home)
    assert found.mismatches == 2
    assert found.differing == {table: ["s1", "s9"]}
    monkeypatch.setenv("SAIMA_HOME", str(home.path))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(home.algorithms))
    settings.cache_clear()
    told = CliRunner().invoke(saima, ["check", "handover"])
    settings.cache_clear()
    assert f"{table}: 3 keys, differing: s1, s9" in told.output
    assert "2 mismatches" in told.output
    assert told.exit_code == 1


def test_before_the_worker_there_is_nothing_to_compare(home: Home) -> None:
    open_online(0, home.settings, writer=True).close()
    with pytest.raises(StoreError, match="has not been built yet"):
        look(home)
