"""Recipes: settings over declaration over defaults, tensors by name; matrices."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features.declaration import Declaration
from saima.learning.tensors import matrix
from saima.learning.trainers import spec_of


def declaration() -> Declaration:
    return Declaration.model_validate(
        {
            "algorithm": "a",
            "request": {"fields": {"x": "float32"}},
            "features": {"x": {"value": "x", "dtype": "float32"}, "y": {"value": "x", "dtype": "int64"}},
            "models": {
                "net": {
                    "kind": "tensorflow",
                    "inputs": {
                        "dense": ["x"],
                        "y": {"tensor": "int64", "shape": [1]},
                        "pair": {"tensor": "float32", "shape": [2], "features": ["x", "y"]},
                    },
                    "output": "score",
                    "settings": {"rate": 0.5},
                }
            },
        }
    )


def test_tensors_and_settings() -> None:
    spec = spec_of(declaration(), "net", seed=4, settings={"epochs": 3})
    assert spec.tensors == {"dense": ("x",), "y": ("y",), "pair": ("x", "y")}
    assert spec.features == ("x", "y")
    assert spec.dtypes == {"x": "float32", "y": "int64"}
    assert spec.options({"rate": 0.1, "epochs": 10, "batch": 5}) == {"rate": 0.5, "epochs": 3, "batch": 5}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SaimaError, match=r"no model 'ne' \(did you mean 'net'\?\)"):
        spec_of(declaration(), "ne")
    with pytest.raises(SaimaError, match="unknown setting 'rate'"):
        spec_of(declaration(), "net").options({"epochs": 1})


@pytest.mark.parametrize("rows", [1, 3])
def test_matrix_is_float32_in_the_order_of_names(rows: int) -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": [True, False, None], "c": [0.5, None, float("nan")]}).head(rows)
    found = matrix(frame, ("c", "a", "b"))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    nan = float("nan")
    np.testing.assert_array_equal(found, np.array([[0.5, 1, 1], [nan, nan, 0], [nan, 3, nan]], dtype=np.float32)[:rows])
