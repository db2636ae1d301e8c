"""Trainers by kind; their libraries are imported when they first work."""

from __future__ import annotations

from importlib import import_module

from saima.errors import SaimaError, suggest
from saima.learning.model import Model, ModelSpec, Setting, Trainer, spec_of
from saima.learning.trainers import runtime

__all__ = ["Model", "ModelSpec", "Setting", "Trainer", "import_library", "spec_of", "trainer"]

KINDS = ("xgboost", "lightgbm", "tensorflow", "python")


def import_library(kind: str) -> None:
    """Import the library that models of a kind run on, where they run on one."""
    if kind == "tensorflow":
        runtime.tensorflow()
    elif kind in ("xgboost", "lightgbm"):
        import_module(kind)
        import_module("pandas")  # XGBoost imports it with its first prediction


def trainer(kind: str) -> Trainer:
    """The trainer of a kind: xgboost, lightgbm, tensorflow, python. Raises SaimaError for a kind that there is not."""
    if kind == "xgboost":
        from saima.learning.trainers.xgboost import XGBoostTrainer

        return XGBoostTrainer()
    if kind == "lightgbm":
        from saima.learning.trainers.lightgbm import LightGBMTrainer

        return LightGBMTrainer()
    if kind == "tensorflow":
        from saima.learning.trainers.tensorflow import TensorFlowTrainer

        return TensorFlowTrainer()
    if kind == "python":
        from saima.learning.trainers.python import PythonTrainer

        return PythonTrainer()
    raise SaimaError(f"no trainer for models of kind '{kind}'{suggest(kind, KINDS)}; known: {', '.join(KINDS)}")
