"""Records of other systems, posted as they are to a real server, become features of a real worker's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from saima.features import load
from saima.features.extractor import Extractor
from saima.host.api import app
from saima.host.collector import Collector, declared_sources
from saima.host.host import Host
from saima.recordings import topics
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry, open_tables

Home = Any  # the fixture's class, in conftest.py
NOW = 1_700_000_000_000
ALGORITHM = """
algorithm: tolls
sources:
  crossed:
    key: plate
    fields: {plate: string, lane: int64, cents: int64, region: string}
    record:
      time: {path: meta.at, unit: iso, zone: Europe/Helsinki}
      id: meta.id
      fields:
        plate: vehicle.plates[0]
        lane: {path: lane, values: {left: 1, right: 2}}
        region: {constant: north}
  fined:
    key: plate
    fields: {plate: string, amount: float64, tags: list<string>}
    record:
      delimited: {separator: "|", columns: [at, number, plate, amount, tags]}
      time: {path: at, unit: s}
      id: number
request: {fields: {plate: string}}
aggregates:
  tolls: {from: crossed, key: plate, value: cents, measures: [count, sum], windows: [1h]}
  fines: {from: fined, key: plate, value: amount, measures: [sum], windows: [1d], exact: false}
features:
  crossings: {value: "tolls.count_1h", dtype: int64, default: 0}
  spent: {value: "tolls.sum_1h", dtype: int64, default: 0}
  owed: {value: "fines.sum_1d", dtype: float64, default: 0}
models: {m: {kind: xgboost, inputs: [crossings, spent, owed], output: amount}}
fuse: {value: "m.amount"}
"""


@pytest.fixture
def tolls(home: Home) -> Settings:
    """A home with the algorithm `tolls` beside the other."""
    (home.algorithms / "tolls").mkdir()
    (home.algorithms / "tolls" / "algorithm.yaml").write_text(ALGORITHM)
    found: Settings = home.settings
    return found


@pytest.fixture
def web(tolls: Settings) -> Iterator[httpx.Client]:
    """A client of a real server of the home."""
    host = Host(tolls)
    host.start()
    application = app(host, lambda one: Collector(one.log, declared_sources(tolls.algorithms), lambda: NOW))
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()
    host.stop()


def crossing(number: int, **more: Any) -> bytes:
    """A record of nested JSON, half an hour before NOW (22:13:20 UTC, 00:13:20 in Helsinki)."""
    record = {
        "meta": {"at": "2023-11-14T23:43:20", "id": f"c{number}"},
        "vehicle": {"plates": ["ABC-1", "old"]},
        "lane": "left",
        "cents": 100 + number,
    }
    return json.dumps(record | more).encode()


def test_nested_json_and_delimited_text_become_features(home: Home, tolls: Settings, web: httpx.Client) -> None:
    lines = [crossing(1), crossing(2), crossing(1), b"{", crossing(3, lane="middle"), crossing(4, vehicle={})]
    first = web.post("/v1/records", content=b"\n".join(lines), params={"source": "crossed"})
    assert first.status_code == 200, first.text
    found = first.json()
    assert (found["accepted"], found["refused"]) == (3, 3)
    assert found["reasons"] == {"no_key": 1, "not_enumerated": 1, "not_json": 1}
    assert {**found["examples"][0], "detail": ""} == {"record": 3, "reason": "not_json", "detail": ""}
    assert "'lane' is 'middle'" in found["examples"][1]["detail"]
    texts = [b"1699999000|f1|ABC-1|12.5|speed\x1dnight", b"1699999100|f2|ABC-1|7.5|", b"1699999100|f3|ABC-1|much|"]
    second = web.post("/v1/records", content=b"\r\n".join([*texts, b"only|two"]), params={"source": "fined"}).json()
    assert (second["accepted"], second["reasons"]) == (2, {"wrong_columns": 1, "wrong_type": 1})
    mixed = web.post("/v1/records", content=b"\n".join([crossing(5), texts[0], b"neither"])).json()
    assert (mixed["accepted"], mixed["refused"]) == (2, 1)
    head = mixed["position"]["0"]

    running = home.start()
    online = open_online(0, tolls)
    deadline = time.monotonic() + 120
    covered = 0
    while covered < head:
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        try:
            with online.read() as read:
                covered = read.position().get(0, 0)
        except Exception:  # noqa: BLE001  the worker has not made the store yet
            time.sleep(0.02)
    running.terminate()
    assert running.wait(60) == 0
    extraction = Extractor(load(tolls.algorithms / "tolls"), online).extract({"plate": "ABC-1"}, None, None, NOW)
    values = {name: extraction.features[name].to_list() for name in ("crossings", "spent", "owed")}
    assert values == {"crossings": [3], "spent": [101 + 102 + 105], "owed": [20.0]}
    status = open_registry(tolls).statuses("worker/")["worker/0"]
    assert status["counts"]["duplicates"] == 2, "c1 and f1 came twice"
    assert status["dead_letters"] == {
        "no_key": 1, "not_enumerated": 1, "not_json": 2, "wrong_columns": 1, "wrong_type": 1,
    }  # fmt: skip
    letters = open_tables(tolls).scan("events/dead_letter").collect()
    assert set(letters["bytes"]) == {b"{", lines[4], lines[5], texts[2], b"only|two", b"neither"}
    assert letters["id"].n_unique() == 6


def test_a_record_may_be_the_whole_body(tolls: Settings, web: httpx.Client) -> None:
    pretty = json.dumps(json.loads(crossing(7)), indent=1).encode()
    found = web.post("/v1/records", content=pretty, headers={"content-type": "application/json"})
    assert found.json()["accepted"] == 1
    log = open_log(tolls)
    (segment,) = log.read({})
    (row,) = segment.table.to_pylist()
    log.close()
    wanted = {"key": "ABC-1", "time": NOW - 1_800_000, "id": "c7", "lane": 1, "cents": 107, "region": "north"}
    assert {name: row[name] for name in wanted} == wanted
    assert segment.table.schema == topics(load(tolls.algorithms / "tolls").declaration)["crossed"].schema


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        ({"params": {"source": "crosed"}, "content": b"{}"}, 422, "did you mean 'crossed'"),
        ({"params": {"source": "viewed"}, "content": b"{}"}, 422, "no source 'viewed' declares a 'record'"),
        ({"content": b"{}\n" * 10_001}, 422, "10001 records"),
        ({"content": b"x" * (9 << 20)}, 413, "above"),
        ({"content": b"{}", "headers": {"content-type": "image/png"}}, 415, "image/png"),
    ],
)
def test_a_call_that_cannot_be_read_is_refused_whole(
    tolls: Settings, web: httpx.Client, sent: dict[str, Any], status: int, text: str
) -> None:
    found = web.post("/v1/records", **sent)
    assert found.status_code == status
    assert text in found.json()["detail"]
    log = open_log(tolls)
    assert log.head() == {0: 0}
    log.close()


def test_a_column_that_the_text_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "tolls").mkdir()
    (tmp_path / "tolls" / "algorithm.yaml").write_text(ALGORITHM.replace("plate, amount, tags]}", "plate, sum, tags]}"))
    with pytest.raises(Exception, match=r"algorithm.yaml:\d+:\d+: unknown column 'amount'"):
        load(tmp_path / "tolls")
