"""TensorFlow, imported when it first works."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


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
