"""Examples written without TensorFlow, read back by TensorFlow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.learning.examples import examples
from saima.learning.trainers.runtime import tensorflow


def parsed(data: bytes) -> dict[str, Any]:
    example = tensorflow().train.Example.FromString(data)
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = (kind, list(getattr(feature, kind).value))
    return found


def test_every_type_under_its_name() -> None:
    when = datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "n": [-5, None], "x": [0.5, float("nan")], "wide": [1e300, -0.0], "yes": [True, False], "word": ["é", ""],
            "when": pl.Series([when, None], dtype=pl.Datetime("ms", "UTC")), "ids": [[1, None, 3], []],
            "tags": pl.Series([["a", "b"], None], dtype=pl.List(pl.String)), "v": [[0.25, 1.0], [2.0, 3.0]],
        }
    )  # fmt: skip
    first, second = (parsed(data) for data in examples(frame, frame.columns))
    assert first == {
        "n": ("int64_list", [-5]), "x": ("float_list", [0.5]), "wide": ("float_list", [float("inf")]),
        "yes": ("int64_list", [1]), "word": ("bytes_list", ["é".encode()]), "when": ("int64_list", [2000]),
        "ids": ("int64_list", [1, 3]), "tags": ("bytes_list", [b"a", b"b"]), "v": ("float_list", [0.25, 1.0]),
    }  # fmt: skip
    assert second == {
        "wide": ("float_list", [0.0]), "yes": ("int64_list", [0]), "word": ("bytes_list", [b""]),
        "ids": ("int64_list", []), "v": ("float_list", [2.0, 3.0]),
    }  # fmt: skip
    assert np.signbit(second["wide"][1][0])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(width=32, allow_nan=False),
            st.none() | st.text(max_size=200), st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_any_values_come_back(rows: list[tuple[Any, ...]]) -> None:
    columns = {"n": pl.Int64, "x": pl.Float32, "word": pl.String, "ids": pl.List(pl.Int64)}
    frame = pl.DataFrame([dict(zip(columns, row, strict=True)) for row in rows], schema=columns)
    for row, data in zip(rows, examples(frame, list(columns)), strict=True):
        expected = {
            name: (kind, list(value) if isinstance(value, list) else [value.encode() if name == "word" else value])
            for (name, kind), value in zip(
                [("n", "int64_list"), ("x", "float_list"), ("word", "bytes_list"), ("ids", "int64_list")], row,
                strict=True,
            )
            if value is not None
        }  # fmt: skip
        assert parsed(data) == expected
