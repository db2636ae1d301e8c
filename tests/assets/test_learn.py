"""Every kind of model learns, is recorded and judged alike; one made elsewhere is only judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets.evaluations import judge
from assets.models.config import config_of
from assets.models.model import learn
from assets.models.training import Training
from saima.features import Algorithm, load
from saima.learning.trainers import spec_of, trainer
from saima.settings import Settings
from saima.stores import open_registry

DECLARATION = """
algorithm: shop
sources:
  sold: {key: trace, fields: {trace: string, amount: float64}}
request: {fields: {x: float64, n: int64}}
features:
  fx: {value: "x", dtype: float32}
  fn: {value: "n", dtype: int64}
models:
  leaves: {kind: lightgbm, inputs: [fx, fn], output: amount, settings: {rounds: 40, min_child_weight: 1.0}}
  means: {kind: python, file: means.py, inputs: {fn: {tensor: int64, shape: []}}, output: amount, settings: {rows: 1.0}}
  taken:
    kind: tensorflow
    file: taken.pb
    inputs: {dense: [fx]}
    output: low
    outputs: {low: low, high: high}
fuse: {value: "0.5 * leaves.amount + 0.5 * means.amount + (taken.high - taken.low)"}
label: {from: sold, join: [trace], value: amount, attribution: 1h}
lineages: {all: {train: [leaves, means, taken]}}
"""
MEANS = """
import numpy as np
SETTINGS = {"rows": 5.0}


def fit(tensors, label, weight, settings, previous):
    count = np.bincount(tensors["fn"], weight, minlength=4) + settings["rows"]
    return {"mean": np.bincount(tensors["fn"], weight * label, minlength=4) / count}


def predict(state, tensors):
    return state["mean"][tensors["fn"]]
"""


@pytest.fixture(scope="module")
def algorithm(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    from saima.learning.trainers.runtime import tensorflow

    folder: Path = tmp_path_factory.mktemp("algorithms") / "shop"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(DECLARATION)
    (folder / "means.py").write_text(MEANS)
    v1 = tensorflow().compat.v1
    with v1.Graph().as_default() as graph:
        dense = v1.placeholder("float32", (None, 1), name="dense")
        v1.add(dense, 1.0, name="low")
        v1.add(dense, 4.0, name="high")
        (folder / "taken.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return load(folder)


def samples(rows: int) -> pl.DataFrame:
    draw = np.random.default_rng(5)
    x, n = draw.normal(size=rows), draw.integers(0, 4, rows)
    at = np.arange(rows, dtype=np.int64) * 1000
    identity = {
        "trace": [f"t{i}" for i in range(rows)], "item": [""] * rows, "time": at, "label": 2 * x + 3 * n,
        "label_time": at, "label_offset": at, "label_appended": at, "weight": np.ones(rows), "offset": at,
    }  # fmt: skip
    return pl.DataFrame({**identity, "fx": x.astype(np.float32), "fn": n})


def test_each_learns_and_all_are_judged(algorithm: Algorithm, tmp_path: Path) -> None:
    training = Training(tmp_path / "training", "shop/samples", 0, 100, 0, "run", {})
    training.folder.mkdir()
    rows = samples(900)
    results: dict[str, Any] = {}
    for name, declared in algorithm.declaration.models.items():
        config = config_of(name, declared)()
        spec = spec_of(algorithm.declaration, name, config.seed, config.settings(), algorithm.directory)
        results[name] = learn(training, rows, spec, config, [])
        assert training.document(name)["kind"] == declared.kind
        loaded = trainer(declared.kind).load(training.model(name))
        np.testing.assert_array_equal(loaded.predict(rows), results[name].model.predict(rows))
    assert results["leaves"].shown["r2"] > 0.9
    learned, held = training.split(rows)
    assert held.height == 100
    said = training.predictions("taken")
    assert list(said) == ["low", "high"]
    np.testing.assert_allclose(said["high"] - said["low"], 3.0, rtol=1e-5)

    judged = judge(algorithm, "all", training, learned, held, open_registry(Settings(home=tmp_path / "home")))
    halves = (training.predictions("leaves")["amount"] + training.predictions("means")["amount"]) / 2
    np.testing.assert_allclose(judged.scores["candidate"], halves + 3.0, rtol=1e-5)
    assert judged.verdict.passed
