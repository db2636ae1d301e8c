"""A host over a failing store: answers with defaults, flagged and counted by table, nothing lost, and recovery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import StoreError
from saima.features import Algorithm, load
from saima.features.caches.tables import Caches
from saima.features.extractor import Extractor
from saima.features.lookups import row_sources
from saima.features.windows import groups
from saima.host.exposition import prometheus
from saima.host.host import Host
from saima.host.lease import Loaded
from saima.host.request import Checker
from saima.host.source import RegistrySource
from saima.routing.deployment import configure, refresh
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine
from tests.saima.host.conftest import PATIENT

NOW = 1_364_774_400_000
STALL = """
algorithm: toy
sources:
  priced: {key: item_id, fields: {item_id: string, price: float64}}
  named: {key: item_id, fields: {item_id: string, label: string}}
request: {fields: {x: float64, item_id: string}}
tables:
  price: {source: priced, key: item_id}
  name: {source: named, key: item_id, query: preload}
features:
  cost: {value: price.price, dtype: float32, default: 100.0}
  known: {value: "is_null(name.label)", dtype: bool}
"""

SALES = """
algorithm: toy
sources: {sold: {key: item_id, fields: {item_id: string}}}
request: {fields: {x: float64, item_id: string}}
aggregates: {sales: {from: sold, key: item_id, measures: [count], windows: [1h]}}
features: {cost: {value: sales.count_1h, dtype: int64, default: 100}}
"""


class Faulty:
    """A store of which some tables are down."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self.down: set[str] = set()

    @contextmanager
    def read(self) -> Iterator[Any]:
        with self._store.read() as read:
            down = self.down

            class Read:
                position = read.position
                scan = read.scan

                def get_many(self, table: str, keys: Sequence[str]) -> Any:
                    return read.get_many(self._up(table), keys)

                def generation(self, table: str) -> int:
                    return read.generation(self._up(table))

                def _up(self, table: str) -> str:
                    if table in down:
                        raise StoreError(f"'{table}' is down")
                    return table

            yield Read()

    def write(self) -> Any:
        return self._store.write()

    def close(self) -> None:
        self._store.close()


class Cost:
    """Scores what the item costs."""

    preprocess = postprocess = None

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm

    def score(self, features: Any, parameters: dict[str, Any]) -> Any:
        value = features.select(["cost"])["cost"].cast(pl.Float64).to_numpy()
        return type("Scores", (), {"outputs": {}, "score": np.asarray(value)})()

    def check_golden(self) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture
def algorithm(tmp_path: Path) -> Algorithm:
    folder = tmp_path / "algorithms" / "toy"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(STALL)
    return load(folder)


@pytest.fixture
def store(rig: Any, algorithm: Algorithm) -> Iterator[OnlineStore]:
    made = open_online(0, rig.settings, writer=True)
    engine = RowEngine(row_sources(algorithm.declaration), lambda _, keys: [None] * len(keys))
    row = {"time": NOW, "seq": 0, "offset": 1, "late": False, "item_id": "a"}
    engine.process_batch(pl.DataFrame([row | {"price": 7.5}]), "priced")
    engine.process_batch(pl.DataFrame([row | {"label": "hat"}]), "named")
    with made.write() as txn:
        for table, key, data in engine.changes():
            txn.put_many(table, [(key, data)])
        txn.set_position({0: 1})
    yield made
    made.close()


def test_a_table_that_is_down_costs_no_answer_and_no_record(rig: Any, algorithm: Algorithm, store: OnlineStore) -> None:
    faulty = Faulty(store)
    host = _serve(rig, algorithm, faulty)
    caches: Caches = host._loader.caches
    price, name = (
        next(rows.table for rows in row_sources(algorithm.declaration) if rows.source == source)
        for source in ("priced", "named")
    )

    def ask(time: int) -> dict[str, Any]:
        body = {"algorithm": "toy", "request": {"x": 1.0, "item_id": "a"}, "time": NOW + time, "trace": f"t{time}"}
        answer: dict[str, Any] = host.predict(body)
        return answer

    assert (ask(1)["scores"], ask(2)["degraded"]) == ([7.5], [])
    faulty.down = {price}
    answer = ask(3)
    assert (answer["scores"], answer["degraded"]) == ([100.0], ["price"])
    faulty.down = {price, name}
    assert ask(4)["degraded"] == ["price", "name"]
    faulty.down = set()
    back = ask(5)
    assert (back["scores"], back["degraded"]) == ([7.5], [])
    assert caches.settle(10)

    status = host.status()
    assert status["counts"] == {"answers": 5, "degraded": 2}
    assert status["degraded"] == [
        {"algorithm": "toy", "reason": "name", "answers": 1},
        {"algorithm": "toy", "reason": "price", "answers": 2},
    ]
    results = {row["table"]: row["results"] for row in status["caches"]}
    assert results["price"]["failed"] == 2
    assert results["price"]["hit"] + results["price"]["miss"] == 3
    text = prometheus({f"host/{host.boot}": status})
    assert f'saima_feature_cache_total{{host="{host.boot}",algorithm="toy",table="price",result="failed"}} 2' in text
    assert f'saima_feature_cache_entries{{host="{host.boot}",algorithm="toy",table="name"}} 1' in text
    assert f'saima_degraded_total{{host="{host.boot}",algorithm="toy",reason="price"}} 2' in text

    host.stop()
    rig.hosts.clear()
    records = [json.loads(row["record"]) for row in rig.journal()]
    assert [record["degraded"] for record in records] == [[], [], ["price"], ["price", "name"], []]
    assert [record["features"]["cost"] for record in records] == [[7.5], [7.5], [100.0], [100.0], [7.5]]
    assert records[2]["rows"] == {"price": [None], "name": [[NOW, None, 1]]}


