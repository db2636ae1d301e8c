"""One small shop end to end: events through the engines into LMDB, requests through the extractor, then recomputed."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.events import Position
from saima.features import Algorithm, load
from saima.features.backfill import backfill
from saima.features.extractor import ITEMS, Extraction, Extractor
from saima.features.lookups import row_sources
from saima.features.parity import check
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine

MINUTE, HOUR = 60_000, 3_600_000
START = 1_364_774_400_000
SHOP = """
algorithm: shop
sources:
  viewed:
    key: visitor
    lateness: 20m
    fields: {visitor: string, item_id: string, seconds: int64, price: float64, channel: string, at: timestamp}
  priced:
    key: item_id
    fields: {item_id: string, price: float32, label: string, since: timestamp}
request:
  fields: {channel: string, moment: timestamp, weights: "list<float64>"}
  user: {visitor: string}
  items: {max: 200, fields: {item_id: string, rank: int64}}
tables:
  price: {source: priced, key: item_id, side: item, query: preload, valid_from: since, known_at: time, ttl: 6h}
  last_view: {source: viewed, key: [visitor, item_id], side: item}
aggregates:
  by_item:
    {from: viewed, key: item_id, value: seconds, side: item, k: 3,
     measures: [count, mean, max, last_k, variance], windows: [1h, 24h]}
  long_views:
    {from: viewed, key: [visitor], value: seconds, where: "seconds > 5 and hour(at) >= 0",
     measures: [count, sum], windows: [30m], side: user}
  spent: {from: viewed, key: visitor, value: price, measures: [sum, max], windows: [2h], exact: false, side: user}
  channels: {from: viewed, key: channel, value: item_id, measures: [distinct, last, histogram], windows: [6h], hop: 0}
features:
  views: {value: by_item.count_1h, dtype: int64, default: 0}
  mean_day: {value: by_item.mean_24h, dtype: float32}
  longest: {value: by_item.max_1h, dtype: int64}
  spread: {value: by_item.variance_24h, dtype: float64}
  newest: {value: by_item.last_k_24h, dtype: list<int64>}
  long_count: {value: long_views.count_30m, dtype: int64, default: 0}
  long_sum: {value: long_views.sum_30m, dtype: int64}
  spent_sum: {value: spent.sum_2h, dtype: float64}
  spent_max: {value: spent.max_2h, dtype: float32}
  kinds: {value: channels.distinct_6h, dtype: int64}
  last_item: {value: channels.last_6h, dtype: string}
  seen_here: {value: channels.histogram_6h, dtype: "map<string,int64>"}
  cost: {value: price.price, dtype: float32}
  label: {value: price.label, dtype: string, default: none}
  cost_age: {value: age(price.since), dtype: float64}
  pause: {value: age(last_view.at), dtype: float64}
  place: {value: rank, dtype: int64}
  bias: {value: weights, dtype: list<float64>}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder = tmp_path_factory.mktemp("algorithms") / "shop"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(SHOP)
    return load(folder)


@pytest.fixture
def online(tmp_path: Path) -> Iterator[OnlineStore]:
    store = open_online(0, Settings(home=tmp_path), writer=True)
    yield store
    store.close()


class World:
    """A recorded stream of the shop's events in order of arrival, offsets from 1, the first part being history."""

    def __init__(self, seed: int, count: int = 600) -> None:
        rng = random.Random(seed)
        clock = START
        self.viewed: list[dict[str, Any]] = []
        self.priced: list[dict[str, Any]] = []
        for offset in range(1, count + 1):
            clock += rng.choice([0, 1, 5_000, MINUTE, 10 * MINUTE])
            item = f"i{rng.randrange(12)}"
            event = {"time": clock - rng.choice([0, 0, 0, 1, 5 * MINUTE]), "seq": rng.randrange(3), "offset": offset}
            if rng.random() < 0.2:
                since = event["time"] - rng.choice([0, MINUTE, HOUR])
                row = {"item_id": item, "price": rng.choice([None, 0.1, 19.99]), "label": rng.choice(["a", "b"])}
                self.priced.append({**event, **row, "since": since, "late": False})
            else:
                row = {
                    "visitor": rng.choice(["u1", "u2", None]), "item_id": item, "seconds": rng.choice([None, 1, 7, 30]),
                    "price": rng.choice([None, 0.1, 2.5]), "channel": rng.choice(["web", "app"]), "at": event["time"],
                }  # fmt: skip
                self.viewed.append({**event, **row, "late": False})
        self.end = clock

    def frames(self, shop: Algorithm, first: int = 0, last: int = 10**9) -> dict[str, pl.DataFrame]:
        """Events with first < offset <= last, by topic."""
        frames = {}
        for topic, rows in (("viewed", self.viewed), ("priced", self.priced)):
            fields = shop.declaration.sources[topic].fields
            types = {"float32": pl.Float32, "float64": pl.Float64, "string": pl.String}
            schema = {"time": pl.Int64, "seq": pl.Int64, "offset": pl.Int64, "late": pl.Boolean}
            schema |= {name: types.get(dtype, pl.Int64) for name, dtype in fields.items()}
            frames[topic] = pl.DataFrame([row for row in rows if first < row["offset"] <= last], schema=schema)
        return frames


