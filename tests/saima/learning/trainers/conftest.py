"""Samples whose labels are known functions of their features."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from saima.features.declaration import Model, TensorInput
from saima.learning.trainers import ModelSpec

DTYPES = {"speed": "float32", "load": "float64", "count": "int64", "carrier_id": "int64"}


def samples(rows: int, seed: int = 1) -> pl.DataFrame:
    """Label = 10 sin(speed) + 3 load (20 where load is missing) + 5 carrier_id; noise of deviation 1."""
    draw = np.random.default_rng(seed)
    speed, load = draw.normal(size=rows), draw.normal(size=rows)
    carrier = draw.integers(0, 4, rows)
    missing = draw.random(rows) < 0.2
    label = 10 * np.sin(speed) + np.where(missing, 20.0, 3 * load) + 5 * carrier + draw.normal(size=rows)
    return pl.DataFrame(
        {
            "trace": [f"t{n // 4}" for n in range(rows)],
            "speed": pl.Series(speed, dtype=pl.Float32),
            "load": pl.Series(np.where(missing, np.nan, load)).fill_nan(None),
            "count": draw.integers(0, 9, rows),
            "carrier_id": carrier,
            "label": label,
        }
    )


def trees(objective: str = "regression", **settings: object) -> ModelSpec:
    declared = Model(kind="xgboost", inputs=list(DTYPES), output="minutes", objective=objective)
    return ModelSpec("trees", declared, DTYPES, 3, {"rounds": 60, "eta": 0.2, **settings})


def network(objective: str = "regression", **settings: object) -> ModelSpec:
    inputs = {"dense": ["speed", "load", "count"], "carrier_id": TensorInput(tensor="int64", shape=[1])}
    declared = Model(kind="tensorflow", inputs=inputs, output="minutes", objective=objective)
    return ModelSpec("network", declared, DTYPES, 3, {"epochs": 30, "batch": 64, "rate": 0.01, **settings})


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The makers above, for tests and module-wide fixtures."""
    return SimpleNamespace(samples=samples, trees=trees, network=network)
