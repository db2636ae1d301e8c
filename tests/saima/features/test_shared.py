"""Shared features: one definition, one computation of windows and rows, one cache, however many read them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from saima.features import load
from saima.features.caches.tables import Caches
from saima.features.checks.examples import run_examples
from saima.features.entries import entries
from saima.features.extractor import Extractor
from saima.features.needs import table_needs
from saima.features.shared import shared_features
from saima.settings import Settings, settings
from saima.stores import open_online
from saima.streams.tiles import TileEngine
from saima.worker.catalog import catalog

USERS = """
description: What a user did lately.
sources:
  bought: {key: user, fields: {user: string, amount: int64}}
tables:
  last_buy: {source: bought, key: user, query: preload, cache: {ttl: 1h, size: 100}}
aggregates:
  buys: {from: bought, key: user, value: amount, measures: [count, sum], windows: [1h]}
features:
  buys_1h: {value: buys.count_1h, dtype: int64, default: 0, description: Purchases of the user.}
  spent_1h: {value: buys.sum_1h, dtype: int64, default: 0, description: What the user spent.}
  last_amount: {value: last_buy.amount, dtype: int64, default: -1, description: The newest purchase.}
"""
ALGORITHM = """
algorithm: {name}
use: [users]
request: {{fields: {{user: string, {field}: int64}}}}
features:
  own: {{value: "buys_1h + {field}", dtype: int64}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shared" / "features").mkdir(parents=True)
    (tmp_path / "shared" / "features" / "users.yaml").write_text(USERS)
    (tmp_path / "shared" / "features" / "unused.yaml").write_text("features:\n  x: {value: hour(), dtype: int64}\n")
    for name, field in (("first", "place"), ("second", "size")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "algorithm.yaml").write_text(ALGORITHM.format(name=name, field=field))
    return tmp_path


def test_a_file_knows_its_readers(root: Path) -> None:
    found = shared_features(root, [load("second", root), load("first", root)])
    assert [(part.name, [reader.name for reader in part.readers]) for part in found] == [
        ("unused", []),
        ("users", ["first", "second"]),
    ]
    assert [entry.full_name for entry in entries([load("first", root), load("second", root)])] == [
        "shared/users.buys_1h",
        "shared/users.spent_1h",
        "shared/users.last_amount",
        "first.own",
        "second.own",
    ]


def test_windows_and_rows_are_computed_once_and_cached_once(root: Path, tmp_path: Path) -> None:
    loaded = {name: load(name, root) for name in ("first", "second")}
    known = catalog({name: algorithm.declaration for name, algorithm in loaded.items()})
    assert (len(known.groups), len(known.rows)) == (1, 1)
    online = open_online(0, Settings(home=tmp_path / "home", fsync=False), writer=True)
    try:
        tiles = TileEngine(known.groups.values())
        events = pl.DataFrame({"time": [1000], "seq": [0], "offset": [1], "user": ["u"], "amount": [7]})
        tiles.process_batch(events, "bought")
        changes = tiles.changes()
        assert len(changes) == 1  # one entity for both algorithms
        with online.write() as transaction:
            for table, key, data in changes:
                transaction.put_many(table, [(key, data)])
            transaction.set_position({0: 1})
        caches = Caches(online)
        extractors = {name: Extractor(algorithm, online, caches) for name, algorithm in loaded.items()}
        first, second = (caches.of(table_needs(algorithm)[0].read) for algorithm in loaded.values())
        assert first is second
        for extractor, field in zip(extractors.values(), ("place", "size"), strict=True):
            found = extractor.extract({"user": "u", field: 2}, None, None, 2000).features
            assert found.select("buys_1h", "spent_1h", "own").row(0) == (1, 7, 3)
    finally:
        online.close()


def test_both_algorithms_of_the_tree_share_the_calendar() -> None:
    loaded = [load(name) for name in ("fashion_ranking", "flight_delay")]
    (calendar,) = (part for part in shared_features(settings().algorithms, loaded) if part.name == "calendar")
    assert [reader.name for reader in calendar.readers] == ["fashion_ranking", "flight_delay"]
    models = {reader.name: set() for reader in calendar.readers}  # type: dict[str, set[str]]
    for entry in entries(loaded):
        if entry.shared == "calendar":
            assert entry.algorithms == ("fashion_ranking", "flight_delay")
            for name in entry.algorithms:
                models[name].add(entry.name)
    assert models["fashion_ranking"] == models["flight_delay"] == set(calendar.declared.features)
    outcomes = [outcome for algorithm in loaded for outcome in run_examples(algorithm)]
    assert len([one for one in outcomes if one.file == "algorithms/shared/tests/calendar.yaml"]) == 30
    assert [one for one in outcomes if one.wrong] == []
