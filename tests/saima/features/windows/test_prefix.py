"""Sums and extremes of many runs against Python's, whatever the size and sign of the values."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.features.windows.extremes import Extremes
from saima.features.windows.prefix import FloatSums, IntSums, Squares, ratio

WHOLE = st.one_of(st.integers(-9, 9), st.integers(-(2**33), 2**33), st.integers(-(2**63), 2**63 - 1))
FLOATS = st.one_of(st.floats(-1e3, 1e3), st.floats(allow_nan=False), st.sampled_from([math.inf, -math.inf, 5e-324]))


@st.composite
def cut(draw: st.DrawFn, values: st.SearchStrategy[Any], least: int = 0) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Values, and runs [low, high) of them of at least so many."""
    drawn = draw(st.lists(values, min_size=1, max_size=70))
    place = st.integers(0, len(drawn) - least)
    lows = draw(st.lists(place, min_size=1, max_size=8))
    highs = [draw(st.integers(low + least, len(drawn))) for low in lows]
    return drawn, np.array(lows, np.int64), np.array(highs, np.int64)


@given(cut(WHOLE))
def test_sums_of_whole_numbers_are_exact(case: tuple[list[int], np.ndarray, np.ndarray]) -> None:
    values, low, high = case
    array = np.array(values, np.int64)
    assert IntSums(array).of(low, high).tolist() == [sum(values[a:b]) for a, b in zip(low, high, strict=True)]
    squares = [sum(v * v for v in values[a:b]) for a, b in zip(low, high, strict=True)]
    assert Squares(array).of(low, high).tolist() == squares


@given(cut(FLOATS))
def test_sums_of_floats_are_rounded_once_and_do_not_see_their_order(
    case: tuple[list[float], np.ndarray, np.ndarray],
) -> None:
    values, low, high = case
    found = FloatSums(np.array(values)).of(low, high)
    peak = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    for a, b, total in zip(low, high, found.tolist(), strict=True):
        run = values[a:b]
        if math.inf in run or -math.inf in run:
            assert math.isnan(total) if {math.inf, -math.inf} <= set(run) else total in run, run
            continue
        exact = sum(map(Fraction, run), Fraction(0))
        if abs(exact) >= Fraction(2) ** 1023:
            continue  # next to the end of the floats a rounding may reach infinity
        assert abs(Fraction(total) - exact) <= abs(exact) * Fraction(2) ** -51 + Fraction(peak) * Fraction(2) ** -70
    rows = slice(int(low[0]), int(high[0]))
    values[rows] = values[rows][::-1]
    again = FloatSums(np.array(values)).of(low[:1], high[:1])
    assert again.tolist() == found[:1].tolist() or math.isnan(found[0])


@pytest.mark.parametrize(("pick", "best"), [(np.minimum, min), (np.maximum, max)])
@given(cut(st.integers(-(2**63), 2**63 - 1), least=1))
def test_extremes_of_runs(pick: Any, best: Any, case: tuple[list[int], np.ndarray, np.ndarray]) -> None:
    values, low, high = case
    found = Extremes(np.array(values, np.int64), pick).of(low, high)
    assert found.tolist() == [best(values[a:b]) for a, b in zip(low, high, strict=True)]


def test_extremes_of_long_runs() -> None:
    values = np.random.default_rng(0).integers(-(10**9), 10**9, 5000)
    low = np.arange(0, 4000, 7)
    high = low + np.arange(1, len(low) + 1)
    found = Extremes(values, np.maximum).of(low, high)
    assert found.tolist() == [values[a:b].max() for a, b in zip(low, high, strict=True)]


@given(st.lists(st.tuples(WHOLE.map(abs), st.integers(1, 2**60)), min_size=1))
def test_a_ratio_is_what_python_divides(pairs: list[tuple[int, int]]) -> None:
    above, below = (np.array(part, object) for part in zip(*pairs, strict=True))
    expected = [a / b for a, b in pairs]
    assert ratio(above, below).tolist() == expected
    if max(above) < 2**63:
        assert ratio(above.astype(np.int64), below.astype(np.int64)).tolist() == expected
