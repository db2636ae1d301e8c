"""Predictions as Arrow IPC streams: the same answers as JSON, and nothing that breaks the host."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import RequestError
from saima.events import arrow_type
from saima.features.declaration import Declaration, Journal
from saima.features.online.extraction import Extraction, Framed
from saima.features.types import FLOAT32
from saima.host import arrow
from saima.host.api import app
from saima.host.lease import Loaded
from saima.host.request import Checker
from saima.routing.deployment import configure, refresh
from tests.saima.host.conftest import PATIENT
from tests.saima.host.test_api import serving

FIELDS = {"price": "float64", "stock": "int64", "listed": "timestamp", "new": "bool", "tags": "list<string>",
          "shares": "map<string,float64>"}  # fmt: skip
SHOP = Declaration.model_validate(
    {
        "algorithm": "shop",
        "request": {"fields": {"page": "string"}, "items": {"max": 50, "fields": FIELDS}},
        "features": {"price": {"value": "price", "dtype": "float32"}},
        "top_k": 20,
    }
)


class Extractor:
    def extract(self, request: dict[str, Any], user: Any, items: Any, time: int) -> Extraction:
        sizes = [(item["price"] or 0.0) + len(item["tags"] or []) + sum((item["shares"] or {}).values())
                 + (item["listed"] or 0) for item in items]  # fmt: skip
        frame = pl.DataFrame({"price": pl.Series(sizes, dtype=pl.Float32)})
        return Extraction(Framed(frame, {"price": FLOAT32}), {0: 7}, dict, [])


class Pricing:
    algorithm = SimpleNamespace(declaration=SHOP)
    preprocess = postprocess = None

    def score(self, features: Extraction, parameters: dict[str, Any]) -> Any:
        return SimpleNamespace(outputs={}, score=features.matrix(["price"])[:, 0].astype(np.float64))

    def close(self) -> None:
        return


@pytest.fixture
def web(rig: Any) -> Iterator[httpx.Client]:
    publication = rig.registry.publish("shop", "main", "digest", "shop:1", "nowhere", {})
    rig.loads[publication] = lambda: Loaded(
        Pricing(), Extractor(), Checker(SHOP.request), {}, Journal(items="all", full=1.0), 20, None
    )
    rig.deploy(refresh("shop", "main", publication), configure("shop", allow_request_time=True, **PATIENT))
    host = rig.host()
    rig.eventually(lambda: host.ready)
    with serving(app(host)) as client:
        yield client


def items(count: int) -> list[dict[str, Any]]:
    rng = random.Random(count)
    return [
        {
            "item_id": f"i{n}",
            "price": rng.choice([None, rng.random()]),
            "stock": rng.choice([None, rng.randrange(-5, 5)]),
            "listed": rng.randrange(1000),
            "new": rng.choice([None, True, False]),
            "tags": rng.choice([None, [], ["a", "b"]]),
            "shares": rng.choice([None, {}, {"x": 0.5}]),
        }
        for n in range(count)
    ]


def table(rows: list[dict[str, Any]], envelope: dict[str, Any]) -> pa.Table:
    """Candidates in the documented schema."""
    types = {"item_id": pa.string(), **{name: arrow_type(dtype) for name, dtype in FIELDS.items()}}
    schema = pa.schema(list(types.items()), {arrow.REQUEST: json.dumps(envelope).encode()})
    tidy = [{**row, "shares": None if row["shares"] is None else list(row["shares"].items())} for row in rows]
    return pa.Table.from_pylist(tidy, schema)


def stream(rows: pa.Table, batch: int | None = None, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(rows, batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def read(answer: httpx.Response) -> dict[str, Any]:
    """An answer of either form as the document that JSON gives."""
    if answer.headers["content-type"] == "application/json":
        found: dict[str, Any] = answer.json()
        return found
    assert answer.headers["content-type"] == arrow.MEDIA_TYPE, answer.text
    rows = pa.ipc.open_stream(answer.content).read_all()
    names = {"item_id": "items", "score": "scores"}
    columns = {names[name]: rows[name].to_pylist() for name in rows.schema.names}
    return {**json.loads(rows.schema.metadata[arrow.ANSWER]), **columns}


ENVELOPE = {"algorithm": "shop", "trace": "t", "time": 5, "request": {"page": "home"}}
SENT = {"content-type": arrow.MEDIA_TYPE}


@pytest.mark.parametrize("count", [1, 7, 50])
@pytest.mark.parametrize("batch", [None, 3])
def test_arrow_and_json_answer_alike(web: httpx.Client, count: int, batch: int | None) -> None:
    rows = items(count)
    body = stream(table(rows, ENVELOPE), batch)
    plain = web.post("/v1/predict", json={**ENVELOPE, "items": rows})
    found = [
        web.post("/v1/predict", content=body, headers=SENT),
        web.post("/v1/predict", content=body, headers={**SENT, "accept": "application/json"}),
        web.post("/v1/predict", json={**ENVELOPE, "items": rows}, headers={"accept": arrow.MEDIA_TYPE}),
    ]
    assert [one.headers["content-type"] for one in found] == [arrow.MEDIA_TYPE, "application/json", arrow.MEDIA_TYPE]
    assert [read(one) for one in found] == [read(plain)] * 3
    assert len(read(plain)["items"]) == min(count, 20)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"no stream", 400, None),
        (stream(table(items(3), ENVELOPE))[:400], 400, None),
        (stream(table(items(3), ENVELOPE).replace_schema_metadata({})), 400, None),
        (stream(table(items(3), ENVELOPE).replace_schema_metadata({arrow.REQUEST: b"{"})), 400, None),
        (stream(table(items(3), {**ENVELOPE, "items": []})), 422, "/items"),
        (stream(table(items(3), {**ENVELOPE, "part": 2, "parts": 2})), 422, "/part"),
        (stream(table(items(51), ENVELOPE)), 422, "/items"),
        (stream(table([], ENVELOPE)), 422, "/items"),
        (stream(table(items(3), ENVELOPE).drop_columns(["stock"])), 422, "/items/0/stock"),
        (stream(table(items(3), ENVELOPE).append_column("more", pa.array([1, 2, 3]))), 422, "/items/0/more"),
        (stream(table(items(3), ENVELOPE).set_column(2, "stock", pa.array([1.5, 2, 3]))), 422, "/items/0/stock"),
        (stream(table(items(3), ENVELOPE).set_column(1, "price", pa.array([1.0, np.nan, 3]))), 422, "/items/1/price"),
        (stream(table(items(3), ENVELOPE).set_column(0, "item_id", pa.array(["a", None, "c"]))), 422,
         "/items/1/item_id"),
        (stream(table(items(3), ENVELOPE).set_column(0, "item_id", pa.array([b"a", b"b", b"c"]))), 422,
         "/items/*/item_id"),
        (stream(table(items(3), ENVELOPE).append_column("price", pa.array([1, 2, 3]))), 422, "/items"),
        (stream(table(items(3), ENVELOPE), compression="zstd"), 422, None),
        (stream(table(items(3), ENVELOPE), compression="lz4"), 422, None),
        (stream(table(items(3), ENVELOPE).set_column(0, "item_id", pa.array(["a"] * 3).dictionary_encode())), 422,
         "/items/*/item_id"),
        (stream(pa.table({"n": pa.nulls(10_000_000)}).replace_schema_metadata({arrow.REQUEST: b"{}"})), 422, "/items"),
    ],
)  # fmt: skip
def test_a_bad_stream_gets_a_problem_document(web: httpx.Client, body: bytes, status: int, field: str | None) -> None:
    found = web.post("/v1/predict", content=body, headers=SENT)
    assert (found.status_code, found.json().get("field")) == (status, field), found.text
    assert found.headers["content-type"] == "application/problem+json"


@given(st.data())
def test_spoilt_bytes_raise_request_errors_only(data: st.DataObject) -> None:
    body = bytearray(stream(table(items(4), ENVELOPE), 2))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RequestError):
        arrow.read_request(bytes(body))
