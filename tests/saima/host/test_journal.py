"""What a record keeps, and how numbers survive it."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from saima.features.declaration import Journal
from saima.features.online.block import Block
from saima.features.online.extraction import Framed, OneRow
from saima.features.types import parse_type
from saima.host.journal import keep, numbers, snapshot, text_of


def text(record: dict[str, Any], features: Any, kept: Any) -> str:
    """A record's JSON."""
    return text_of(snapshot(record, features, list(kept)))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=20))
def test_features_read_back_to_the_same_bits(floats: list[float], integers: list[int]) -> None:
    count = len(floats)
    frame = pl.DataFrame({"f": pl.Series(floats, dtype=pl.Float32), "i": pl.Series(integers[:count], dtype=pl.Int64)})
    types = {"f": parse_type("float32"), "i": parse_type("int64")}
    document = json.loads(text({"a": 1}, Framed(frame, types), range(count)))
    assert document["a"] == 1
    assert document["features"]["i"] == integers[:count]
    for value, found in zip(floats, document["features"]["f"], strict=True):
        assert np.float32(found) == np.float32(value) if math.isfinite(value) else found is None


def test_only_kept_rows_are_written_and_times_are_milliseconds() -> None:
    frame = pl.DataFrame(
        {
            "x": [0.5, 1.5, None],
            "s": ["é", "b", "c"],
            "t": pl.Series([1, 2, 3]).cast(pl.Datetime("ms", "UTC")),
            "l": [[1], [], None],
        }
    )
    types = {"x": "float64", "s": "string", "t": "timestamp", "l": "list<int64>"}
    rows = Framed(frame, {name: parse_type(dtype) for name, dtype in types.items()})
    found = json.loads(text({"a": 1}, rows, [2, 0]))["features"]
    assert found == {"x": [None, 0.5], "s": ["c", "é"], "t": [3, 1], "l": [None, [1]]}
    assert json.loads(text({"a": 1}, None, [0]))["features"] == {}


def test_floats_inside_lists_and_maps_are_as_short_as_others() -> None:
    types = {
        "v": "vector<float32,2>",
        "l": "list<list<float32>>",
        "m": "map<string,float32>",
        "d": "map<string,float64>",
    }
    values = {"v": [0.1, None], "l": [[0.1], None], "m": {"a": 0.1, "b": math.inf}, "d": {"a": math.nan, "b": 0.1}}
    row = OneRow(values, {name: parse_type(dtype) for name, dtype in types.items()})
    found = json.loads(text({}, row, [0]))["features"]
    assert found["v"] == [[0.1, None]]
    assert found["l"] == [[[0.1], None]]
    assert found["d"] == [[{"key": "a", "value": None}, {"key": "b", "value": 0.1}]]
    assert np.float32(found["m"][0][0]["value"]) == np.float32(0.1)
    assert found["m"][0][1]["value"] is None


def test_all_candidates_are_kept_where_the_request_is_kept_whole() -> None:
    kept = keep(Journal(items="returned", full=1.0), 4, [2], Random(1))
    assert (kept.items, kept.weights, kept.whole) == ([0, 1, 2, 3], [1.0] * 4, True)


def test_returned_candidates_and_a_weighted_sample_of_the_others() -> None:
    declared = Journal(items="returned_and_sampled", sample=0.25, full=0.0)
    random = Random(1)
    draws = [keep(declared, 1000, [3, 7], random) for _ in range(20)]
    for kept in draws:
        assert kept.items[:2] == [3, 7]
        assert kept.weights[:2] == [1.0, 1.0]
        assert set(kept.weights[2:]) == {4.0}
        assert len(set(kept.items)) == len(kept.items)
    total = sum(sum(kept.weights) for kept in draws) / 20
    assert abs(total - 1000) < 60, "weights undo the sampling"


def test_scores_as_json() -> None:
    assert numbers(np.array([1.5, np.nan, np.inf])) == [1.5, None, None]


@given(st.lists(st.floats(), min_size=1, max_size=20), st.booleans())
def test_scores_read_back_to_the_same_bits(values: list[float], raw: bool) -> None:
    body = {"request": {"é": 0.1, "n": 2**60}, "items": [{"item_id": "\u2028"}], "more": "left out"}
    asked = json.dumps(body, indent=1).encode() if raw else b""
    given_ = {} if raw else {"request": body["request"], "user": None, "items": body["items"]}
    scores = np.array(values)
    found = json.loads(text_of(snapshot(given_, None, [], scores, {"a.x": scores, 'b"': -scores}, asked)))
    expected = [value if math.isfinite(value) else None for value in values]
    assert found["scores"] == found["outputs"]["a.x"] == expected
    assert found["outputs"]['b"'] == [None if value is None else -value for value in expected]
    assert (found["request"], found["user"], found["items"]) == (body["request"], None, body["items"])
    assert list(found) == ["request", "user", "items", "scores", "outputs", "features"]


@given(
    st.integers(1, 6),
    st.lists(st.floats(width=32), min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), st.integers(-(2**26), 2**26)), min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=6, max_size=6),
)
def test_a_block_holds_what_plain_values_hold(rows: int, floats: Any, wholes: Any, bools: Any) -> None:
    columns = [floats[:rows], wholes[:rows], bools[:rows]]
    matrix = np.array([[np.nan if v is None else v for v in column] for column in columns], np.float32).T
    block = Block.of(["f", "i", "b"], "fib", matrix)
    large = any(value is not None and abs(value) >= 2**24 for value in wholes[:rows])
    assert list(block.names) == (["f", "b"] if large else ["f", "i", "b"])
    types = {"f": parse_type("float32"), "i": parse_type("int64"), "b": parse_type("bool")}
    frame = pl.DataFrame(dict(zip("fib", columns, strict=True)),
                         schema={name: dtype.polars for name, dtype in types.items()})  # fmt: skip

    class Blocked(Framed):
        def block(self, kept: Any) -> Block:
            return Block(block.names, block.kinds, block.matrix[list(kept)])

    kept = list(range(rows))[::-1]
    assert json.loads(text({}, Blocked(frame, types), kept)) == json.loads(text({}, Framed(frame, types), kept))
