"""Where features are computed when an algorithm serves: what is said is what the extractor does."""

from __future__ import annotations

from pathlib import Path

import pytest

from saima.features import Algorithm, explain, load
from saima.features.extractor import Extractor
from saima.features.online.serving import serving
from saima.settings import Settings
from saima.stores import open_online

SHOP = """
algorithm: shop
sources:
  viewed: {key: visitor, fields: {visitor: string, item_id: string, seconds: int64}}
  priced: {key: item_id, fields: {item_id: string, price: float64, tags: list<string>}}
request:
  fields: {channel: string}
  user: {visitor: string, budget: float64, likes: list<string>}
  items: {fields: {item_id: string, rank: int64}}
tables:
  price: {source: priced, key: item_id, side: item, ttl: 6h, cache: {ttl: 1h, size: 500}}
aggregates:
  by_item: {from: viewed, key: item_id, value: seconds, side: item, measures: [count, mean], windows: [1h]}
  by_pair: {from: viewed, key: [visitor, item_id], side: item, measures: [count], windows: [1h]}
features:
  bias: {value: "1.0", dtype: float64}
  evening: {value: "1 if hour() >= 18 else 0", dtype: int64}
  views: {value: by_item.count_1h, dtype: int64, default: 0}
  rate: {value: "by_item.mean_1h / (views + 1)", dtype: float64}
  affordable: {value: "price.price <= budget", dtype: bool}
  margin: {value: "budget - price.price", dtype: float64}
  margin_rate: {value: "margin / price.price", dtype: float64}
  rank_margin: {value: "margin * rank", dtype: float64}
  liked: {value: "overlap(likes, price.tags, 'contains')", dtype: int64}
  seen: {value: "log1p(by_pair.count_1h)", dtype: float64}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder = tmp_path_factory.mktemp("algorithms") / "shop"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(SHOP)
    return load(folder)


def test_homes(shop: Algorithm) -> None:
    found = serving(shop)
    assert found.once == ("bias", "evening")
    assert found.kept == ("views", "rate")
    assert found.kernels == (("affordable", "margin"), ("margin_rate", "rank_margin"))
    assert set(found.select) == {"liked", "seen"}
    assert [found.home(name) for name in ("bias", "rate", "margin", "seen")] == ["once", "kept", "kernel", "select"]


@pytest.mark.parametrize("name", ["shop", "fashion_ranking"])
def test_it_is_what_the_extractor_does(shop: Algorithm, name: str, tmp_path: Path) -> None:
    algorithm = shop if name == "shop" else load(name)
    online = open_online(0, Settings(home=tmp_path), writer=True)
    try:
        candidates = Extractor(algorithm, online)._candidates
    finally:
        online.close()
    assert candidates is not None
    split, found = candidates._split, serving(algorithm)
    assert found.once == tuple(feature for feature in algorithm.plan.features if feature in split.shared)
    assert found.kept == tuple(feature for feature in algorithm.plan.features if feature in split.cached)
    left = [unit.name for unit in split.units.values() if unit.computed is not None]
    assert sorted([*(each for level in found.kernels for each in level), *found.select]) == sorted(left)


def test_without_candidates_everything_is_computed_once_a_request() -> None:
    flights = load("flight_delay")
    assert serving(flights).once == tuple(flights.plan.features)


def test_explain_says_it(shop: Algorithm) -> None:
    text = explain(shop)
    for line in (
        "once a request, on one row: 2 features",
        "kept with each item, until a row, a tile or a hop that it reads changes: 2 features",
        "for each candidate, by NumPy in 2 levels: 4 features",
        "for each candidate, by one Polars select: 2 features",
        "table     price [item, sync, cache 1h, 500 rows, ttl 6h] by item.item_id: price: float64, tags: list<string>",
        "views = by_item.count_1h  (int64, kept, default 0)",
    ):
        assert line in text, text
