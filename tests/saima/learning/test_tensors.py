"""Tensors filled from features, against a program that fills them value by value."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.features.declaration import Model
from saima.features.layouts import Layout, LayoutFault, layouts
from saima.features.types import parse_type
from saima.learning.tensors import matrix, tensors

DTYPES = {
    "x": "float32", "y": "float64", "n": "int64", "flag": "bool", "word": "string", "when": "timestamp",
    "ids": "list<int64>", "more": "list<int64>", "tags": "list<string>", "weights": "list<float64>",
    "place": "vector<float32,3>", "path": "list<vector<float32,2>>", "nested": "list<list<int64>>",
    "counts": "map<string,int64>",
}  # fmt: skip
FRAME = pl.DataFrame(
    {
        "x": [1.5, None, float("nan")],
        "y": [0.1, 2.0, None],
        "n": [7, None, -3],
        "flag": [True, None, False],
        "word": ["a", None, "é"],
        "when": [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
        "ids": [[1, 2, 3], [], None],
        "more": [[9], [8, None], [7, 6, 5, 4]],
        "tags": [["p"], None, ["q", "r"]],
        "weights": [[0.5, None], None, [1.0]],
        "place": [[1.0, 2.0, 3.0], None, [4.0, None, 6.0]],
        "path": [[[1.0, 2.0], [3.0, 4.0]], [], [[5.0, 6.0]]],
        "nested": [[[1, 2, 3], []], None, [[4]]],
    },
    schema={name: parse_type(text).polars for name, text in DTYPES.items() if name != "counts"},
    strict=False,
)
NAN = math.nan


def layout(name: str, **tensor: Any) -> Layout:
    model = Model(kind="tensorflow", output="o", inputs={name: tensor})
    return layouts(model, DTYPES)[0]


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [
        ("n", {"tensor": "int64", "shape": []}, {"n": [7, -1, -3]}),
        ("n", {"tensor": "int32", "shape": [1]}, {"n": [[7], [-1], [-3]]}),
        ("n", {"tensor": "float64", "shape": [1]}, {"n": [[7.0], [NAN], [-3.0]]}),
        ("flag", {"tensor": "bool", "shape": []}, {"flag": [True, False, False]}),
        ("word", {"tensor": "string", "shape": [1]}, {"word": [["a"], [""], ["é"]]}),
        ("when", {"tensor": "int64", "shape": [1]}, {"when": [[1000], [-1], [0]]}),
        ("t", {"tensor": "float32", "shape": [2], "features": ["x", "n"]}, {"t": [[1.5, 7], [NAN, NAN], [NAN, -3]]}),
        ("t", {"tensor": "int64", "shape": [2, 1], "features": ["n", "flag"]},
         {"t": [[[7], [1]], [[-1], [-1]], [[-3], [0]]]}),
        ("t", {"tensor": "float64", "shape": [-1], "features": ["y", "place"]},
         {"t": [[0.1, 1, 2, 3], [2.0, NAN, NAN, NAN], [NAN, 4, NAN, 6]]}),
        ("ids", {"tensor": "int64", "shape": [-1]}, {"ids": [[1, 2, 3], [0, 0, 0], [0, 0, 0]]}),
        ("ids", {"tensor": "int64", "shape": [2], "pad": 9, "lengths": True},
         {"ids": [[1, 2], [9, 9], [9, 9]], "ids_lengths": [2, 0, 0]}),
        ("more", {"tensor": "int32", "shape": [5]}, {"more": [[9, 0, 0, 0, 0], [8, -1, 0, 0, 0], [7, 6, 5, 4, 0]]}),
        ("tags", {"tensor": "string", "shape": [-1], "pad": "-"}, {"tags": [["p", "-"], ["-", "-"], ["q", "r"]]}),
        ("weights", {"tensor": "float32", "shape": [-1]}, {"weights": [[0.5, NAN], [0, 0], [1, 0]]}),
        ("ids", {"tensor": "int64", "shape": [-1], "ragged": True}, {"ids": [1, 2, 3], "ids_row_splits": [0, 3, 3, 3]}),
        ("tags", {"tensor": "string", "shape": [-1], "ragged": True, "lengths": True},
         {"tags": ["p", "q", "r"], "tags_row_splits": [0, 1, 1, 3], "tags_lengths": [1, 0, 2]}),
        ("path", {"tensor": "float32", "shape": [-1, 2], "lengths": True},
         {"path": [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]], "path_lengths": [2, 0, 1]}),
        ("nested", {"tensor": "int64", "shape": [1, 2]}, {"nested": [[[1, 2]], [[0, 0]], [[4, 0]]]}),
        ("t", {"tensor": "int64", "shape": [-1, 2], "features": ["ids", "more"], "lengths": True},
         {"t": [[[1, 9], [2, 0], [3, 0], [0, 0]], [[0, 8], [0, -1], [0, 0], [0, 0]], [[0, 7], [0, 6], [0, 5], [0, 4]]],
          "t_lengths": [3, 2, 4]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [False, True])
def test_filled_as_declared(name: str, tensor: dict[str, Any], expected: dict[str, list[Any]], alone: bool) -> None:
    one = layout(name, **tensor)
    made = tensors([one], FRAME)
    assert tuple(made) == one.names
    for key, values in expected.items():
        assert made[key].dtype == (one.dtype if key == name and one.dtype != "string" else made[key].dtype)
        np.testing.assert_array_equal(made[key], np.array(values, dtype=made[key].dtype))
    if alone and one.form == "flat":
        for row in range(FRAME.height):
            np.testing.assert_array_equal(tensors([one], FRAME[row])[name], made[name][row : row + 1])


def test_a_plain_list_of_inputs_is_one_matrix() -> None:
    model = Model(kind="tensorflow", output="o", inputs=["x", "place", "flag"])
    made = tensors(layouts(model, DTYPES), FRAME)["dense"]
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, [[1.5, 1, 2, 3, 1], [NAN, NAN, NAN, NAN, NAN], [NAN, 4, NAN, 6, 0]])


def test_a_batch_without_any_list_is_one_pad_wide() -> None:
    made = tensors([layout("ids", tensor="int64", shape=[-1])], FRAME[1:])["ids"]
    assert made.tolist() == [[0], [0]]
    assert tensors([layout("ids", tensor="int64", shape=[-1])], FRAME[:0])["ids"].shape == (0, 1)


class Held:
    """Features as an extraction holds them."""

    def __init__(self, features: pl.DataFrame) -> None:
        self.features = features
        self.asked: list[tuple[str, ...]] = []

    def select(self, names: Any) -> pl.DataFrame:
        return self.features.select(names)

    def matrix(self, names: Any) -> Any:
        self.asked.append(tuple(names))
        return matrix(self.features, names)


def test_an_extraction_gives_its_matrix_without_a_frame() -> None:
    held = Held(FRAME)
    model = Model(
        kind="tensorflow", output="o",
        inputs={"dense": ["x", "n"], "ids": {"tensor": "int64", "shape": [-1]}, "n": {"tensor": "int64", "shape": [1]}},
    )  # fmt: skip
    made, plain = tensors(layouts(model, DTYPES), held), tensors(layouts(model, DTYPES), FRAME)
    assert held.asked == [("x", "n")]
    for name, values in plain.items():
        np.testing.assert_array_equal(made[name], values)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.none() | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6), max_size=6),
    size=st.sampled_from([-1, 1, 3, 8]),
    pad=st.integers(-2, 2),
)
def test_padded_lists_against_the_naive_program(rows: list[list[int | None] | None], size: int, pad: int) -> None:
    column = pl.DataFrame({"ids": pl.Series(rows, dtype=pl.List(pl.Int64))})
    made = tensors([layout("ids", tensor="int64", shape=[size], pad=pad, lengths=True)], column)
    width = size if size > 0 else max([1, *(len(row or []) for row in rows)])
    cut = [(row or [])[:width] for row in rows]
    naive = [[-1 if v is None else v for v in row] + [pad] * (width - len(row)) for row in cut]
    assert made["ids"].tolist() == naive
    assert made["ids_lengths"].tolist() == [len(row) for row in cut]


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("x", {"tensor": "int64", "shape": [1]}, r"'x' is float32 and the tensor is int64; cast\(\.\.\., 'int64'\)"),
        ("word", {"tensor": "float32", "shape": [1]}, "'word' is string"),
        ("counts", {"tensor": "int64", "shape": [-1]}, "take its keys or values"),
        ("n", {"tensor": "int64", "shape": [2]}, r"the shape of 'n' is \[2\], and 'n' is 1 value a row"),
        ("ids", {"tensor": "int64", "shape": []}, r"the shape of 'ids' is \[-1\] or \[n\], not \[\]"),
        ("ids", {"tensor": "int64", "shape": [2, 2]}, "a step of 'ids' holds 1 values, its shape says 2"),
        ("path", {"tensor": "float32", "shape": [-1, 3]}, "a step of 'path' holds 2 values"),
        ("path", {"tensor": "float32", "shape": [-1]}, r"is \[-1, width\]"),
        ("path", {"tensor": "float32", "shape": [-1, -1]}, r"is \[-1, width\]"),
        ("path", {"tensor": "float32", "shape": [-1, 2], "ragged": True}, "one list of scalars"),
        ("t", {"tensor": "int64", "shape": [2], "features": ["n", "ids"]}, "lists and scalars share no tensor"),
        ("n", {"tensor": "int64", "shape": [1], "lengths": True}, "holds no list"),
        ("ids", {"tensor": "int64", "shape": [-1], "pad": "x"}, "pad 'x' is not int64"),
        ("ids", {"tensor": "int64", "shape": [-1], "pad": True}, "pad True is not int64"),
        ("t", {"tensor": "float32", "shape": [-1, -1], "features": ["x", "y"]}, "its features are 2 values"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(name: str, tensor: dict[str, Any], words: str) -> None:
    with pytest.raises(LayoutFault, match=words) as caught:
        layout(name, **tensor)
    assert caught.value.path[:2] == ("inputs", name)


def test_a_list_needs_a_tensor_of_its_own() -> None:
    with pytest.raises(LayoutFault, match="a list needs a tensor of its own") as caught:
        layouts(Model(kind="tensorflow", output="o", inputs={"dense": ["x", "ids"]}), DTYPES)
    assert caught.value.path == ("inputs", "dense", 1)
