"""The batch twin of an aggregate through Dagster: tiles by partition, the hand-over to the stream, the backfill."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.features.tiles import HOUR, width_of
from assets.recordings import DAY
from saima.events import Event, to_table
from saima.features import load
from saima.recordings import topics
from saima.stores import open_log, open_online
from saima.streams.twin import tiled
from saima.worker.worker import Worker

if TYPE_CHECKING:
    from tests.orchestration.conftest import Shop

START = 1_700_006_400_000
END = START + 2 * DAY
TILES = "shop/history_tiles_by_shop"


def materialize(shop: Shop, asset: str, first: str, last: str) -> None:
    found = shop.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=shop.instance,
        asset_selection=[dg.AssetKey(asset.split("/"))],
        tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last},
    )
    assert found.success


def handover(shop: Shop) -> dict[str, Any]:
    key = dg.AssetCheckKey(dg.AssetKey(TILES.split("/")), "handover")
    job = dg.define_asset_job("look", dg.AssetSelection.checks(key))
    resolved = dg.Definitions.merge(shop.definitions, dg.Definitions(jobs=[job])).resolve_job_def("look")
    (found,) = resolved.execute_in_process(instance=shop.instance).get_asset_check_evaluations()
    shown = {name: value.value for name, value in found.metadata.items()}
    return {"passed": found.passed, "description": found.description, **shown}


def hour(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d-%H:00}"


@pytest.fixture(scope="module")
def filled(shop: Shop) -> Shop:
    """Two days of history."""
    for topic in ("asked", "paid"):
        materialize(shop, f"shop/history_{topic}", "2023-11-15", "2023-11-17")
    return shop


def naive(shop: Shop, first: int, stop: int) -> dict[tuple[str, int], dict[str, list[int]]]:
    """Tiles of five minutes, event by event."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for key, time, amount in shop.tables.scan("events/paid").select("shop", "time", "amount").collect().rows():
        if first <= time < stop:
            found[key, time // 300_000 * 300_000].append(amount)
    return {place: {"count": [len(each)], "sum": [sum(each) >> 32, sum(each) % 2**32]} for place, each in found.items()}


def test_partitions_hold_the_tiles_that_start_in_them(filled: Shop) -> None:
    first, stop = END - 6 * HOUR, END
    materialize(filled, TILES, hour(first), hour(stop - HOUR))
    rows = filled.tables.scan(TILES).collect()
    assert set(rows["part"]) == {hour(first + n * HOUR) for n in range(6)}
    found = {(key, start): json.loads(parts) for key, start, parts in rows.select("key", "start", "parts").rows()}
    assert {place: {"count": one["count"], "sum": one["sum"]} for place, one in found.items()} == naive(
        filled, first, stop
    )
    version = filled.tables.version(TILES)
    materialize(filled, TILES, hour(first + HOUR), hour(first + HOUR))
    assert filled.tables.version(TILES) == version + 1
    again = filled.tables.scan(TILES).collect()
    assert again.sort("start", "key").equals(rows.select(again.columns).sort("start", "key"))


def test_batch_and_stream_agree_at_the_hand_over_and_a_difference_is_named(filled: Shop) -> None:
    materialize(filled, TILES, hour(END - 8 * HOUR), hour(END - HOUR))
    assert "nothing to compare yet" in handover(filled)["description"]
    topic = topics(load("shop", root=filled.settings.algorithms).declaration)["paid"]
    log = open_log(filled.settings)
    for n in range(40):
        time = END + n * 60_000
        payload = {"trace": f"l{n}", "shop": f"s{n % 7}", "amount": n}
        log.append("paid", to_table(topic, [Event(f"l{n}", "paid", time, n, f"l{n}", payload)], time))
    log.close()
    worker = Worker(filled.settings)
    while worker.cycle():
        pass
    worker.drain()
    worker.close()
    found = handover(filled)
    assert found["passed"], found
    assert (found["keys"], found["mismatches"]) == (7, 0)
    assert found["tiles"] > 50
    rows = filled.tables.scan(TILES).collect()
    place = rows.sort("start").filter(pl.col("start") < END - 3 * HOUR)["start"].max()
    wrong = rows.with_columns(parts=pl.when(pl.col("start") == place).then(pl.lit("{}")).otherwise("parts"))
    filled.tables.replace(TILES, wrong)
    found = handover(filled)
    assert not found["passed"]
    assert found["mismatches"] == rows.filter(pl.col("start") == place).height
    assert str(place) in found["differing"]["tiles"][0]
    filled.tables.replace(TILES, rows)
    online = open_online(0, filled.settings, writer=True)
    table = tiled(load("shop", root=filled.settings.algorithms).declaration)["by_shop"][0].table
    with online.write() as txn:
        ((_, data), *_) = txn.scan(table)
        txn.put_many(table, [("s9", data)])
    online.close()
    found = handover(filled)
    assert not found["passed"]
    assert found["differing"][table] == ["s9"]


def test_a_backfill_by_days_is_the_features_of_history(filled: Shop) -> None:
    for asset in ("shop/history_features", "shop/backfilled_features"):
        materialize(filled, asset, "2023-11-15", "2023-11-16")
    names = ["trace", "time", "day", "asked_price", "shop_count", "shop_mean"]
    made, known = (
        filled.tables.scan(f"shop/{name}").select(names).collect().sort("time", "trace")
        for name in ("backfilled_features", "history_features")
    )
    assert made.equals(known)
    assert made.height == 1728
    materialize(filled, "shop/backfilled_features", "2023-11-16", "2023-11-16")
    assert filled.tables.scan("shop/backfilled_features").collect().height == 1728


def test_partitions_are_days_where_hours_are_too_many_or_too_short(filled: Shop) -> None:
    from assets.recordings import Recording

    groups = tiled(load("shop", root=filled.settings.algorithms).declaration)["by_shop"]
    long = Recording(filled.settings.algorithms / "shop", START, START + 30_001 * HOUR, "asked")
    short = Recording(filled.settings.algorithms / "shop", START, START + 30_000 * HOUR, "asked")
    assert (width_of(groups, long), width_of(groups, short)) == (DAY, HOUR)
