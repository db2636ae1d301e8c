"""Models score an extraction as they score its frame, and trees make no frame of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.features import Algorithm, load
from saima.features.extractor import Extractor
from saima.host.bundle import Scoring
from saima.learning.trainers import spec_of, trainer

SHOP = """
algorithm: shop
request: {fields: {level: float64}, items: {max: 50, fields: {item_id: string, price: float64, tags: "list<int64>"}}}
features:
  level: {value: "request.level * 2", dtype: float32}
  price: {value: "item.price", dtype: float32}
  gap: {value: "item.price - request.level", dtype: float64}
  place: {value: "hash_bucket(item_id, 8)", dtype: int64}
  tags: {value: "item.tags", dtype: "list<int64>"}
models:
  trees: {kind: xgboost, inputs: [level, price, gap, place], output: o}
  leaves: {kind: lightgbm, inputs: [gap, price], output: o}
  rule:
    kind: python
    file: rule.py
    inputs: {dense: [price, level], place: {tensor: int64, shape: []}, tags: {tensor: int64, shape: [-1]}}
    output: o
fuse: {value: "trees.o + leaves.o + rule.o"}
"""
RULE = "def predict(state, t):\n    return t['dense'].sum(axis=1) + 10 * t['place'] + 100 * t['tags'].sum(axis=1)\n"


@pytest.fixture(scope="module")
def algorithm(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    folder: Path = tmp_path_factory.mktemp("algorithms") / "shop"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(SHOP)
    (folder / "rule.py").write_text(RULE)
    return load(folder)


@pytest.fixture(scope="module")
def models(algorithm: Algorithm) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    columns = {"level": draw.normal(size=400), "price": draw.normal(size=400), "gap": draw.normal(size=400)}
    rows = pl.DataFrame({**columns, "place": draw.integers(0, 8, 400), "tags": [[1]] * 400})
    rows = rows.with_columns(label=pl.col("gap") * 3 + pl.col("price"))
    made = {}
    for name, declared in algorithm.declaration.models.items():
        settings = {} if declared.kind == "python" else {"rounds": 20, "min_child_weight": 1.0}
        spec = spec_of(algorithm.declaration, name, 1, settings, algorithm.directory)
        made[name] = trainer(declared.kind).fit(rows, spec)
    return made


@pytest.mark.parametrize("count", [1, 7, 50])
def test_an_extraction_scores_as_its_frame(algorithm: Algorithm, models: dict[str, Any], count: int) -> None:
    items = [
        {"item_id": f"i{n}", "price": None if n % 5 == 4 else n / 3, "tags": list(range(n % 4))} for n in range(count)
    ]
    found = Extractor(algorithm, None).extract({"level": 0.5}, None, items, 1_000)
    scores = Scoring(algorithm, models).score(found)
    assert "features" not in vars(found)  # nobody has made the frame
    framed = Scoring(algorithm, models).score(found.features)
    assert list(scores.outputs) == ["trees.o", "leaves.o", "rule.o"]
    for name, values in framed.outputs.items():
        np.testing.assert_array_equal(scores.outputs[name], values)
    np.testing.assert_array_equal(scores.score, framed.score)
    assert np.isfinite(scores.outputs["trees.o"]).all()
