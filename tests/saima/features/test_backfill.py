"""Backfill's own edges: what it passes through, leaves out and refuses (its values are held in test_extractor)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features import Algorithm, history, load
from saima.features import backfill as backfilling
from saima.features.backfill import LEAST_MEMORY, backfill, stream
from saima.features.windows import WindowOverflow

TILL = """
algorithm: till
sources:
  paid: {key: shop, fields: {shop: string, cents: int64, since: timestamp}}
request:
  fields: {shop: string, opened: timestamp}
tables:
  last: {source: paid, key: shop, valid_from: since}
aggregates:
  income: {from: paid, key: shop, value: cents, measures: [sum], windows: [1h], hop: 0}
features:
  earned: {value: income.sum_1h, dtype: int64}
  last_age: {value: age(last.since), dtype: float64}
  open_for: {value: age(opened), dtype: float64}
"""
EVENTS = {"shop": ["a", "a", "b"], "cents": [5, 7, 9], "time": [1000, 2000, 3000], "since": [1000, 2000, 3000]}


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder: Path = tmp_path_factory.mktemp("algorithms") / "till"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(TILL)
    return load(folder)


def requests(**columns: list[object]) -> pl.LazyFrame:
    return pl.LazyFrame({"shop": ["a", "b"], "opened": [0, 0], "time": [2000, 9000], **columns})


def test_rows_keep_their_order_and_their_other_columns(till: Algorithm) -> None:
    found = backfill(till, requests(trace=["x", "y"]), {"paid": pl.LazyFrame(EVENTS)}).collect()
    assert found.columns == ["time", "trace", "earned", "last_age", "open_for"]
    assert found.rows() == [(2000, "x", 5, 0.0, 2.0), (9000, "y", 9, 6.0, 9.0)]


def test_late_rows_and_those_beyond_the_position_do_not_count(till: Algorithm) -> None:
    events = pl.LazyFrame({**EVENTS, "late": [True, False, False], "offset": [1, 2, 3]})
    found = backfill(till, requests(position=[5, 2]), {"paid": events}).collect()
    assert found["earned"].to_list() == [None, None]
    assert found["last_age"].to_list() == [0.0, None]


def test_no_events_and_no_requests_are_fine(till: Algorithm) -> None:
    none = pl.DataFrame(EVENTS).clear().lazy()
    assert backfill(till, requests(), {"paid": none}).collect()["earned"].to_list() == [None, None]
    assert backfill(till, requests().collect().clear().lazy(), {"paid": pl.LazyFrame(EVENTS)}).collect().height == 0


def test_requests_may_carry_times_as_datetimes(till: Algorithm) -> None:
    moment = pl.from_epoch("opened", "ms").dt.replace_time_zone("UTC").dt.cast_time_unit("us")
    found = backfill(till, requests().with_columns(moment), {"paid": pl.LazyFrame(EVENTS)}).collect()
    assert found["open_for"].to_list() == [2.0, 9.0]


@pytest.mark.parametrize(
    ("asked", "events", "message"),
    [
        (requests().drop("opened"), {"paid": pl.LazyFrame(EVENTS)}, "requests: the field 'opened' is missing"),
        (requests().drop("time"), {"paid": pl.LazyFrame(EVENTS)}, "requests: the column 'time'"),
        (requests(), {}, "events of 'paid' are not given"),
        (requests(), {"paid": pl.LazyFrame(EVENTS).drop("cents")}, "events of 'paid' have no column 'cents'"),
    ],
)
def test_what_is_missing_is_named(
    till: Algorithm, asked: pl.LazyFrame, events: dict[str, pl.LazyFrame], message: str
) -> None:
    with pytest.raises(SaimaError, match=message):
        backfill(till, asked, events)


def test_a_sum_that_does_not_fit_is_an_error(till: Algorithm) -> None:
    events = pl.LazyFrame({**EVENTS, "shop": ["b", "b", "b"], "cents": [2**63 - 1, 1, 0]})
    with pytest.raises(WindowOverflow):
        backfill(till, requests(), {"paid": events})


CHAIN = """
algorithm: chain
sources:
  sold:
    key: shop
    fields: {shop: int64, town: string, cents: int64, price: decimal(2), stamp: float64, at: timestamp}
  priced: {key: town, fields: {town: string, rate: int64, since: timestamp}}
request:
  fields: {shop: int64, town: string}
tables:
  rates: {source: priced, key: town, valid_from: since, known_at: time, ttl: 1h}
  last: {source: sold, key: [shop, town]}
aggregates:
  by_shop:
    {from: sold, key: shop, value: cents, measures: [count, sum, mean, max, last_k, variance], windows: [1h, 24h]}
  by_town: {from: sold, key: town, value: price, measures: [sum, min, histogram], windows: [6h], where: "cents > 3"}
  here:
    {from: sold, key: [town, shop], value: cents, measures: [quantile_50, approx_distinct, distinct, first],
     windows: [24h], hop: 0, exact: false, error: 0.05}
features:
  shop_count: {value: by_shop.count_1h, dtype: int64}
  shop_sum: {value: by_shop.sum_24h, dtype: int64}
  shop_mean: {value: by_shop.mean_24h, dtype: float64}
  shop_max: {value: by_shop.max_1h, dtype: int64}
  shop_last: {value: by_shop.last_k_24h, dtype: list<int64>}
  shop_variance: {value: by_shop.variance_24h, dtype: float64}
  town_sum: {value: by_town.sum_6h, dtype: decimal(2)}
  town_seen: {value: by_town.histogram_6h, dtype: "map<string,int64>"}
  median: {value: here.quantile_50_24h, dtype: float64}
  kinds: {value: here.approx_distinct_24h, dtype: int64}
  first: {value: here.first_24h, dtype: int64}
  rate: {value: rates.rate, dtype: int64}
  last_cents: {value: last.cents, dtype: int64}
