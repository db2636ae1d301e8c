"""Models behind an address: the bits of the local one, and a fallback in time when the address fails."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import uvicorn
from pydantic import SecretStr

from saima.errors import RequestError
from saima.host.bundle import Bundle
from saima.host.models_app import ModelStore, app
from saima.host.remote import Remote, RemoteError, Remotes
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.settings import RemoteModels
from serving.bundles import TrainedModel, build

DECLARATION = """
algorithm: far
request: {fields: {x: float64, y: float32}}
features:
  a: {value: "x * 1.1", dtype: float32}
  b: {value: "y / 3", dtype: float32}
models:
  tree: {kind: xgboost, inputs: [a, b], output: value, remote: scorer}
"""
KEY = "a-key-that-nobody-prints"


@contextmanager
def models_of(home: Path, key: str | None = KEY) -> Iterator[str]:
    """A real model server of a home; its address."""

    def admit(authorization: str | None, _: str | None) -> None:
        if key is not None and authorization != f"Bearer {key}":
            raise RequestError("who are you", status=401)

    config = uvicorn.Config(app(ModelStore(home / "bentoml" / "models"), admit), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1/score"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def failing(reply: Callable[[int], int | None]) -> Iterator[tuple[str, list[int]]]:
    """A server that answers the n-th request with a status, or hangs for None; its address and what it was asked."""
    asked: list[int] = []
    halt = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(len(asked) + 1)
            status = reply(len(asked))
            if status is None:
                halt.wait(30)
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/score", asked
        finally:
            halt.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def row(works: Any, tmp_path: Path) -> Any:
    algorithm = works.write("far", {"algorithm.yaml": DECLARATION})
    rng = np.random.default_rng(3)
    samples = pl.DataFrame({"a": rng.normal(size=500), "b": rng.normal(size=500)}, schema_overrides={"a": pl.Float32})
    samples = samples.with_columns(pl.col("b").cast(pl.Float32), label=pl.col("a") ** 2 + pl.col("b"))
    trainer("xgboost").fit(samples, spec_of(algorithm.declaration, "tree", 1)).save(tmp_path / "tree")
    models = {"tree": TrainedModel("xgboost", tmp_path / "tree")}
    state = DataState({0: 0}, 0, 500)
    return build(algorithm, "main", models, state, works.registry, trained_at=1, settings=works.settings)


def remotes(works: Any, url: str, **more: Any) -> None:
    settings = RemoteModels.model_validate({"url": url, "key": KEY, **more})
    works.settings = works.settings.model_copy(update={"remote_models": {"scorer": settings}})


def ask(n: int = 0) -> dict[str, Any]:
    return {"algorithm": "far", "request": {"x": 0.1 + n / 7, "y": 3.3 - n}}


def test_remote_scores_are_the_local_ones_to_the_bit(works: Any, row: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    local = Bundle.open(row.path)
    with models_of(works.settings.home) as url:
        remotes(works, url)
        far = Bundle.open(row.path, remotes=Remotes(works.settings.remote_models))
        assert type(far.models["tree"]) is not type(local.models["tree"])
        rng = np.random.default_rng(5)
        columns = pl.DataFrame(
            {name: pl.Series(rng.normal(size=400), dtype=pl.Float32) for name in ("a", "b")}
        ).with_columns(pl.when(pl.int_range(pl.len()) % 9 == 0).then(None).otherwise(pl.col("a")).alias("a"))
        here, there = local.score(columns).score, far.score(columns).score
        assert here.tobytes() == there.tobytes()
        works.deploy(row, lane={"deadline_ms": 10_000})
        host = works.host()
        answers = [host.predict(ask(n))["scores"] for n in range(20)]
        slot = next(iter(host._answerer.table.routed()))
        extract = slot.loaded.extractor.extract
        assert answers == [local.score(extract(ask(n)["request"], None, None, 5)).score.tolist() for n in range(20)]
        status = json.dumps(host.status(), default=str)
    bundle = b"".join(path.read_bytes() for path in Path(row.path).rglob("*") if path.is_file())
    port = url.partition("127.0.0.1:")[2].partition("/")[0]
    ours = "\n".join(record.getMessage() for record in caplog.records)
    for secret in (KEY, f":{port}"):
        assert secret not in ours
        assert secret not in status
        assert secret not in repr(works.settings)
        assert secret.encode() not in bundle


@pytest.mark.parametrize("reply", [lambda _: 500, lambda _: None, lambda _: 401])
def test_a_remote_that_fails_leads_to_the_fallback_within_the_deadline(works: Any, row: Any, reply: Any) -> None:
    """The address fails once the version answers; the breaker then spares it, and the answer stays in time."""
    with models_of(works.settings.home) as good:
        remotes(works, good, failures=2, pause_s=3600, timeout_ms=60_000)
        works.deploy(row, lane={"deadline_ms": 60_000}, fallback={"constant": 1.5})
        host = works.host()
        assert host.predict(ask())["degraded"] == []
        remote = host._loader._remotes.get("scorer")
    with failing(reply) as (url, asked):
        remote._settings = remote._settings.model_copy(update={"url": SecretStr(url)})
        for _ in range(4):
            answer = host.predict(ask(), seconds=30 if reply(1) else 1.0)
            assert (answer["scores"], answer["degraded"]) == ([1.5], ["fallback:constant"])
    assert 0 < len(asked) <= 4, "two failures, with a retry where one helps, open the breaker"


def test_a_retry_helps_and_a_refusal_is_not_tried_again(works: Any, row: Any) -> None:
    columns = pl.DataFrame({"a": [1.0]})
    for status, tried in ((503, 3), (429, 3), (404, 1), (401, 1)):
        with failing(lambda _, s=status: s) as (url, asked):
            settings = RemoteModels.model_validate({"url": url, "retries": 2, "timeout_ms": 30_000})
            with pytest.raises(RemoteError, match=f"remote 'r' gave no answer: status {status}"):
                Remote("r", settings).ask("0" * 64, columns)
        assert len(asked) == tried


def test_a_name_that_is_not_allowed_never_routes(works: Any, row: Any) -> None:
    works.deploy(row)
    host = works.host()
    (slot,) = host.status()["slots"]
    assert slot["state"] == "error"
    assert "remote 'scorer' is not allowed here" in slot["error"]


def test_the_model_server_names_what_is_wrong(works: Any, row: Any) -> None:
    entry = row.manifest["models"]["tree"]
    with models_of(works.settings.home) as url:
        headers = {"authorization": f"Bearer {KEY}", "x-model-digest": entry["digest"]}
        file = next((works.settings.home / "bentoml" / "models").glob("far-tree/*/model.ubj"))
        whole = file.read_bytes()
        file.write_bytes(whole + b" ")
        changed = httpx.post(url, headers=headers, content=b"")
        assert (changed.status_code, "has been changed" in changed.json()["detail"]) == (503, True)
        file.write_bytes(whole)
        assert httpx.post(url, headers={"x-model-digest": entry["digest"]}).status_code == 401
        assert httpx.post(url, headers=headers, content=b"none").status_code == 400
        assert httpx.post(url, headers=headers | {"x-model-digest": "../.."}, content=b"").status_code == 400
        assert httpx.post(url, headers=headers | {"x-model-digest": "0" * 64}, content=b"").status_code == 404
