"""A bundle of a small algorithm, built as a Bento."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn

from saima.features.algorithm import Algorithm, load
from saima.host.host import Host
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.routing.deployment import chain, configure, read_document, refresh, write
from saima.settings import ROOT, Settings
from saima.stores import open_log, open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel, build
from serving.imports import publish_models

DECLARATION = """
algorithm: small
sources:
  outcome: {key: trace, fields: {trace: string, value: float64}}
label: {from: outcome, join: [trace], value: value, attribution: 1h}
request: {fields: {x: float32, y: float32, colour: string}}
resources:
  vocabularies: {colours: {file: vocabularies/colours.txt}}
features:
  sum: {value: "x + y", dtype: float32, default: 0.0}
  big: {value: "1 if x > 3 else 0", dtype: int64, default: 0}
  colour_id: {value: "lookup_id(colour, vocabularies.colours)", dtype: int64, default: 0}
models:
  first: {kind: xgboost, inputs: [sum, big], output: value}
  second: {kind: xgboost, inputs: [big], output: value}
parameters:
  share: {dtype: float32, default: 0.0}
fuse:
  value: "first.value if parameters.share == 0
    else (1 - parameters.share) * first.value + parameters.share * second.value"
lineages:
  trees: {train: [first, second]}
"""
OWN = "def preprocess(body):\n    return {**body, 'seen': __name__}\n"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def settings(place: Path) -> Settings:
    return Settings(home=place / "home", algorithms=place / "algorithms")


@pytest.fixture(scope="session")
def algorithm(settings: Settings) -> Algorithm:
    folder = settings.algorithms / "small"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(DECLARATION)
    (folder / "algorithm.py").write_text(OWN)
    (folder / "vocabularies").mkdir()
    (folder / "vocabularies" / "colours.txt").write_text("red\nblue\n")
    return load(folder)


@pytest.fixture(scope="session")
def models(place: Path, algorithm: Algorithm) -> dict[str, TrainedModel]:
    rows = pl.DataFrame({"sum": [float(n) for n in range(40)], "big": [n % 2 for n in range(40)]})
    rows = rows.with_columns(label=pl.col("sum") * 2 + pl.col("big"))
    trained = {}
    for name in ("first", "second"):
        spec = spec_of(algorithm.declaration, name, settings={"rounds": 5, "min_child_weight": 1.0})
        trainer("xgboost").fit(rows, spec).save(place / name)
        trained[name] = TrainedModel("xgboost", place / name, {"seed": 0})
    return trained


def golden(algorithm: Algorithm) -> pl.DataFrame:
    schema = algorithm.plan.input_schema()
    values = {"request.x": [1.0, 5.0, None], "request.y": [2.0, None, float("nan")],
              "request.colour": ["blue", None, "pink"]}  # fmt: skip
    return pl.DataFrame({name: values.get(name, [None] * 3) for name in schema}, schema=schema, strict=False)


@pytest.fixture(scope="session")
def built(algorithm: Algorithm, settings: Settings) -> Callable[..., BundleRow]:
    """Builds a bundle of models, trained at a moment, and publishes it."""

    def build_of(models: dict[str, TrainedModel], trained_at: int = 77) -> BundleRow:
        return build(
            algorithm,
            "trees",
            models,
            DataState({0: 12}, 34, 56),
            open_registry(settings),
            trained_at=trained_at,
            golden=golden(algorithm),
            parameters=[{}, {"share": 0.5}],
            settings=settings,
        )

    return build_of


@pytest.fixture(scope="session")
def row(built: Callable[..., BundleRow], models: dict[str, TrainedModel]) -> BundleRow:
    return built(models)


@pytest.fixture
def copy(row: BundleRow, tmp_path: Path) -> Path:
    """The bundle in a store of its own, to be spoilt; the path of the Bento."""
    shutil.copytree(Path(row.path).parents[2], tmp_path / "bentoml", symlinks=True)
    return tmp_path / "bentoml" / Path(row.path).relative_to(Path(row.path).parents[2])


class Works:
    """A home whose small algorithms have models in Python, so that real bundles are built in a second."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, algorithms=home / "algorithms")
        self.registry = open_registry(self.settings)
        self.hosts: list[Host] = []

    def write(self, name: str, files: dict[str, str]) -> Algorithm:
        """Write an algorithm's folder."""
        folder = self.settings.algorithms / name
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return load(folder)

    def publish(self, name: str, files: dict[str, str]) -> BundleRow:
        """Write an algorithm, and build and publish its bundle."""
        return publish_models(self.write(name, files), self.settings)

    def deploy(self, *rows: BundleRow, **settings: Any) -> int:
        """Route bundles; an algorithm's first has a deadline that a busy machine keeps, unless the settings say it."""
        known = read_document(self.registry.deployment().document).algorithms
        patient = {"lane": {"deadline_ms": 30_000}}
        each = [
            chain(
                refresh(row.algorithm, row.lineage, row.publication),
                configure(row.algorithm, **({} if row.algorithm in known else patient) | settings),
            )
            for row in rows
        ]
        return write(self.registry, chain(*each), "test", "test").epoch

    def host(self, **options: Any) -> Host:
        """A host of this process over the home, started, with every wanted version loaded or failed."""
        made = Host(self.settings, poll=0.02, **options)
        self.hosts.append(made)
        made.start()
        assert made.settle(60)
        return made

    def stop(self) -> None:
        """Stop every host."""
        while self.hosts:
            self.hosts.pop().stop()

    def journal(self) -> list[dict[str, Any]]:
        """All journal records of the log."""
        log = open_log(self.settings)
        found: list[dict[str, Any]] = []
        position: dict[int, int] = {}
        while segments := log.read(position, topics=["journal"]):
            for segment in segments:
                found += [json.loads(text) for text in segment.table["record"].to_pylist()]
                position = {segment.partition: segment.last}
        log.close()
        return found

    def environment(self, workers: int) -> dict[str, str]:
        """Environment of a `bentoml serve` process over the home."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SAIMA_", "BENTOML_"))},
            "BENTOML_HOME": str(self.settings.home / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "SAIMA_HOME": str(self.settings.home),
            "SAIMA_ALGORITHMS": str(self.settings.algorithms),
            "SAIMA_HOST_WORKERS": str(workers),
        }

    def alive(self) -> list[dict[str, Any]]:
        """Statuses of host processes that live."""
        found = self.registry.statuses("host/").values()
        return [s for s in found if s["state"] == "running" and Path(f"/proc/{s['pid']}").exists()]

    @staticmethod
    def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """The first truthy value of a condition; fails after a deadline."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < until, "the condition did not come true in time"
            threading.Event().wait(0.02)
        return found


@pytest.fixture(scope="session")
def make_works() -> type[Works]:
    """Makes a home of its own, for the tests of one file."""
    return Works


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A `bentoml serve` process."""

    arguments: list[str]
    environment: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Server:
        bentoml = Path(sys.executable).parent / "bentoml"
        self.output = (self.folder / f"serve-{self.port}.log").open("wb")
        self.process = subprocess.Popen(
            [bentoml, "serve", *self.arguments, "--host", "127.0.0.1", "--port", str(self.port)],
            env=self.environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self.output.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        assert self.process.poll() is None, Path(self.output.name).read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="session")
def bento_server() -> type[Server]:
    """A `bentoml serve` process: arguments, environment, folder of its log."""
    return Server


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    made.stop()


@contextmanager
def serve(application: Any) -> Iterator[str]:
    """A real HTTP server of an application in a thread; its address."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def served() -> Callable[[Any], Any]:
    """Serves an application over HTTP for a block."""
    return serve
