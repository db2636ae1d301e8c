"""An experiment with a known answer: samples, and the journal they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.routing.experiments import Experiment

START = 1_364_774_400_000
HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture
def experiment() -> Experiment:
    return Experiment.model_validate(
        {
            "experiment": "fusion",
            "hypothesis": "Fusing lowers the error <of> the estimate.",
            "layer": "model",
            "unit": "trace",
            "arms": {
                "champion": {"lineage": "xgb", "weight": 50, "parameters": {"net_weight": 0.0}},
                "challenger": {"lineage": "fusion", "weight": 50, "parameters": {"net_weight": 0.4}},
            },
            "metrics": {
                "absolute_error": {"value": "abs(label - score)", "direction": "lower", "role": "primary"},
                "late": {"value": "label > 15", "kind": "proportion", "direction": "lower"},
            },
            "analysis": {"alpha": 0.05, "method": "fixed"},
        }
    )


@pytest.fixture
def samples() -> Callable[..., pl.DataFrame]:
    def make(n: int = 3000, better: float = 0.0, share: float = 0.5, days: int = 6, seed: int = 1) -> pl.DataFrame:
        random = np.random.default_rng(seed)
        time = np.sort(random.integers(START, START + days * DAY, n))
        arm = np.where(random.random(n) < share, "champion", "challenger")
        error = random.laplace(0, 20, n) * np.where(arm == "champion", 1, 1 - better)
        label = random.gamma(1.2, 25, n) - 20
        trace = [f"t{i}" for i in range(n)]
        return pl.DataFrame(
            {
                "trace": trace,
                "item": [""] * n,
                "time": time,
                "label": label,
                "label_time": time + random.integers(3 * HOUR, 10 * HOUR, n),
                "version": ((time - START) // DAY).astype(str),
                "experiment": ["fusion"] * n,
                "arm": arm,
                "unit": trace,
                "score": label + error,
                "offset": np.arange(n) + 100,
                "temperature": random.normal(15, 4, n).astype(np.float32),
            }
        )

    return make


@pytest.fixture
def journal() -> Callable[..., pl.LazyFrame]:
    def make(samples: pl.DataFrame, **changed: Any) -> pl.LazyFrame:
        records = [
            json.dumps(
                {
                    "trace": trace,
                    "unit": unit,
                    "experiment": "fusion",
                    "arm": arm,
                    "reason": "hashed",
                    "time": time,
                    "answered": time + 5,
                    "degraded": [],
                    "shadow": False,
                    "override": False,
                    "features": {"temperature": [None, 1.5]},
                    **changed,
                }
            )
            for trace, unit, arm, time in samples.select("trace", "unit", "arm", "time").iter_rows()
        ]
        return pl.LazyFrame({"trace": samples["trace"], "record": pl.Series(records, dtype=pl.String)})

    return make
