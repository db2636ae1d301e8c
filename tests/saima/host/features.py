"""A shop whose views, prices and users stand in a real online store, for the tests of the feature service."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from saima.features import Algorithm, load
from saima.features.lookups import row_sources
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine

NOW = 1_364_774_400_000
SECOND = 1000

SHOP = """
algorithm: shop
sources:
  viewed: {key: item_id, fields: {item_id: string, channel: string, seconds: int64}}
  priced: {key: item_id, fields: {item_id: string, price: decimal(2), label: string, tags: list<string>}}
  joined: {key: visitor, fields: {visitor: string, rank: int64}}
request:
  fields: {channel: string, since: timestamp}
  user: {visitor: string, likes: list<string>}
  items: {max: 10, fields: {item_id: string}}
tables:
  price: {source: priced, key: item_id, side: item, query: preload}
  member: {source: joined, key: visitor, side: user, query: async}
aggregates:
  views: {from: viewed, key: item_id, value: seconds, side: item, k: 3,
          measures: [count, mean, last_k], windows: [1h, 1d]}
  pair: {from: viewed, key: [channel, item_id], side: item, measures: [count], windows: [1h]}
  spread: {from: viewed, key: channel, value: item_id, measures: [histogram], windows: [1d]}
resources: {buckets: {price: [1, 5]}}
features:
  popularity: {value: "views.count_1h / (1 + views.count_1d)", dtype: float64}
  cheap: {value: "price.price < 5", dtype: bool}
  newcomer: {value: "1 if member.rank == 0 else 0", dtype: int64, default: 1}
  liked: {value: "overlap(likes, price.tags, 'contains')", dtype: int64}
  lasting: {value: "age(since)", dtype: float64}
  best: {value: "cast(cheap, 'int64') * popularity", dtype: float64, default: 0.0}
"""


def write_shop(root: Path) -> Algorithm:
    """The shop as an algorithm of a folder."""
    folder = root / "shop"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(SHOP)
    return load(folder)


def fill(store: OnlineStore, algorithm: Algorithm) -> None:
    """Views of `hat`: 10, 40 and 70 min before NOW; its price since 5 min; visitor `v` since a day."""
    declared = algorithm.declaration
    tiles = TileEngine(groups(declared), lambda _, keys: [None] * len(keys), predicates(declared))
    rows = RowEngine(row_sources(declared), lambda _, keys: [None] * len(keys))
    views = pl.DataFrame(
        {
            "time": [NOW - minutes * 60 * SECOND for minutes in (70, 40, 10)],
            "seq": [0, 1, 2],
            "offset": [1, 2, 3],
            "late": [False] * 3,
            "item_id": ["hat"] * 3,
            "channel": ["web", "app", "web"],
            "seconds": [5, 7, 12],
        }
    )
    tiles.process_batch(views, "viewed")
    event = {"seq": 0, "late": False}
    prices = [event | {"time": NOW - 300 * SECOND, "offset": 4, "item_id": "hat", "price": 425, "label": "red",
                       "tags": ["red", "wool"]}]  # fmt: skip
    rows.process_batch(pl.DataFrame(prices), "priced")
    joined = [event | {"time": NOW - 86_400 * SECOND, "offset": 5, "visitor": "v", "rank": 0}]
    rows.process_batch(pl.DataFrame(joined), "joined")
    with store.write() as write:
        for table, key, data in [*tiles.changes(), *rows.changes()]:
            write.put_many(table, [(key, data)])
        write.set_position({0: 5})
