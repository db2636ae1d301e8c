"""Algorithms that call algorithms: two real bundles under a third, in series and at once, journalled and replayed."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import polars as pl
import pytest

from saima.errors import BundleError, RequestError, SaimaError
from saima.features.lookups import row_sources
from saima.host import decide
from saima.host.recorded import RecordedChannel
from saima.host.request import Ask
from saima.routing.deployment import Deployment, read_document
from saima.stores import open_online
from saima.streams.tiles import RowEngine

NOW = 1_364_774_400_000
RULE = "def predict(state, tensors):\n    return tensors['dense'][:, 0]\n"
ETA = {
    "rule.py": RULE,
    "algorithm.yaml": """
algorithm: eta
request: {fields: {metres: float64}}
features: {minutes: {value: "metres / 250", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [minutes], output: minutes}}
""",
}
PRICE = {
    "rule.py": RULE,
    "algorithm.yaml": """
algorithm: price
request: {items: {fields: {base: float64}}, fields: {}}
features: {cost: {value: "base * 2", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [cost], output: cost}}
""",
}
FEED = {
    "rule.py": RULE,
    "algorithm.yaml": """
algorithm: feed
calls: [eta, price]
sources: {opened: {key: shop, fields: {shop: string, label: string, fee: "decimal(2)"}}}
tables: {shop: {source: opened, key: shop}}
request: {fields: {shop: string, metres: float64, minutes: float64}, items: {fields: {base: float64, cost: float64}}}
features: {value: {value: "100 - minutes - cost", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [value], output: value}}
""",
    "fees.py": "def fee_of(row):\n    return row['fee'] if row else None\n",
    "algorithm.py": """
from .fees import fee_of


def preprocess(body, channel):
    request, items = body["request"], body["items"]
    eta = channel.start("eta", {"request": {"metres": request["metres"]}})
    price = channel.start("price", {"items": [{"item_id": i["item_id"], "base": i["base"]} for i in items]})
    return {
        "request": {**request, "minutes": eta.result()["scores"][0]},
        "user": None,
        "items": [{**i, "cost": cost} for i, cost in zip(items, price.result()["scores"])],
    }


def postprocess(body, answer, channel):
    shop, none = channel.read("shop", [body["request"]["shop"], "nowhere"])
    return {**answer, "shop": shop and shop["label"], "fee": fee_of(shop), "none": none, "version": -1}
""",
}


def body(**more: Any) -> dict[str, Any]:
    items = [{"item_id": name, "base": float(base), "cost": None} for name, base in (("a", 1), ("b", 2))]
    request = {"shop": "s", "metres": 1000.0, "minutes": None}
    return {"algorithm": "feed", "request": request, "items": items, **more}


@pytest.fixture
def shop(works: Any) -> dict[str, Any]:
    """Three published algorithms, routed, and a store in which shop `s` opened before NOW."""
    rows = {name: works.publish(name, files) for name, files in (("eta", ETA), ("price", PRICE), ("feed", FEED))}
    works.deploy(*rows.values(), allow_request_time=True)
    declared = works.write("feed", FEED).declaration
    engine = RowEngine(row_sources(declared), lambda _, keys: [None] * len(keys))
    row = {"time": NOW, "seq": 0, "offset": 3, "late": False, "shop": "s", "label": "bakery", "fee": 125}
    engine.process_batch(pl.DataFrame([row]), "opened")
    with closing(open_online(0, works.settings, writer=True)) as store, store.write() as txn:
        for table, key, data in engine.changes():
            txn.put_many(table, [(key, data)])
        txn.set_position({0: 3})
    return rows


def test_an_algorithm_asks_others_and_reads_tables(works: Any, shop: dict[str, Any]) -> None:
    host = works.host()
    answer = host.predict(body(time=NOW + 5, trace="t"))
    assert answer["scores"] == [100 - 4 - 2, 100 - 4 - 4]
    assert (answer["shop"], answer["fee"], answer["none"]) == ("bakery", 1.25, None)
    assert (answer["version"], answer["degraded"]) == (shop["feed"].publication, []), "identity is not postprocessed"
    assert host.predict(body(time=NOW - 1))["shop"] is None, "it had not opened yet"
    assert host.status()["counts"]["called"] == 4
    assert host.status()["answers"] == 2
    works.stop()
    first = works.journal()[0]
    called = {entry["call"]: entry["answer"] for entry in first["channel"] if "call" in entry}
    assert {name: answer["version"] for name, answer in called.items()} == {
        name: shop[name].publication for name in ("eta", "price")
    }
    assert {name: answer["digest"] for name, answer in called.items()} == {
        name: shop[name].digest for name in ("eta", "price")
    }
    assert {answer["trace"] for answer in called.values()} == {"t"}
    (read,) = [entry for entry in first["channel"] if "read" in entry]
    assert read["versions"] == [[NOW, None, 3], None]


def test_a_replay_gets_what_was_read_and_answered(works: Any, shop: dict[str, Any]) -> None:
    """With another eta deployed and the store gone, the record's own entries give the bits that were served."""
    host = works.host()
    answered = host.predict(body(time=NOW + 5))
    slot = next(s for s in host._answerer.table.routed() if s.algorithm == "feed")
    works.eventually(lambda: works.journal())
    (record,) = works.journal()
    ask = Ask("feed", record["trace"], 1, None, record["request"], record["user"], record["items"], record["time"])
    channel = RecordedChannel(slot.loaded.bundle.algorithm.declaration, record["channel"])
    result = decide.compute(slot.loaded, ask, record["parameters"], record["time"], channel)
    assert result.score.tolist() == record["scores"] == answered["scores"]
    told = decide.finish(slot.loaded, ask, {**answered, "shop": "", "fee": 0}, channel)
    assert told == answered
    other = RecordedChannel(slot.loaded.bundle.algorithm.declaration, [])
    with pytest.raises(SaimaError, match=r"the record holds no answered call of 'price'|of 'eta'"):
        decide.compute(slot.loaded, ask, record["parameters"], record["time"], other)