class Stream:
    """The engines over an online store, as the worker composes them."""

    def __init__(self, shop: Algorithm, online: OnlineStore, world: World) -> None:
        def read(table: str, keys: Any) -> list[bytes | None]:
            with online.read() as txn:
                return txn.get_many(table, keys)

        self.shop, self.online, self.world, self.position = shop, online, world, 0
        self.tiles = TileEngine(groups(shop.declaration), read, predicates(shop.declaration))
        self.rows = RowEngine(row_sources(shop.declaration), read)

    def advance(self, position: int) -> None:
        """Process and commit all events up to a position; the first call builds them as history."""
        frames = self.world.frames(self.shop, self.position, position)
        if self.position == 0:
            changes = [*self.tiles.build_from_history(frames), *self.rows.build_from_history(frames)]
        else:
            for topic, frame in frames.items():
                self.tiles.process_batch(frame, topic)
                self.rows.process_batch(frame, topic)
            changes = [*self.tiles.changes(), *self.rows.changes()]
        with self.online.write() as txn:
            for table, key, data in changes:
                txn.put_many(table, [(key, data)])
            txn.set_position({0: position})
        self.position = position

    def newest(self) -> int:
        rows = [*self.world.viewed, *self.world.priced]
        return max(row["time"] for row in rows if row["offset"] <= self.position)


def request(rng: random.Random, items: int) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    return (
        {"channel": rng.choice(["web", "app", "none"]), "moment": START, "weights": rng.choice([None, [], [0.5, 1]])},
        {"visitor": rng.choice(["u1", "u2", None])},
        [{"item_id": f"i{rng.randrange(14)}", "rank": i} for i in range(items)],
    )


