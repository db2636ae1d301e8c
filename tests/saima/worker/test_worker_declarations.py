"""Declarations that change while the worker runs: orders of the log, carried out between two events."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import pytest

from saima.events import DECLARATIONS, JOURNAL, Event
from saima.features import load
from saima.features.extractor import Extractor
from saima.routing.deployment import refresh, write
from saima.stores import open_online
from saima.streams.declarations import Book, declaration, document
from saima.worker.declarationfiles import DeclarationFiles, declared, wanted
from saima.worker.steps import DEPLOYMENT
from saima.worker.worker import Worker

from .conftest import ALGORITHM, B
from .test_worker_kills import finish, stop

Home = Any  # the fixture's class, in conftest.py
MINUTE, HOUR = 60_000, 3_600_000

ITEMS = "  items: {from: viewed, key: item, measures: [count], windows: [6h]}\nfeatures:"
WIDE = ALGORITHM.replace("features:", ITEMS, 1)
MALL = """
algorithm: mall
sources:
  viewed: {key: shop, fields: {shop: string, item: string, seconds: int64}, lateness: 10m}
  entered: {key: trace, fields: {trace: string, door: string}, lateness: 10m}
request:
  fields: {door: string}
aggregates:
  doors: {from: entered, key: door, measures: [count], windows: [1h]}
features:
  busy: {value: "doors.count_1h", dtype: int64, default: 0}
models:
  n: {kind: xgboost, inputs: [busy], output: stays}
