"""The worker's cycle in this process, on real stores."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from saima.errors import StoreError
from saima.events import JOURNAL, JOURNAL_TOPIC, Event, to_table
from saima.features import load
from saima.features.declaration import Declaration
from saima.features.extractor import Extractor
from saima.stores import open_online
from saima.worker.worker import Worker

MINUTE, HOUR = 60_000, 3_600_000
B = 400_000 * HOUR
Home = Any  # the fixture's class, in conftest.py


def test_events_become_state_tables_and_samples(home: Home) -> None:
    home.traffic(0, 40)
    worker = Worker(home.settings, rows=50)
    home.follow(worker)
    counts = worker.status()["counts"]
    assert worker.status()["outbox_rows"] == 0
    assert worker.position == home.log.head()[0]
    assert counts["duplicates"] == 10
    assert counts["late"] == 10
    assert counts["excluded"] == 4
    samples = home.tables.scan("shop/samples").collect()
    assert samples.height == counts["samples"] == samples["trace"].n_unique()
    paid = {f"t{i - 3}": float(i) for i in range(3, 40) if i % 5 and (i - 3) % 10 != 9}
    assert dict(samples.select("trace", "label").rows()) == paid
    row = samples.filter(pl.col("trace") == "t5").to_dicts()[0]
    assert (row["views_1h"], row["last_seconds"], row["score"], row["out.m.amount"]) == (5, None, 0.5, 0.5)
    assert row["version"] == 3
    assert samples.schema["mean_6h"] == pl.Float32
    viewed = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect()
    assert viewed["id"].n_unique() == viewed.height == 40 * 6 + 10
    assert viewed.filter("late")["id"].str.starts_with("late").all()
    assert home.tables.scan("shop/journal").collect().height == 40
    fact = home.registry.fact("samples/shop")
    assert fact is not None
    assert fact["count"] == samples.height
    assert fact["newest_offset"] == samples["offset"].max()
    worker.close()


def test_a_window_reads_history_and_stream_as_one(home: Home) -> None:
    from saima.features import load
    from saima.features.extractor import Extractor

    worker = Worker(home.settings)
    home.append("viewed", home.view("a", B, "s0", 7), home.view("b", B + MINUTE, "s0", 9))
    home.follow(worker)
    extractor = Extractor(load(home.algorithms / "shop"), open_online(0, home.settings))
    extraction = extractor.extract({"shop": "s0", "item": "i"}, None, None, B + 2 * MINUTE)
    assert not extraction.degraded
    assert extraction.position == {0: 2}
    # One of three shops a minute in the hour before B: floor(q - 1h, 5 min) = B - 1h.
    assert extraction.features["views_1h"].to_list() == [20 + 2]
    assert extraction.features["last_seconds"].to_list() == [9.0]
    worker.close()


def test_refused_rows_go_to_the_dead_letters_and_are_counted(home: Home) -> None:
    worker = Worker(home.settings)
    home.log.append("nonsense", pa.table({"a": [1, 2]}))
    home.log.append("viewed", pa.table({"key": ["x"], "time": ["yesterday"]}))
    rows = to_table(home.topics["viewed"], [home.view("ok", B, "s0", 1), home.view("no", B, "s0", 2)], home.appended)
    home.log.append("viewed", rows.set_column(4, "id", pa.array(["ok", None])))
    home.append(
        JOURNAL, home.prediction("t1", B), Event("t", JOURNAL, B, 0, "j2", {"algorithm": "shop", "record": "{"})
    )
    home.append(JOURNAL, home.prediction("t2", B, features={"views_1h": ["many"], "mean_6h": [1.0]}))
    home.append(JOURNAL, home.prediction("t3", B, features={"views_1h": [1, 2]}))
    home.append(JOURNAL, Event("t", JOURNAL, B, 0, "j3", {"algorithm": "nobody", "record": "{}"}))
    home.follow(worker)
    assert worker.status()["counts"]["refused"] == 8
    assert worker.status()["counts"]["predictions"] == 1
    letters = home.tables.scan("events/dead_letter").collect().sort("seq")
    assert letters["key"].to_list() == ["nonsense"] * 2 + ["viewed"] * 2 + [JOURNAL] * 4
    reasons = letters["reason"].to_list()
    assert "unknown topic 'nonsense'" in reasons[0]
    assert "not in the schema of 'viewed'" in reasons[2]
    assert reasons[3] == "missing: no id"
    wanted = {"unknown_topic": 2, "wrong_schema": 1, "missing": 1, "wrong_record": 4}
    assert worker.status()["dead_letters"] == wanted
    assert "views_1h" in reasons[5]
    assert "unknown algorithm 'nobody'" in reasons[7]
    kept = pa.ipc.open_stream(letters["bytes"][0]).read_all()
    assert kept.to_pylist() == [{"a": 1}]
    worker.close()


def test_a_field_whose_type_changes_upstream_is_named_and_loses_only_what_does_not_fit(home: Home) -> None:
    worker = Worker(home.settings)
    events = [home.view(f"e{i}", B + i, "s0", 7) for i in range(5)]
    rows = to_table(home.topics["viewed"], events, home.appended)
    place = rows.schema.get_field_index("seconds")

    def send(column: pa.Array, first: int) -> None:
        fresh = [f"{first}.{i}" for i in range(len(column))]
        changed = rows.slice(0, len(column)).set_column(place, "seconds", column)
        home.log.append("viewed", changed.set_column(4, "id", pa.array(fresh)))

    send(pa.array(["12", "a dozen", None, "14", "1.5"]), 1)
    send(pa.array([3.0, 3.5]), 2)
    send(pa.array([True, None]), 3)
    send(pa.array([[1], None], pa.list_(pa.int64())), 4)
    send(pa.array([4, 5], pa.int8()), 5)
    head = home.log.head()[0]
    home.follow(worker)
    assert worker.position >= head
    letters = home.tables.scan("events/dead_letter").collect().sort("seq")
    said = "wrong_schema: not in the schema of 'viewed': "
    assert [reason.removeprefix(said) for reason in letters["reason"]] == [
        "'seconds' is string, declared int64, and 'a dozen' does not fit",
        "'seconds' is string, declared int64, and '1.5' does not fit",
        "'seconds' is double, declared int64, and 3.5 does not fit",
        "'seconds' is bool, declared int64, and True does not fit",
        "'seconds' is list<item: int64>, declared int64, and [1] does not fit",
    ]
    assert worker.status()["counts"]["refused"] == 5
    kept = [pa.ipc.open_stream(data).read_all()["seconds"].to_pylist() for data in letters["bytes"]]
    assert kept == [["a dozen"], ["1.5"], [3.5], [True], [[1]]]
    accepted = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect().sort("offset")
    assert accepted["seconds"].to_list() == [12, None, 14, 3, None, None, 4, 5]
    assert accepted["id"].to_list() == ["1.0", "1.2", "1.3", "2.0", "3.1", "4.1", "5.0", "5.1"]
    worker.close()
    online = open_online(0, home.settings)
    served = Extractor(load(home.algorithms / "shop"), online).extract({"shop": "s0", "item": "i"}, None, None, B + 10)
    assert served.degraded == []
    assert served.features.select("views_1h", "last_seconds").rows() == [(20 + 5, 14.0)]
    online.close()


def test_a_table_whose_stored_type_differs_keeps_the_rows_waiting_and_names_the_column(home: Home) -> None:
    worker = Worker(home.settings)
    old = pl.DataFrame({"offset": [0], "late": [False], "time": [B - 1], "amount": ["1.5"], "day": ["2015-08-19"]})
    home.append("paid", home.payment("t1", B, 2.5))
    home.append("viewed", home.view("ok", B, "s0", 1))
    home.follow(worker, drain=False)
    home.tables.append("events/paid", old)
    with pytest.raises(StoreError, match="table 'events/paid' has other types: amount is Float64, there String"):
        worker.drain()
    worker.cycle()
    assert worker.status()["outbox_rows"] == 1
    assert home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect().height == 1
    home.tables.replace("events/paid", old.with_columns(pl.col("amount").cast(pl.Float64)))
    worker.drain()
    assert worker.status()["outbox_rows"] == 0
    assert sorted(home.tables.scan("events/paid").collect()["amount"].to_list()) == [1.5, 2.5]
    worker.close()


def test_history_whose_stored_type_differs_is_refused_by_name_and_nothing_is_built(home: Home) -> None:
    path = home.algorithms / "shop" / "algorithm.yaml"
    path.write_text(path.read_text().replace("item: string, seconds: int64", "item: int64, seconds: int64"))
    worker = Worker(home.settings)
    message = "table 'events/viewed' has other types than source 'viewed' declares: item is String, declared Int64"
    with pytest.raises(StoreError, match=message):
        worker.bootstrap()
    worker.close()
    path.write_text(path.read_text().replace("item: int64, seconds", "item: string, seconds"))
    worker = Worker(home.settings)
    worker.bootstrap()
    worker.close()


def test_a_number_that_never_came_is_no_label(home: Home) -> None:
    worker = Worker(home.settings)
    home.append(JOURNAL, home.prediction("t1", B))
    home.append("paid", home.payment("t1", B + HOUR, None))
    home.append("paid", home.payment("t9", B + 7 * HOUR, 1.0))
    home.follow(worker)
    counts = worker.status()["counts"]
    assert (counts["samples"], counts["unlabelled"], counts["pending"]) == (0, 1, 0)
    worker.close()


def test_a_second_worker_of_the_shard_is_fenced(home: Home) -> None:
    worker = Worker(home.settings)
    with pytest.raises(StoreError, match="process"):
        Worker(home.settings)
    worker.close()


def test_without_history_it_says_what_to_do(another: Home) -> None:
    worker = Worker(another.settings)
    with pytest.raises(StoreError, match="history"):
        worker.bootstrap()
    worker.close()


def test_a_state_of_another_log_is_refused(home: Home) -> None:
    worker = Worker(home.settings)
    worker.bootstrap()
    worker.close()
    home.log.close()
    for file in (home.path / "log").iterdir():
        file.unlink()
    home.__post_init__()
    again = Worker(home.settings)
    with pytest.raises(StoreError, match="generation"):
        again.bootstrap()
    again.close()


def test_a_new_aggregate_is_built_from_the_tables(home: Home, another: Home) -> None:
    """A restart with a wider declaration ends in the same bytes as having had it from the start."""
    home.traffic(0, 12)
    worker = Worker(home.settings)
    home.follow(worker)
    worker.close()
    file = home.algorithms / "shop" / "algorithm.yaml"
    more = "  items: {from: viewed, key: item, measures: [count], windows: [6h]}\nfeatures:"
    wide = another
    wide.history()
    wide.traffic(0, 12)
    file.write_text(file.read_text().replace("features:", more, 1))
    for one in (home, wide):
        one.declare()
        one.traffic(12, 20)
    for one, rows in ((home, 4_000), (wide, 7)):
        worker = Worker(one.settings, rows=rows)
        while worker.cycle() or worker.status()["warming"]:
            pass  # what the order adds is built beside the stream, which may end before it
        worker.drain()
        worker.close()
    assert {table for table in wide.state()["entities"] if table.startswith("tile/")}
    assert home.state() == wide.state()


def test_conflicting_sources_are_named(home: Home) -> None:
    from saima.features import load
    from saima.worker.catalog import catalog

    shop = load(home.algorithms / "shop").declaration
    other = json.loads(shop.model_dump_json(by_alias=True))
    other["sources"]["paid"]["fields"]["amount"] = "int64"
    with pytest.raises(Exception, match="declare source 'paid' with different fields"):
        catalog({"shop": shop, "mall": Declaration.model_validate(other)})


def test_journal_topic_schema_is_what_the_worker_reads() -> None:
    assert {"algorithm", "trace", "record"} <= set(JOURNAL_TOPIC.fields)


def test_a_history_that_comes_later_is_built_from(another: Home) -> None:
    """Two algorithms of one home are materialized one after the other: the second one's windows are not left empty."""
    another.registry.put_fact("history/paid", {"end": B})
    worker = Worker(another.settings)
    worker.bootstrap()
    worker.close()
    another.history()
    again = Worker(another.settings)
    again.bootstrap()
    again.close()
    online = open_online(0, another.settings)
    with online.read() as read:
        rows = {name: len(read.scan(name)) for name in another.built()}
    online.close()
    assert rows
    assert all(rows.values()), rows


