"""The join over history is the stream's rule, row by row: any labels, exposures and schemes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.streams.history import sample_rows
from saima.streams.schemes import JoinSpec, Label, rows

TIMES = st.integers(0, 130)
CANDIDATES = st.dictionaries(st.tuples(st.sampled_from("AB"), st.sampled_from("xy")), st.integers(0, 90), max_size=4)
HAPPENED = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("xy"), TIMES, st.integers(-3, 3)), max_size=8)
SCHEMES = st.sampled_from(["once", "waited", "fnw", "fnc", "esdfm", "defer"])
SPECS = st.builds(
    JoinSpec, SCHEMES, attribution=st.just(50), wait=st.integers(1, 50), valued=st.booleans(), exposed=st.booleans()
)


def frame(happened: list[tuple[str, str, int, int]]) -> pl.LazyFrame:
    schema = {"trace": pl.String, "item": pl.String, "time": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(happened, schema=schema, orient="row", strict=False).with_row_index("seq").lazy()


def naive(
    spec: JoinSpec, candidates: dict[tuple[str, str], int], labels: list[Any], exposed: list[Any], end: int
) -> list[tuple[Any, ...]]:
    found = []
    for (trace, item), time in candidates.items():
        own = [
            Label(at, seq, 0, float(value), 0)
            for seq, (t, i, at, value) in enumerate(labels)
            if (t, i) == (trace, item)
        ]
        times = [at for t, i, at, _ in exposed if (t, i) == (trace, item) and at >= time - spec.attribution]
        shown = min(times, default=None)
        for row in rows(spec, time, own, shown):
            if row.moment < end:
                found.append((trace, item, row.label, row.of.time if row.of else row.moment, row.role))
    return found


@given(SPECS, CANDIDATES, HAPPENED, HAPPENED, st.sampled_from([40, 90, 1000]))
def test_history_makes_the_rows_of_the_stream(
    spec: JoinSpec, candidates: dict[tuple[str, str], int], labels: list[Any], exposed: list[Any], end: int
) -> None:
    predictions = pl.DataFrame(
        [(trace, item, time) for (trace, item), time in candidates.items()],
        schema={"trace": pl.String, "item": pl.String, "time": pl.Int64},
        orient="row",
    ).lazy()
    made = sample_rows(spec, predictions, frame(labels), frame(exposed), end).collect()
    assert made.columns == ["trace", "item", "label", "label_time", "role"]
    assert made.rows() == naive(spec, candidates, labels, exposed, end)


@pytest.mark.parametrize("scheme", ["fnw", "fnc"])
def test_a_click_corrects_the_negative_that_was_assumed(scheme: str) -> None:
    spec = JoinSpec(scheme, attribution=100, exposed=True)  # type: ignore[arg-type]
    predictions = pl.LazyFrame({"trace": ["A", "A"], "item": ["x", "y"], "time": [0, 0]})
    made = sample_rows(spec, predictions, frame([("A", "x", 40, 1)]), frame([("A", "x", 5, 1)]), 1000).collect()
    assert made.rows() == [("A", "x", 0.0, 5, "assumed_negative"), ("A", "x", 1.0, 40, "correction")]