"""
MINUTE = 60_000


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder: Path = tmp_path_factory.mktemp("algorithms") / "chain"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(CHAIN)
    return load(folder)


def written(folder: Path, events: int, seed: int = 1) -> dict[str, pl.LazyFrame]:
    """Events as Parquet files, in no order, some keys missing, some late."""
    rng = random.Random(seed)
    sold = [
        {
            "time": rng.randrange(3000) * MINUTE, "seq": rng.randrange(2), "offset": place + 1,
            "shop": rng.choice([*range(-2, 9), None]), "town": rng.choice(["x", "y", "é", None]),
            "cents": rng.choice([None, *range(9)]), "price": rng.randrange(-500, 500), "stamp": rng.random(),
            "at": 0, "late": rng.random() < 0.1,
        }
        for place in range(events)
    ]  # fmt: skip
    priced = [
        {"time": at * MINUTE, "seq": 0, "offset": at + 1, "town": rng.choice(["x", "y"]), "rate": at,
         "since": (at - rng.randrange(40)) * MINUTE, "late": False}
        for at in range(0, 3000, 7)
    ]  # fmt: skip
    pl.DataFrame(sold).write_parquet(folder / "sold.parquet", row_group_size=500)
    pl.DataFrame(priced).write_parquet(folder / "priced.parquet")
    return {name: pl.scan_parquet(folder / f"{name}.parquet") for name in ("sold", "priced")}


@pytest.mark.parametrize("positions", [False, True])
def test_a_stream_of_parts_is_the_whole(
    chain: Algorithm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positions: bool
) -> None:
    rng = random.Random(7)
    events = written(tmp_path, 2000)
    rows = pl.DataFrame(
        {
            "time": [rng.randrange(3200) * MINUTE for _ in range(2500)],
            "shop": [rng.choice([*range(-3, 10), None]) for _ in range(2500)],
            "town": [rng.choice(["x", "y", "é", "z", None]) for _ in range(2500)],
            "trace": [str(place) for place in range(2500)],
        },
        schema_overrides={"shop": pl.Int64},
    )
    if positions:
        rows = rows.with_columns(position=pl.Series([rng.randrange(2000) for _ in range(2500)]))
    whole = backfill(chain, rows.lazy(), events, inputs=True).collect()
    assert whole.get_column("shop_count").n_unique() > 3
    monkeypatch.setattr(history, "BYTES", 100_000)  # as if the events were many, and the rows wide
    monkeypatch.setattr(backfilling, "CELL", 10_000)
    parts = list(stream(chain, rows.lazy(), events, memory=LEAST_MEMORY, inputs=True))
    assert len(parts) >= 3
    assert pl.concat(parts).equals(whole)


def test_a_bound_that_is_of_no_use_is_refused(till: Algorithm) -> None:
    with pytest.raises(SaimaError, match="a bound of 1000 bytes is too small"):
        next(stream(till, requests(), {"paid": pl.LazyFrame(EVENTS)}, memory=1000))


PEAK = """
import json, sys
from pathlib import Path
import polars as pl
from saima.features import load
from saima.features.backfill import backfill, stream
folder, memory = Path(sys.argv[1]), int(sys.argv[2])
till = load(folder / "till")
def run(requests, events):
    if memory:
        parts = [part["earned"].sum() for part in stream(till, requests, {"paid": events}, memory=memory)]
        return len(parts), sum(parts)
    return 1, backfill(till, requests, {"paid": events}).collect()["earned"].sum()
def peak():  # of this program: getrusage also knows the peak of the process that started it
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
asked, events = (pl.scan_parquet(folder / name) for name in ("asked.parquet", "paid"))
run(asked.head(10), events.head(10))
before = peak()
parts, total = run(asked, events)
print(json.dumps({"parts": parts, "total": int(total), "grown": peak() - before}))
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_larger_than_the_bound_streams(tmp_path: Path) -> None:
    (tmp_path / "till").mkdir()
    (tmp_path / "till" / "algorithm.yaml").write_text(TILL)
    (tmp_path / "paid").mkdir()
    every, files = 250_000, 12
    for file in range(files):
        place = pl.int_range(file * every, (file + 1) * every, eager=True)
        shop = "shop " + (place * 7919 % 5003).cast(pl.String)
        frame = pl.DataFrame({"shop": shop, "cents": place % 1000, "time": place, "since": place})
        frame.write_parquet(tmp_path / "paid" / f"{file:03}.parquet", row_group_size=50_000)
    place = pl.int_range(0, 100_000, eager=True)
    shop = "shop " + (place % 5003).cast(pl.String)
    pl.DataFrame({"shop": shop, "opened": place, "time": place * 60}).write_parquet(tmp_path / "asked.parquet")
    found = {}
    for memory in (0, 64 * 2**20):
        command = [sys.executable, "-c", PEAK, str(tmp_path), str(memory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[memory] = json.loads(done.stdout)
    whole, streamed = found.values()
    assert streamed["total"] == whole["total"]
    assert streamed["grown"] < 256 * 2**20 < whole["grown"]