def record(found: Extraction, asked: Any, time: int) -> dict[str, Any]:
    features = {name: found.features[name].to_list() for name in found.features.columns}
    position: Position = found.position
    return {
        "trace": "t", "time": time, "position": {str(p): o for p, o in position.items()}, "rows": found.rows,
        "request": asked[0], "user": asked[1], "items": asked[2], "kept": list(range(len(asked[2]))), "whole": True,
        "degraded": found.degraded, "features": json.loads(json.dumps(features)),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_served_features_are_the_recomputed_ones(shop: Algorithm, online: OnlineStore, seed: int) -> None:
    rng, world = random.Random(seed), World(seed)
    stream, extractor = Stream(shop, online, world), Extractor(shop, online)
    records = []
    for position in range(200, 601, 40):
        stream.advance(position)
        for items in (1, 5, 20):
            time = stream.newest() + rng.choice([-90 * MINUTE, -1, 0, 1, HOUR])
            asked = request(rng, items)
            found = extractor.extract(*asked, time)
            assert found.degraded == []
            assert found.position == {0: position}
            records.append(record(found, asked, time))
    events = {topic: frame.lazy() for topic, frame in world.frames(shop).items()}
    report = check(shop, records, events)
    assert {name: f for name, f in report.by_feature.items() if f.mismatches} == {}
    assert (report.rows, report.features, report.versions) == (11 * 26, 18, 0)
    assert report.mismatches == report.missing == report.extra == 0
    assert report.skipped == {}
    assert report.staleness_ms["max"] > 0
    assert not report.by_feature["spent_sum"].exact
    assert report.by_feature["long_sum"].exact

    records[0]["features"]["views"][0] += 1
    records[1]["features"]["cost"][0] = None if records[1]["features"]["cost"][0] is not None else 1.5
    report = check(shop, [*records, {**records[2], "degraded": ["price"]}, {**records[2], "whole": False}], events)
    assert report.mismatches == 2
    assert report.by_feature["views"].largest == 1
    assert report.missing + report.extra == 1
    assert report.skipped == {"degraded": 1, "not whole": 1}


def test_a_version_computes_ahead_what_another_was_asked_for_last(shop: Algorithm, online: OnlineStore) -> None:
    world = World(3)
    Stream(shop, online, world).advance(400)
    rng, time = random.Random(3), world.end
    asked = [request(rng, 9) for _ in range(6)]
    old, new, fresh = (Extractor(shop, online) for _ in range(3))
    expected = [old.extract(*one, time).features for one in asked]
    distinct = {item["item_id"] for _, _, items in asked for item in items}
    assert new.succeed(old, 60) == len(distinct)
    assert fresh.succeed(new, -1) == 0, "no time, no work"
    for one, frame in zip(asked, expected, strict=True):
        assert new.extract(*one, time).features.equals(frame, null_equal=True)
    assert new.caches is not None
    (told,) = [row for row in new.caches.numbers() if row["table"] == ITEMS]
    assert told["results"] == {"hit": 6 * 9}
    assert old._candidates is not None
    assert old._candidates.items is not None
    newest = asked[-1][2]
    kept = old._candidates.items.latest(len({item["item_id"] for item in newest}))
    assert {item["item_id"] for item in kept} == {item["item_id"] for item in newest}


def test_versions_that_know_items_by_other_fields_leave_each_other_alone(
    shop: Algorithm, online: OnlineStore, tmp_path: Path
) -> None:
    folder = tmp_path / "algorithms" / "shop"
    folder.mkdir(parents=True)
    text = SHOP.replace("rank: int64}", "rank: int64, kind: string}") + "  sort: {value: kind, dtype: string}\n"
    (folder / "algorithm.yaml").write_text(text)
    world = World(3)
    Stream(shop, online, world).advance(400)
    old, other = Extractor(shop, online), Extractor(load(folder), online)
    old.extract(*request(random.Random(1), 5), world.end)
    assert other.succeed(old, 60) == 0


def test_inputs_of_the_batch_path_are_those_of_the_online_one(shop: Algorithm, online: OnlineStore) -> None:
    world = World(9)
    stream, extractor = Stream(shop, online, world), Extractor(shop, online)
    stream.advance(400)
    asked = request(random.Random(1), 12)
    time = stream.newest()
    rows = pl.DataFrame(
        [{**asked[0], **asked[1], **item, "time": time, "id": item["rank"] * 7} for item in asked[2]],
        schema_overrides={"weights": pl.List(pl.Float64), "visitor": pl.String},
    )
    events = {topic: frame.lazy() for topic, frame in world.frames(shop, last=400).items()}
    whole = backfill(shop, rows.lazy(), events, inputs=True).collect()
    assert whole.columns == ["time", "id", *shop.plan.input_schema(), *shop.plan.features]
    exact = [name for name in shop.plan.input_schema() if not name.startswith("spent.sum")]
    assert whole.select(exact).equals(extractor.inputs(*asked, time).select(exact))
    as_of = backfill(
        shop,
        rows.with_columns(position=pl.lit(400)).lazy(),
        {topic: frame.lazy() for topic, frame in world.frames(shop).items()},
    )
    assert as_of.collect().drop("position").equals(whole.drop(list(shop.plan.input_schema())))


def test_without_a_store_everything_read_is_degraded(shop: Algorithm) -> None:
    asked = request(random.Random(1), 2)
    found = Extractor(shop, None).extract(*asked, START)
    assert found.degraded == ["price", "last_view", "by_item", "long_views", "spent", "channels"]
    assert found.features["views"].to_list() == [0, 0]
    assert found.features["cost"].to_list() == [None, None]
    assert found.features["place"].to_list() == [0, 1]
    assert found.position == {}


def test_state_that_was_never_built_is_degraded_but_an_unknown_key_is_not(shop: Algorithm, online: OnlineStore) -> None:
    world = World(3)
    world.priced.clear()
    stream = Stream(shop, online, world)
    stream.advance(300)
    asked = request(random.Random(2), 1)
    asked[2][0]["item_id"] = "never seen"
    found = Extractor(shop, online).extract(*asked, stream.newest())
    assert found.degraded == ["price"]
    assert found.features["views"].to_list() == [0]


def test_a_read_behind_the_kept_head_is_degraded_not_wrong(shop: Algorithm, online: OnlineStore) -> None:
    stream = Stream(shop, online, World(4))
    stream.advance(600)
    asked = request(random.Random(2), 1)
    asked[2][0]["item_id"] = "i1"
    extractor, time = Extractor(shop, online), stream.newest() - 30 * HOUR
    found = extractor.extract(*asked, time)
    assert "by_item" in found.degraded
    assert found.features["mean_day"].to_list() == [None]
    assert extractor.inputs(*asked, time)["by_item.mean_24h"].to_list() == [None]
    assert extractor.caches is not None
    (told,) = [row["error"] for row in extractor.caches.numbers() if row["table"] == "by_item"]
    assert told, "why it could not be read is told with the cache's numbers"


def test_a_damaged_entity_degrades_the_answer(shop: Algorithm, online: OnlineStore) -> None:
    stream = Stream(shop, online, World(4))
    stream.advance(300)
    table = next(group.table for group in groups(shop.declaration) if group.key == ("item_id",))
    with online.write() as txn:
        txn.put_many(table, [("i1", b"\x01" * 77)])
    asked = request(random.Random(2), 1)
    asked[2][0]["item_id"] = "i1"
    assert Extractor(shop, online).extract(*asked, stream.newest()).degraded


def test_threads_share_an_extractor_while_the_state_moves(shop: Algorithm, online: OnlineStore) -> None:
    world = World(5)
    stream, extractor = Stream(shop, online, world), Extractor(shop, online)
    stream.advance(200)
    records: list[dict[str, Any]] = []
    stop = threading.Event()

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            asked = request(rng, 3)
            time = world.viewed[150]["time"]
            records.append(record(extractor.extract(*asked, time), asked, time))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for position in range(205, 260, 5):
        stream.advance(position)
    stop.set()
    for thread in threads:
        thread.join(30)
    events = {topic: frame.lazy() for topic, frame in world.frames(shop).items()}
    report = check(shop, records, events)
    assert report.rows > 0
    assert report.mismatches == report.versions == 0
