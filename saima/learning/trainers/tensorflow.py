"""A deep network: one named input tensor per kind of feature, exported as a SavedModel that holds its preprocessing."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.learning.model import Model, ModelSpec, Setting, labelled, matrix
from saima.learning.trainers.network import Architecture, Ids, build, standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARCHITECTURE, WEIGHTS, SAVED = "architecture.json", "weights.npz", "saved_model"
DEFAULTS: dict[str, Setting] = {
    "hidden": [128, 64],
    "embedding": 8,
    "dropout": 0.1,
    "epochs": 10,
    "batch": 512,
    "rate": 0.002,
    "decay": 0.0001,
    "loss": "huber",
    "huber": 2.0,
    "increment_epochs": 2,
    "increment_rate": 0.0003,
}
"""Settings; `huber` is where the loss turns linear, in standard deviations of the label; loss: huber, squared."""


@cache
def tensorflow() -> Any:
    """TensorFlow, on one thread, quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # somebody has used TensorFlow in this process before; its threads stay as they are
        pass
    return tf
