"""Cached tables and failing stores seen from a request: features, flags, counts, and parity of what was read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.errors import StoreError
from saima.features import Algorithm, load
from saima.features.extractor import Extraction, Extractor
from saima.features.lookups import row_sources
from saima.features.parity import check
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine

SECOND = 1000
START = 1_364_774_400_000
SHOP = """
algorithm: stall
sources:
  priced: {key: item_id, lateness: 1h, fields: {item_id: string, shelf: string, price: float64, tags: int64}}
  seen: {key: item_id, lateness: 1h, fields: {item_id: string, seconds: int64}}
request:
  fields: {shelf: string}
  items: {max: 100, fields: {item_id: string}}
tables:
  exact: {source: priced, key: item_id, side: item}
  held: {source: priced, key: item_id, side: item, cache: {ttl: 60s, size: 50}}
  behind: {source: priced, key: item_id, side: item, query: async, ttl: 6h, cache: {ttl: 60s, size: 50}}
  whole: {source: priced, key: item_id, side: item, query: preload}
  of_shelf: {source: priced, key: shelf, query: sync, cache: {ttl: 60s}}
aggregates:
  by_item: {from: seen, key: item_id, value: seconds, side: item, measures: [count, max], windows: [1h]}
features:
  exact_price: {value: exact.price, dtype: float64, default: -1.0}
  held_price: {value: held.price, dtype: float64, default: -1.0}
  behind_price: {value: behind.price, dtype: float64, default: -1.0}
  whole_price: {value: whole.price, dtype: float64, default: -1.0}
  since: {value: age(held.time), dtype: float64}
  shelf_tags: {value: of_shelf.tags, dtype: int64, default: 0}
  views: {value: by_item.count_1h, dtype: int64, default: 0}
  longest: {value: by_item.max_1h, dtype: int64, default: 0}
"""
NAMES = {"exact": "exact_price", "held": "held_price", "behind": "behind_price", "whole": "whole_price"}


class Faulty:
    """A store whose tables can be taken down one by one, or all of them."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self.down: set[str] = set()

    @contextmanager
    def read(self) -> Iterator[Any]:
        if "*" in self.down:
            raise StoreError("the store is down")
        with self._store.read() as read:
            yield _Faults(read, self.down)

    def write(self) -> Any:
        return self._store.write()

    def close(self) -> None:
        self._store.close()


class _Faults:
    def __init__(self, read: Any, down: set[str]) -> None:
        self._read, self._down = read, down

    def _ask(self, table: str) -> Any:
        if table in self._down:
            raise StoreError(f"'{table}' is down")
        return self._read

    def get_many(self, table: str, keys: Sequence[str]) -> Any:
        return self._ask(table).get_many(table, keys)

    def scan(self, table: str) -> Any:
        return self._ask(table).scan(table)

    def generation(self, table: str) -> Any:
        return self._ask(table).generation(table)

    def position(self) -> Any:
        return self._read.position()