def test_what_happened_before_the_end_of_history_is_counted_once(home: Home) -> None:
    """An event that history holds and the log brings again is late: batch owns what was before, the stream the rest."""
    home.append("viewed", home.view("before", home.B - 1, "s0", 1), home.view("at", home.B, "s0", 1))
    worker = Worker(home.settings)
    home.follow(worker)
    worker.close()
    seen = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).sort("offset").collect()
    assert dict(seen.select("id", "late").iter_rows()) == {"before": True, "at": False}

    def views() -> list[int]:
        extractor = Extractor(load(home.algorithms / "shop"), open_online(0, home.settings))
        return extractor.extract({"shop": "s0", "item": "i"}, None, None, home.B + 1).features["views_1h"].to_list()

    assert views() == [20 + 1]
    home.registry.put_fact("history/viewed", {"end": home.B - 6 * HOUR})
    again = Worker(home.settings)
    again.bootstrap()
    again.close()
    home.registry.put_fact("history/viewed", {"end": home.B})
    again = Worker(home.settings)
    again.bootstrap()
    again.close()
    assert views() == [20 + 1]


def test_windows_that_nothing_has_happened_in_are_empty_and_not_absent(home: Home) -> None:
    """A condition that no event of history fits: the features have their defaults, and the answer is whole."""
    file = home.algorithms / "shop" / "algorithm.yaml"
    rare = "  rare: {from: viewed, key: shop, measures: [count], windows: [6h], where: seconds > 1000}\nfeatures:\n"
    file.write_text(
        file.read_text().replace("features:\n", f"{rare}  rarely: {{value: rare.count_6h, dtype: int64}}\n", 1)
    )
    worker = Worker(home.settings)
    worker.bootstrap()
    extractor = Extractor(load(home.algorithms / "shop"), open_online(0, home.settings))
    extraction = extractor.extract({"shop": "s0", "item": "i"}, None, None, home.B + 1)
    assert extraction.degraded == []
    assert extraction.features["rarely"].to_list() == [0]
    worker.close()


def test_an_aggregate_of_tier_batch_is_not_computed_and_missing_online(home: Home) -> None:
    file = home.algorithms / "shop" / "algorithm.yaml"
    file.write_text(file.read_text().replace("windows: [1h, 6h]}", "windows: [1h, 6h], tier: batch}"))
    worker = Worker(home.settings)
    home.append("viewed", home.view("a", B, "s0", 7))
    home.follow(worker)
    assert not worker.catalog.groups
    extractor = Extractor(load(home.algorithms / "shop"), open_online(0, home.settings))
    extraction = extractor.extract({"shop": "s0", "item": "i"}, None, None, B + 2 * MINUTE)
    assert list(extraction.degraded) == ["views"]
    assert extraction.features["mean_6h"].to_list() == [None]
    assert extraction.features["last_seconds"].to_list() == [7.0]
    worker.close()
