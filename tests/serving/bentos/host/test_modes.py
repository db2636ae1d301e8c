"""Embedded, standalone and plain answer byte for byte alike; so does a host whose model runs elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import polars as pl
import pytest

from saima.features.lookups import row_sources
from saima.host.bodies import respond
from saima.stores import open_online
from saima.streams.tiles import RowEngine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NOW = 1_364_774_400_000
YAML = """
algorithm: alike
sources: {priced: {key: item_id, fields: {item_id: string, price: float64}}}
tables: {price: {source: priced, key: item_id, side: item}}
request: {fields: {x: float32}, items: {fields: {item_id: string, base: float64}}}
features: {value: {value: "log1p(base) * x + price.price / 3", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [value], output: y}}
top_k: 7
"""
RULE = "def predict(state, tensors):\n    return tensors['dense'][:, 0] * 1.1\n"
OWN = "def postprocess(body, answer):\n    return {**answer, 'note': 'né'}\n"


@pytest.fixture(scope="module")
def home(make_works: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    works = make_works(tmp_path_factory.mktemp("modes"))
    files = {"algorithm.yaml": YAML, "rule.py": RULE, "algorithm.py": OWN}
    works.row = works.publish("alike", files)
    assert works.row.publication == 1
    # A bundle that serves alone is publication 1 under epoch 1; so is the first that a registry routes.
    works.deploy(works.row, lane={"deadline_ms": 30_000}, allow_request_time=True)
    engine = RowEngine(row_sources(works.write("alike", files).declaration), lambda _, keys: [None] * len(keys))
    rows = [{"time": NOW, "seq": 0, "offset": n, "late": False, "item_id": f"i{n}", "price": n / 7} for n in range(9)]
    engine.process_batch(pl.DataFrame(rows), "priced")
    with closing(open_online(0, works.settings, writer=True)) as store, store.write() as txn:
        for table, key, data in engine.changes():
            txn.put_many(table, [(key, data)])
        txn.set_position({0: 9})
    yield works
    works.stop()


def bodies() -> list[dict[str, Any]]:
    items = [{"item_id": f"i{n}", "base": n * 1.7 if n != 3 else None} for n in range(12)]
    return [
        {"algorithm": "alike", "trace": f"t{n}", "time": NOW + n, "request": {"x": x}, "items": items[: n + 1]}
        for n, x in enumerate((0.1, -3.7, 1e30, None, 5.0, 0.0, 2.5, 1 / 3, 9.0, 1.5, 7.7, 8.8))
    ]


def answers(url: str) -> list[bytes]:
    with httpx.Client(base_url=url, timeout=60) as client:
        return [client.post("/v1/predict", json=body).raise_for_status().content for body in bodies()]


def test_all_modes_answer_byte_for_byte_alike(home: Any, bento_server: Any) -> None:
    host = home.host()
    embedded = [bytes(respond(host.predict(body)).body) for body in bodies()]
    home.stop()
    environment = home.environment(2)
    with bento_server(["serving.bentos.host.service:Host"], environment, home.settings.home) as server:
        home.eventually(server.ready, 180)
        plain = answers(server.url)
    alone = {**environment, "SAIMA_ALGORITHMS": str(home.settings.home / "nowhere")}
    with bento_server([home.row.tag], alone, home.settings.home) as server:
        home.eventually(server.ready, 180)
        standalone = answers(server.url)
    assert embedded == plain == standalone
    first, last = json.loads(embedded[0]), json.loads(embedded[-1])
    assert (first["note"], first["degraded"], len(last["items"])) == ("né", [], 7)
    assert len(set(embedded)) == len(embedded)
