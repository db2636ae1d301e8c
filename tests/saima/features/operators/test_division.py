"""Division gives the same bits in a frame of one row and in a long one, and those of IEEE division."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.features.expression import Scope, compile_expression
from saima.features.lowering import lower
from saima.features.nodes import column
from saima.features.operators.division import ratio
from saima.features.types import FLOAT64, INT64

SCOPE = Scope({"x": column("x", FLOAT64, "request"), "i": column("i", INT64, "request")})


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=30),
    divisor=st.floats(0.001, 1e6),
)
def test_it_is_ieee_division_for_any_number_of_rows(values: list[float | None], divisor: float) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    found = frame.select(ratio(pl.col("x"), divisor)).to_series().to_list()
    assert found == [None if value is None else value / divisor for value in values]


@pytest.mark.parametrize(
    "text", ["x / 3.0", "i / 1000", "x // 0.7", "x % 0.7", "smooth(x, 1, 0.5, 5.0, scale=3)", "minmax(x, 0.1, 0.4)"]
)
def test_expressions_have_the_same_bits_in_any_frame(text: str) -> None:
    values = [place * 0.37 - 40 for place in range(300)]
    frame = pl.DataFrame({"x": values, "i": [place * 7919 for place in range(300)]})
    expr = lower(compile_expression(text, SCOPE))
    whole = frame.select(expr.alias("y"))["y"].to_list()
    assert [frame[place : place + 1].select(expr.alias("y"))["y"][0] for place in range(300)] == whole