def test_a_called_algorithm_that_fails_leads_to_the_fallback(works: Any, shop: dict[str, Any]) -> None:
    works.deploy(shop["feed"], fallback={"constant": 7.0})
    deployed = read_document(works.registry.deployment().document)
    left = {name: state for name, state in deployed.algorithms.items() if name != "eta"}
    works.registry.deploy(works.registry.deployment().epoch, Deployment(algorithms=left).sealed(), "test", "eta goes")
    host = works.host()
    answer = host.predict(body(time=NOW))
    assert (answer["scores"], answer["degraded"]) == ([7.0, 7.0], ["fallback:constant"])


SLOW = {
    **ETA,
    "algorithm.py": """
import time


def preprocess(body):
    time.sleep(body["request"]["metres"] or 0)
    return body
""",
}


def test_the_deadline_is_inherited(works: Any, shop: dict[str, Any]) -> None:
    """The callee has what its caller has left, not its own lane's deadline: nobody waits longer than was asked for."""
    slow = works.publish("eta", SLOW)
    works.deploy(slow, lane={"deadline_ms": 60_000})
    host = works.host()
    asked = body()
    asked["request"]["metres"] = 30.0
    before = time.monotonic()
    with pytest.raises(RequestError) as caught:
        host.predict(asked, seconds=0.3)
    assert caught.value.status == 504
    assert time.monotonic() - before < 20


def test_circles_are_refused_when_built_and_when_deployed(works: Any, shop: dict[str, Any]) -> None:
    loop = {**ETA, "algorithm.yaml": ETA["algorithm.yaml"].replace("algorithm: eta", "algorithm: eta\ncalls: [feed]")}
    with pytest.raises(BundleError, match="in a circle: eta -> feed -> eta"):
        works.publish("eta", loop)
    unknown = {**ETA, "algorithm.yaml": ETA["algorithm.yaml"].replace("algorithm: eta", "algorithm: eta\ncalls: [fed]")}
    with pytest.raises(BundleError, match=r"calls 'fed', and there is no such algorithm \(did you mean 'feed'\?\)"):
        works.publish("eta", unknown)
    row = shop["eta"]
    number = works.registry.publish("eta", row.lineage, "other", "eta:x", row.path, {**row.manifest, "calls": ["feed"]})
    epoch = works.registry.deployment().epoch
    with pytest.raises(SaimaError, match=r"in a circle: eta -> feed -> eta; nothing was deployed"):
        works.deploy(works.registry.bundle(number))
    assert works.registry.deployment().epoch == epoch


def test_only_declared_algorithms_and_tables_are_reached(works: Any, shop: dict[str, Any]) -> None:
    source = {
        "call": "channel.call('other', {})",
        "table": "channel.read('shops', [])",
        "part": "channel.call('eta', {'requests': {}})",
        "json": "channel.call('eta', {'request': {'metres': {1}}})",
    }
    words = {
        "call": "may not call 'other'",
        "table": "declares no table 'shops' (did you mean 'shop'?)",
        "part": "no part 'requests' (did you mean 'request'?)",
        "json": "the batch for 'eta' is not JSON",
    }
    for name, code in source.items():
        files = {**FEED, "algorithm.py": f"def preprocess(body, channel):\n    {code}\n    return body\n"}
        row = works.publish("feed", files)
        works.deploy(row)
        host = works.host()
        (slot,) = [s for s in host.status()["slots"] if s["publication"] == row.publication]
        assert words[name] in slot["error"], json.dumps(slot)
        works.stop()
