"""A small algorithm that really loads, extracts and scores, without a training run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import BundleError
from saima.features.declaration import Declaration, Journal
from saima.features.online.extraction import Extraction, Framed
from saima.features.types import FLOAT32
from saima.host.eligibility import Eligibility
from saima.host.host import Host
from saima.host.lease import Loaded
from saima.host.request import Checker
from saima.routing.deployment import Transition, chain, configure, refresh, write
from saima.settings import Settings
from saima.stores import open_log, open_registry
from saima.stores.interfaces import BundleRow

DECLARATION = Declaration.model_validate(
    {
        "algorithm": "toy",
        "request": {"fields": {"x": "float64", "name": "string"}},
        "features": {"x": {"value": "x", "dtype": "float32"}},
        "parameters": {"scale": {"dtype": "float64", "default": 1.0}},
    }
)


PATIENT = {"lane": {"deadline_ms": 30_000}}


class Extractor:
    def extract(self, request: dict[str, Any], user: Any, items: Any, time: int) -> Extraction:
        frame = pl.DataFrame({"x": pl.Series([request["x"]], dtype=pl.Float32)})
        return Extraction(Framed(frame, {"x": FLOAT32}), {0: 7}, dict, [])


@dataclass(frozen=True)
class Toy:
    declaration: Declaration = DECLARATION


@dataclass(frozen=True)
class Scores:
    outputs: dict[str, np.ndarray]
    score: np.ndarray


class Doubling:
    """Scores `publication * 1000 + scale * x`; x < 0 fails, x above 100 takes so many ms more."""

    algorithm = Toy()
    preprocess = None
    postprocess = None

    def __init__(self, publication: int) -> None:
        self.publication = publication
        self.closed = False

    def score(self, features: Extraction, parameters: dict[str, Any]) -> Scores:
        if self.closed:
            raise RuntimeError("scored after it was closed")
        x = features.matrix(["x"])[:, 0].astype(np.float64)
        if x[0] < 0:
            raise ArithmeticError("negative")
        if 100 < x[0] < 10_000:
            time.sleep((x[0] - 100) / 1000)
        value = self.publication * 1000 + parameters["scale"] * x
        return Scores({"toy.value": value}, value)

    def check_golden(self) -> None:
        return

    def close(self) -> None:
        self.closed = True


def loaded(bundle: Doubling) -> Loaded:
    declared = DECLARATION
    return Loaded(
        bundle,
        Extractor(),
        Checker(declared.request),
        {"scale": 1.0},
        Journal(items="all", full=1.0),
        None,
        Eligibility(declared.request),
    )


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first truthy value of a condition; fails after a deadline."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            pytest.fail("the condition did not come true in time")
        threading.Event().wait(0.01)


class Rig:
    """A home with a registry, and hosts over it."""

    eventually = staticmethod(eventually)

    @staticmethod
    def ask(x: float = 2.0, **more: Any) -> dict[str, Any]:
        """A request body."""
        return {"algorithm": "toy", "request": {"x": x, "name": "a"}, **more}

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, algorithms=home / "algorithms")
        self.registry = open_registry(self.settings)
        self.loads: dict[int, Callable[[], Loaded]] = {}
        self.bundles: list[Doubling] = []
        self.hosts: list[Host] = []

    def publish(self, lineage: str = "main", fails: str = "") -> int:
        """Publish a toy bundle; `fails` makes its golden requests fail in every host."""
        number = len(self.registry.bundles("toy")) + 1
        publication = self.registry.publish("toy", lineage, f"digest-{number}", f"toy:{number}", "nowhere", {})

        def load() -> Loaded:
            if fails:
                raise BundleError(fails)
            bundle = Doubling(publication)
            self.bundles.append(bundle)
            return loaded(bundle)

        self.loads[publication] = load
        return publication

    def deploy(self, *transitions: Transition) -> int:
        return write(self.registry, chain(*transitions), "test", "test").epoch

    def first(self, **settings: Any) -> int:
        """Publish and route a first version, with a deadline that a busy machine keeps, unless the settings say it."""
        publication = self.publish()
        self.deploy(refresh("toy", "main", publication), configure("toy", **PATIENT | settings))
        return publication

    def host(self, **options: Any) -> Host:
        def load(row: BundleRow) -> Loaded:
            return self.loads[row.publication]()

        made = Host(self.settings, load=load, poll=0.02, **options)
        self.hosts.append(made)
        made.start()
        return made

    def journal(self) -> list[dict[str, Any]]:
        """All journal rows of the log."""
        log = open_log(self.settings)
        found: list[dict[str, Any]] = []
        position: dict[int, int] = {}
        while segments := log.read(position, topics=["journal"]):
            for segment in segments:
                found.extend(segment.table.to_pylist())
                position = {segment.partition: segment.last}
        log.close()
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    for host in made.hosts:
        host.stop()