def test_windows_that_are_down_are_their_defaults_and_come_back(rig: Any, tmp_path: Path) -> None:
    folder = tmp_path / "algorithms" / "toy"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(SALES)
    algorithm = load(folder)
    (group,) = groups(algorithm.declaration)
    online = open_online(0, rig.settings, writer=True)
    engine = TileEngine([group])
    engine.process_batch(pl.DataFrame({"time": [NOW, NOW + 1], "seq": [0, 1], "item_id": ["a", "a"]}), "sold")
    with online.write() as txn:
        txn.put_many(group.table, [(key, data) for _, key, data in engine.changes()])
        txn.set_position({0: 1})
    faulty = Faulty(online)
    host = _serve(rig, algorithm, faulty)

    def ask(time: int) -> tuple[list[float], list[str]]:
        body = {"algorithm": "toy", "request": {"x": 1.0, "item_id": "a"}, "time": NOW + time}
        answer = host.predict(body)
        return answer["scores"], answer["degraded"]

    assert ask(1) == ([1.0], [])
    faulty.down = {group.table}
    assert ask(2) == ([100.0], ["sales"])
    faulty.down = set()
    assert ask(3) == ([2.0], [])
    status = host.status()
    assert status["counts"] == {"answers": 3, "degraded": 1}
    (told,) = [row for row in status["caches"] if row["table"] == "sales"]
    assert told["results"]["failed"] == 1
    assert told["error"] == f"'{group.table}' is down"
    online.close()


def _serve(rig: Any, algorithm: Algorithm, online: Any) -> Host:
    publication = rig.registry.publish("toy", "main", "digest", "toy:1", "nowhere", {})
    made: list[Host] = []

    def load_bundle() -> Loaded:
        declared = algorithm.declaration
        caches = made[0]._loader.caches
        extractor = Extractor(algorithm, online, caches)
        journal = declared.journal.model_copy(update={"full": 1.0})
        return Loaded(Cost(algorithm), extractor, Checker(declared.request), {}, journal, None, None)

    rig.loads[publication] = load_bundle
    made.append(rig.host())
    rig.deploy(refresh("toy", "main", publication), configure("toy", allow_request_time=True, **PATIENT))
    rig.eventually(lambda: made[0].ready)
    return made[0]


SHELF = """
algorithm: toy
sources: {priced: {key: item_id, fields: {item_id: string, price: float64}}}
request: {fields: {x: float64}, items: {fields: {item_id: string}}}
tables: {price: {source: priced, key: item_id, side: item}}
features: {cost: {value: price.price, dtype: float32, default: 100.0}}
"""


@pytest.mark.parametrize("down", [False, True])
def test_a_version_is_ready_once_it_holds_what_callers_ask_for(rig: Any, tmp_path: Path, down: bool) -> None:
    folder = tmp_path / "algorithms" / "toy"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(SHELF)
    algorithm = load(folder)
    online = open_online(0, rig.settings, writer=True)
    with online.write() as txn:
        txn.set_position({0: 1})
    faulty = Faulty(online)
    host = _serve(rig, algorithm, faulty)
    body = {"algorithm": "toy", "request": {"x": 1.0}, "items": [{"item_id": f"i{n}"} for n in range(300)], "time": NOW}
    assert host.predict(body)["scores"] == [100.0] * 300
    faulty.down = {"price"} if down else set()
    second = rig.registry.publish("toy", "main", "other", "toy:2", "nowhere", {})
    rig.loads[second] = next(iter(rig.loads.values()))
    rig.deploy(refresh("toy", "main", second))
    rig.eventually(lambda: [slot.publication for slot in host._answerer.table.routed()] == [second])
    (slot,) = host._answerer.table.routed()
    extractor: Any = slot.loaded.extractor
    assert down or extractor._candidates.items.store.entries == 300
    faulty.down = set()
    assert host.predict(body)["scores"] == [100.0] * 300
    online.close()


class Moody(RegistrySource):
    """A registry that raises what nobody expects, while `mood` is set."""

    mood = ""

    def deployment(self) -> Any:
        if self.mood:
            raise RuntimeError(self.mood)
        return super().deployment()


def test_what_reconciling_died_of_is_in_the_status_until_it_works_again(rig: Any) -> None:
    rig.first()
    source = Moody(rig.registry)
    host = rig.host(source=source)
    rig.eventually(lambda: host.ready)
    epoch = host.status()["epoch"]
    source.mood = "the moon is full"
    text = rig.eventually(lambda: host.status()["error"])
    assert text == f"reconciling failed; epoch {epoch} stays in force: RuntimeError: the moon is full"
    rig.eventually(lambda: rig.registry.statuses("host/")[f"host/{host.boot}"]["error"] == text)
    assert host.predict(rig.ask())["epoch"] == epoch
    assert host.status()["counts"]["reconcile_failed"] >= 1
    source.mood = ""
    rig.eventually(lambda: not host.status()["error"])
    rig.eventually(lambda: not rig.registry.statuses("host/")[f"host/{host.boot}"]["error"])
