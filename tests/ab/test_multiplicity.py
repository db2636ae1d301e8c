"""Laws of adjusted p-values, and Holm against its definition."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab.multiplicity import Method, adjust

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@settings(deadline=None)
@given(P_VALUES, st.sampled_from(get_args(Method)))
def test_adjusting_never_helps_and_keeps_order(p_values: list[float], method: Method) -> None:
    adjusted = adjust(p_values, method)
    assert all(p - 1e-12 <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert all(adjusted[a] <= adjusted[b] + 1e-12 for a, b in pairwise(order))


@settings(deadline=None)
@given(P_VALUES, st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], alpha: float) -> None:
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(adjust(p_values, "holm")) if p <= alpha} == rejected


def test_one_p_value_stays() -> None:
    assert [adjust([0.03], method)[0] for method in get_args(Method)] == pytest.approx([0.03] * 6)