class Stall:
    """A store that follows a stream of prices and views, an extractor over it, and the log of what it answered."""

    def __init__(self, folder: Path, home: Path) -> None:
        (folder / "stall").mkdir(parents=True)
        (folder / "stall" / "algorithm.yaml").write_text(SHOP)
        self.algorithm: Algorithm = load(folder / "stall")
        self.store = open_online(0, Settings(home=home), writer=True)
        self.faulty = Faulty(self.store)
        self.extractor = Extractor(self.algorithm, self.faulty)
        declared = self.algorithm.declaration
        self.tiles = TileEngine(groups(declared), self._read, predicates(declared))
        self.rows = RowEngine(row_sources(declared), self._read)
        self.priced: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.offset = 0
        self.records: list[dict[str, Any]] = []

    def _read(self, table: str, keys: Any) -> list[bytes | None]:
        with self.store.read() as txn:
            return txn.get_many(table, keys)

    @property
    def table(self) -> str:
        """The table of rows by item."""
        return next(rows.table for rows in row_sources(self.algorithm.declaration) if rows.key == ("item_id",))

    def change(self, time: int, prices: dict[str, float], views: Sequence[str] = ()) -> None:
        """Price items and see some, at a time, and commit it."""
        first = self.offset
        for item, price in prices.items():
            self.offset += 1
            row = {"item_id": item, "shelf": "s", "price": price, "tags": self.offset}
            self.priced.append(_event(time, self.offset) | row)
        for item in views:
            self.offset += 1
            self.seen.append(_event(time, self.offset) | {"item_id": item, "seconds": 5})
        for topic, frame in self.frames(first).items():
            self.tiles.process_batch(frame, topic)
            self.rows.process_batch(frame, topic)
        with self.store.write() as txn:
            for table, key, data in [*self.tiles.changes(), *self.rows.changes()]:
                txn.put_many(table, [(key, data)])
            txn.set_position({0: self.offset})

    def frames(self, after: int = 0) -> dict[str, pl.DataFrame]:
        number = {name: pl.Int64() for name in ("time", "seq", "offset")}
        envelope = number | {"late": pl.Boolean(), "item_id": pl.String()}
        types = {
            "priced": envelope | {"shelf": pl.String(), "price": pl.Float64(), "tags": pl.Int64()},
            "seen": envelope | {"seconds": pl.Int64()},
        }
        rows = {"priced": self.priced, "seen": self.seen}
        return {
            topic: pl.DataFrame([row for row in rows[topic] if row["offset"] > after], schema=pl.Schema(schema))
            for topic, schema in types.items()
        }

    def ask(self, time: int, *items: str) -> Extraction:
        asked: list[dict[str, Any]] = [{"item_id": item} for item in items]
        found = self.extractor.extract({"shelf": "s"}, None, asked, time)
        rows = list(reversed(range(len(asked))))
        assert found.plain(rows) == found.features[rows].to_dict(as_series=False)
        self.records.append(
            {
                "trace": f"t{len(self.records)}", "time": time, "rows": found.rows, "whole": True, "items": asked,
                "position": {str(p): o for p, o in found.position.items()}, "request": {"shelf": "s"},
                "user": None, "kept": list(range(len(items))), "degraded": found.degraded,
                "features": {name: found.features[name].to_list() for name in found.features.columns},
            }
        )  # fmt: skip
        return found

    def settle(self) -> None:
        assert self.extractor.caches is not None
        assert self.extractor.caches.settle(10)

    def counts(self) -> dict[str, dict[str, int]]:
        assert self.extractor.caches is not None
        return {row["table"]: row["results"] for row in self.extractor.caches.numbers()}

    def parity(self) -> Any:
        records = [json.loads(json.dumps(record)) for record in self.records]
        return check(self.algorithm, records, {topic: frame.lazy() for topic, frame in self.frames().items()})


def _event(time: int, offset: int) -> dict[str, Any]:
    return {"time": time, "seq": 0, "offset": offset, "late": False}


def values(found: Extraction, item: int = 0) -> dict[str, Any]:
    return dict(zip(found.features.columns, found.features.row(item), strict=True))


@pytest.fixture
def stall(tmp_path: Path) -> Iterator[Stall]:
    made = Stall(tmp_path / "algorithms", tmp_path)
    yield made
    made.faulty.down.clear()
    made.settle()
    made.store.close()


def test_each_query_answers_as_declared_when_a_row_changes(stall: Stall) -> None:
    stall.change(START, {"a": 1.0, "b": 2.0}, ["a"])
    first = stall.ask(START + 1, "a", "b", "c")
    assert first.degraded == ["behind"]
    assert values(first)["behind_price"] == -1.0
    stall.settle()
    stall.change(START + SECOND, {"a": 9.0})
    found = stall.ask(START + 2 * SECOND, "a", "b", "c")
    assert found.degraded == []
    prices = {name: values(found)[feature] for name, feature in NAMES.items()}
    assert prices == {"exact": 9.0, "held": 1.0, "behind": 1.0, "whole": 9.0}
    assert [row and row[2] for row in found.rows["held"]] == [1, 2, None]
    assert [row and row[2] for row in found.rows["exact"]] == [4, 2, None]
    stall.settle()
    now = stall.ask(START + 62 * SECOND, "a", "b", "c")
    assert {name: values(now)[feature] for name, feature in NAMES.items()} == {
        "exact": 9.0, "held": 9.0, "behind": 1.0, "whole": 9.0
    }  # fmt: skip
    assert now.degraded == ["behind"]
    assert stall.counts()["held"] == {"miss": 6, "hit": 3}


def test_parity_recomputes_cached_rows_from_the_versions_that_were_logged(stall: Stall) -> None:
    rng, clock = random.Random(7), START
    items = [f"i{n}" for n in range(8)]
    stall.change(clock, dict.fromkeys(items, 1.0), items)
    for _ in range(120):
        clock += rng.choice([1, SECOND, 5 * SECOND, 40 * SECOND])
        if rng.random() < 0.4:
            stall.change(clock, {rng.choice(items): round(rng.random(), 3)}, [rng.choice(items)])
        stall.ask(clock + 1, *rng.sample([*items, "unknown"], 4))
        if rng.random() < 0.5:
            stall.settle()
    report = stall.parity()
    assert report.mismatches == report.missing == report.extra == report.versions == 0
    assert report.rows > 100
    assert 0 < report.skipped["degraded"] < 110
    assert set(report.older) == {"held", "behind", "of_shelf"}
    assert report.older["held"] > 0
    assert report.older["behind"] > 0


