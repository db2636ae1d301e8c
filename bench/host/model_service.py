"""The peers' second service: a model behind BentoML, rows of features as JSON in, scores as JSON out."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import xgboost


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Model:
    """An XGBoost booster, the file that BENCH_MODEL names."""

    def __init__(self) -> None:
        self.booster = xgboost.Booster(model_file=os.environ["BENCH_MODEL"])

    @bentoml.api
    def predict(self, rows: list[list[float | None]]) -> list[float]:
        """Scores of rows; null is missing."""
        matrix = np.array(rows, np.float32)
        scores: list[float] = self.booster.inplace_predict(matrix, missing=np.nan).astype(np.float64).tolist()
        return scores
