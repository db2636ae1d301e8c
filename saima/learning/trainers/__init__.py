"""Trainers by kind; their libraries are imported when they first work."""

from __future__ import annotations

from saima.errors import SaimaError, suggest
from saima.learning.model import Model, ModelSpec, Setting, Trainer, spec_of

__all__ = ["Model", "ModelSpec", "Setting", "Trainer", "spec_of", "trainer"]

TRAINED = ("xgboost", "tensorflow")


def trainer(kind: str) -> Trainer:
    """The trainer of a kind: xgboost, tensorflow. Raises SaimaError for a kind that has none."""
    if kind == "xgboost":
        from saima.learning.trainers.xgboost import XGBoostTrainer

        return XGBoostTrainer()
    if kind == "tensorflow":
        from saima.learning.trainers.tensorflow import TensorFlowTrainer

        return TensorFlowTrainer()
    raise SaimaError(f"no trainer for models of kind '{kind}'{suggest(kind, TRAINED)}; known: {', '.join(TRAINED)}")