def test_parity_finds_a_version_that_never_was_and_a_value_that_is_not_the_versions(stall: Stall) -> None:
    stall.change(START, {"a": 1.0}, ["a"])
    stall.ask(START + 1, "a")
    stall.settle()
    stall.records.clear()
    stall.change(START + SECOND, {"a": 2.0})
    stall.ask(START + 2 * SECOND, "a")
    assert stall.parity().older["held"] == 1
    stall.records[0]["rows"]["held"] = [[START, None, 77]]
    report = stall.parity()
    assert report.versions == 1
    assert report.missing + report.extra == 1  # since: a row that never was has no age
    stall.records[0]["rows"]["held"] = [[START + SECOND, None, 3]]
    report = stall.parity()
    assert (report.versions, report.mismatches) == (0, 2)
    stall.records[0]["time"] = START + SECOND - 1
    assert stall.parity().versions > 0


@pytest.mark.parametrize("name", ["exact", "held", "behind", "whole"])
def test_a_damaged_row_costs_its_own_candidate_and_is_named(stall: Stall, name: str) -> None:
    stall.change(START, {"a": 1.0, "b": 2.0}, ["a"])
    stall.ask(START + 1, "a")
    stall.settle()
    with stall.store.write() as txn:
        txn.put_many(stall.table, [("b", b"\x00{")])
    stall.settle()
    found = stall.ask(START + 120 * SECOND, "a", "b")
    assert name in found.degraded
    assert values(found, 0)[NAMES[name]] == 1.0
    assert values(found, 1)[NAMES[name]] == -1.0
    assert values(found, 0)["views"] == 1
    assert "by_item" not in found.degraded


def test_a_table_that_is_down_is_its_defaults_while_the_others_answer(stall: Stall) -> None:
    stall.change(START, {"a": 1.0}, ["a"])
    stall.ask(START + 1, "a")
    stall.settle()
    good = values(stall.ask(START + 2, "a"))
    tiles = next(group.table for group in groups(stall.algorithm.declaration))

    stall.faulty.down = {stall.table}
    late = stall.ask(START + 120 * SECOND, "a")
    assert late.degraded == ["exact", "held", "behind", "whole"]
    assert values(late) | {"behind_price": -1.0} == {
        "exact_price": -1.0, "held_price": -1.0, "behind_price": -1.0, "whole_price": -1.0, "since": None,
        "shelf_tags": 1, "views": 1, "longest": 5,
    }  # fmt: skip
    assert late.position == {0: 2}
    assert late.rows["exact"] == [None]
    assert stall.counts()["exact"]["failed"] == 1
    stall.settle()

    stall.faulty.down = {tiles}
    found = stall.ask(START + 3, "a")
    assert found.degraded == ["by_item"]
    assert values(found) == {**good, "views": 0, "longest": 0, "since": 0.003}
    assert stall.counts()["by_item"]["failed"] == 1

    stall.faulty.down = {"*"}
    found = stall.ask(START + 4, "a")
    assert found.degraded == ["exact", "held", "behind", "whole", "of_shelf", "by_item"]
    assert found.position == {}
    assert stall.counts()["by_item"]["failed"] == 2
    errors = {row["table"]: row["error"] for row in stall.extractor.caches.numbers()} if stall.extractor.caches else {}
    assert errors["by_item"] == "the store is down"

    stall.faulty.down = set()
    stall.ask(START + 4, "a")
    stall.settle()
    found = stall.ask(START + 2, "a")
    assert found.degraded == []
    assert values(found) == good


def test_a_field_whose_type_was_changed_is_another_table_until_it_is_built(stall: Stall, tmp_path: Path) -> None:
    stall.change(START, {"a": 1.0}, ["a"])
    folder = tmp_path / "changed" / "stall"
    folder.mkdir(parents=True)
    text = SHOP.replace("tags: int64", "tags: string").replace("tags, dtype: int64, default: 0", "tags, dtype: string")
    (folder / "algorithm.yaml").write_text(text)
    changed = Extractor(load(folder), stall.faulty)
    found = changed.extract({"shelf": "s"}, None, [{"item_id": "a"}], START + 1)
    assert found.degraded == ["exact", "held", "behind", "whole", "of_shelf"]
    assert values(found)["shelf_tags"] is None
    assert values(found)["views"] == 1
    assert stall.ask(START + 1, "a").degraded == ["behind"]


def test_versions_of_one_algorithm_share_their_caches(stall: Stall) -> None:
    stall.change(START, {"a": 1.0}, ["a"])
    stall.ask(START + 1, "a")
    stall.settle()
    second = Extractor(stall.algorithm, stall.faulty, stall.extractor.caches)
    found = second.extract({"shelf": "s"}, None, [{"item_id": "a"}], START + 2)
    assert found.degraded == []
    assert stall.counts()["behind"] == {"miss": 1, "hit": 1}