fuse: {value: "n.stays"}
label: {from: entered, join: [trace], scheme: once, attribution: 6h}
"""


def write_yaml(home: Home, text: str, name: str = "shop") -> None:
    (home.algorithms / name).mkdir(exist_ok=True)
    (home.algorithms / name / "algorithm.yaml").write_text(text)


def settle(worker: Worker) -> None:
    while worker.cycle() or worker.status()["warming"]:
        pass
    worker.drain()


def run(home: Home, rows: int, restarts: bool = False) -> dict[str, Any]:
    worker = Worker(home.settings, rows=rows)
    while worker.cycle() or worker.status()["warming"]:
        if restarts:
            worker.close()
            worker = Worker(home.settings, rows=rows)
    worker.drain()
    worker.close()
    return home.state()


def changing(home: Home) -> None:
    """Traffic with a wider declaration, one without a label, and the wider one again in between."""
    first = (home.algorithms / "shop" / "algorithm.yaml").read_text()
    home.traffic(0, 8)
    write_yaml(home, WIDE)
    home.declare()
    home.traffic(8, 14)
    write_yaml(home, WIDE[: WIDE.index("label:")])
    home.declare()
    home.traffic(14, 20)
    write_yaml(home, WIDE)
    home.declare()
    home.traffic(20, 30)
    write_yaml(home, first)


def begun(home: Home) -> None:
    """A worker has seen the first declaration, and nothing else."""
    worker = Worker(home.settings)
    worker.bootstrap()
    worker.close()


@pytest.mark.parametrize(("rows", "restarts"), [(1, False), (7, False), (10_000, False), (13, True)])
def test_any_split_and_any_restart_give_equal_bits(home: Home, another: Home, rows: int, restarts: bool) -> None:
    another.history()
    for one in (home, another):
        begun(one)
        changing(one)
    write_yaml(home, WIDE)  # what the last order says, so that nobody orders more
    ours, theirs = run(home, rows, restarts), run(another, 40)
    assert ours == theirs
    samples = {row[-1] for row in theirs["rows"]["shop/samples"]}
    assert samples, "the join worked before and after it was not declared"
    assert len([name for name in theirs["entities"] if name.startswith("tile/")]) == 2
    assert theirs["entities"]["join/shop"]


def test_what_an_order_adds_has_the_bytes_that_it_would_have_had_from_the_start(home: Home, another: Home) -> None:
    begun(home)
    home.traffic(0, 12)
    write_yaml(home, WIDE)
    another.history()
    begun(another)
    another.traffic(0, 12)
    for one in (home, another):
        one.declare()
        one.traffic(12, 20)
    ours, theirs = run(home, 9), run(another, 50)
    for name in home.built():
        assert ours["entities"][name] == theirs["entities"][name] != [], name
    assert [row[1:] for row in ours["rows"]["shop/samples"]] != []


def test_a_changed_file_is_ordered_once_and_a_wrong_one_is_named_and_changes_nothing(home: Home) -> None:
    worker = Worker(home.settings)
    settle(worker)
    head = home.log.head()
    write_yaml(home, ALGORITHM.replace("views.count_1h", "views.cuont_1h"))
    worker.declared.files.look()
    assert worker.watch() == 0
    told = worker.status()["wrong_declarations"]
    assert list(told) == ["shop"]
    assert "algorithms/shop/algorithm.yaml:" in told["shop"]
    assert "count_1h" in told["shop"]
    assert home.log.head() == head
    home.traffic(0, 3)
    settle(worker)
    assert worker.status()["counts"]["refused"] == 0
    write_yaml(home, WIDE)
    worker.declared.files.look()
    assert worker.watch() == 1
    worker.declared.files.look()
    assert worker.watch() == 0, "the log holds the order already"
    assert worker.status()["wrong_declarations"] == {}
    settle(worker)
    assert worker.status()["declarations"] == {"shop": load(home.algorithms / "shop").digest}
    again = [segment for segment in home.log.read({0: 0}, 10**6) if segment.topic == DECLARATIONS]
    assert len(again) == 1
    worker.close()
    restarted = Worker(home.settings)
    restarted.bootstrap()
    assert home.log.head()[0] == restarted.position
    restarted.close()


def test_a_running_worker_takes_a_new_algorithm_and_lets_it_go(home: Home) -> None:
    worker, halt = Worker(home.settings, drain_seconds=0.02), threading.Event()
    thread = threading.Thread(target=worker.run, args=(halt,))
    thread.start()

    def until(what: Any) -> None:
        deadline = time.monotonic() + 60
        while not what():
            assert time.monotonic() < deadline, worker.status()
            assert thread.is_alive()
            time.sleep(0.02)

    try:
        until(lambda: worker.state == "running")
        write_yaml(home, MALL, "mall")
        until(lambda: "mall" in worker.status()["declarations"] and not worker.status()["warming"])
        topic = worker.catalog.topics["entered"]
        from saima.events import to_table

        record = home.prediction("m1", B + MINUTE, algorithm="mall", features={"busy": [1]})
        asked = Event("m1", JOURNAL, B + MINUTE, 0, "b:m1", {**record.payload, "algorithm": "mall"})
        home.append(JOURNAL, asked)
        entered = Event("m1", "entered", B + 2 * MINUTE, 0, "e1", {"trace": "m1", "door": "d"})
        home.log.append("entered", to_table(topic, [entered], home.appended))
        until(lambda: home.tables.exists("mall/samples"))
        until(lambda: home.tables.exists("mall/journal"))
        assert home.tables.scan("mall/samples").select("trace", "label", "busy").collect().rows() == [("m1", 1.0, 1)]
        (home.algorithms / "mall" / "algorithm.yaml").unlink()
        until(lambda: list(worker.status()["declarations"]) == ["shop"])
    finally:
        halt.set()
        thread.join()
        worker.close()
    online = open_online(0, home.settings)
    with online.read() as read:
        assert read.get_many("join_state", ["mall", "shop"])[0] is None
        assert not [key for name in ("join/mall",) for key, _ in read.scan(name)]
    online.close()


def test_what_a_routed_bundle_reads_is_kept_until_it_is_routed_no_longer(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = load(home.algorithms / "shop")
    manifest = {"declaration_digest": shop.digest}
    publication = home.registry.publish("shop", "base", "d" * 64, "shop:1", "nowhere", manifest)
    write(home.registry, refresh("shop", "base", publication), "test", "it is routed")
    worker = Worker(home.settings)
    settle(worker)
    before = set(worker.catalog.tables)
    changed = ALGORITHM.replace("windows: [1h, 6h]", "windows: [2h, 12h]").replace("views.count_1h", "views.count_2h")
    write_yaml(home, changed.replace("views.mean_6h", "views.mean_12h"))
    worker.declared.files.look()
    worker.watch()
    home.append("viewed", home.view("a", B, "s0", 7), home.view("b", B + MINUTE, "s0", 9))
    settle(worker)
    assert worker.status()["kept_declarations"] == [shop.digest]
    assert before < set(worker.catalog.tables)
    served = Extractor(shop, open_online(0, home.settings)).extract(
        {"shop": "s0", "item": "i"}, None, None, B + HOUR // 2
    )
    assert (served.degraded, served.features["views_1h"].to_list()) == ([], [12])
    successor = home.registry.publish(
        "shop", "base", "e" * 64, "shop:2", "nowhere", {"declaration_digest": load(home.algorithms / "shop").digest}
    )
    write(home.registry, refresh("shop", "base", successor, standbys=0), "test", "it is routed")
    monkeypatch.setattr("saima.worker.declared._RELEASED", 0.0)
    assert worker.watch() == 1
    settle(worker)
    assert worker.status()["kept_declarations"] == []
    tables = set(worker.catalog.tables)
    assert before - tables
    worker.close()
    online = open_online(0, home.settings)
    with online.read() as read:
        assert not [name for name in before - tables if read.scan(name)]
    online.close()


def test_a_field_that_would_change_its_type_is_refused(home: Home) -> None:
    worker = Worker(home.settings)
    settle(worker)
    before = worker.status()["declarations"]
    write_yaml(
        home,
        ALGORITHM.replace("seconds: int64", "seconds: float64").replace(
            "value: seconds", "exact: false, value: seconds"
        ),
    )
    worker.declared.files.look()
    assert worker.watch() == 0
    assert "source 'viewed' has its field 'seconds' as int64" in worker.status()["wrong_declarations"]["shop"]
    home.declare()
    settle(worker)
    assert f"the order at offset {home.log.head()[0]} is refused" in worker.status()["refused_declarations"]
    assert worker.status()["declarations"] == before
    worker.close()


EMPTY = '{"declare": {"shop": {"digest": "d", "declaration": {}, "sources": {}, "aggregates": {}, "sessions": {}}}}'


@pytest.mark.parametrize(
    "text", ["", "[]", "{}x", '{"declare": 7}', '{"drop": [], "more": 1}', '{"declare": {"a": {}}}', EMPTY]
)
def test_a_record_that_is_no_order_ends_no_worker(home: Home, text: str) -> None:
    from saima.events import DECLARATIONS_TOPIC, to_table

    event = Event("x", DECLARATIONS, 1, 0, "x", {"order": text})
    home.log.append(DECLARATIONS, to_table(DECLARATIONS_TOPIC, [event], 1))
    home.traffic(0, 1)
    worker = Worker(home.settings)
    settle(worker)
    assert worker.position == home.log.head()[0]
    assert "the order at offset 1 is refused" in worker.status()["refused_declarations"]
    worker.close()


def test_an_own_operator_is_part_of_what_is_ordered(home: Home) -> None:
    worker = Worker(home.settings)
    settle(worker)
    own = home.algorithms / "shop" / "operators.py"
    own.write_text("raise RuntimeError('not today')\n")
    worker.declared.files.look()
    assert worker.watch() == 0
    assert worker.status()["wrong_declarations"] == {"shop": "RuntimeError: not today"}
    own.write_text("# nothing yet\n")
    worker.declared.files.look()
    assert worker.watch() == 1
    settle(worker)
    assert worker.status()["declarations"] == {"shop": load(home.algorithms / "shop").digest}
    assert not worker.status()["warming"]
    worker.close()


def test_an_empty_folder_drops_nothing(home: Home) -> None:
    worker = Worker(home.settings)
    settle(worker)
    (home.algorithms / "shop" / "algorithm.yaml").rename(home.path / "away.yaml")
    worker.declared.files.look()
    assert worker.watch() == 0
    worker.close()


def test_a_fresh_store_replays_the_orders_from_what_was_in_force_first(home: Home) -> None:
    begun(home)
    home.traffic(0, 6)
    write_yaml(home, WIDE[: WIDE.index("label:")])
    home.declare()
    home.traffic(6, 10)
    before = run(home, 30)
    (home.path / "online").rename(home.path / "away")
    again = run(home, 30)
    assert again["entities"]["join_state"] == before["entities"]["join_state"]
    assert again == before


def test_a_file_is_loaded_when_it_has_lain_still(home: Home) -> None:
    files = DeclarationFiles(home.algorithms, interval=0.02)
    files.start()
    try:
        deadline = time.monotonic() + 30
        while (found := files.take()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert list(found) == ["shop"]
        write_yaml(home, WIDE)
        while (found := files.take()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert found["shop"]["digest"] == load(home.algorithms / "shop").digest
    finally:
        files.stop()
        files.join()


def test_algorithms_that_change_a_shared_source_together_are_ordered_together(home: Home) -> None:
    write_yaml(home, MALL, "mall")
    book = Book(declared(home.algorithms))
    more = "item: string, seconds: int64, floor: int64"
    write_yaml(home, MALL.replace("item: string, seconds: int64", more), "mall")
    order, errors = wanted(declared(home.algorithms), book)
    assert order is None
    assert "different fields" in errors["mall"]
    write_yaml(home, ALGORITHM.replace("item: string, seconds: int64", more))
    order, errors = wanted(declared(home.algorithms), book)
    assert order is not None
    assert (sorted(order.declare), errors) == (["mall", "shop"], {})


def test_a_document_is_the_declaration_that_it_was_made_of(home: Home) -> None:
    record = "record: {time: {path: at, unit: s}, id: n, ahead: 48h, fields: {item: it}}"
    write_yaml(
        home,
        ALGORITHM.replace("seconds: int64}, lateness: 10m, idle: null}", f"seconds: int64}}, idle: 7m, {record}}}", 1),
    )
    shop = load(home.algorithms / "shop")
    text = json.dumps(document(shop.declaration, shop.digest))
    found = declaration(json.loads(text))
    assert found == shop.declaration
    assert found.sources["viewed"].record is not None
    assert found.sources["viewed"].idle == "7m"


SAMPLE = ("in_declare",)


@pytest.mark.parametrize(
    "step", [step if step in SAMPLE else pytest.param(step, marks=pytest.mark.full) for step in DEPLOYMENT]
)
def test_a_worker_killed_while_it_swaps_ends_in_the_same_bits(home: Home, another: Home, step: str) -> None:
    another.history()
    for one in (home, another):
        begun(one)
        changing(one)
    write_yaml(home, WIDE)
    process = home.start(SAIMA_KILL_AT=f"{step}:1")
    assert process.wait(120) == -signal.SIGKILL, process.stderr.read()
    stop(process)
    finish(home)
    finish(another)
    ours, theirs = home.state(), another.state()
    assert ours == theirs
    assert ours["outbox"] == []
