"""Sample ratio: what counts as a mismatch, and what cannot be tested."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab.estimates import NoResult
from ab.srm import RatioCheck, srm, srm_sequential


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=2, max_size=5))
def test_order_of_arms_does_not_matter(counts: list[int]) -> None:
    one, other = srm(counts, [1] * len(counts)), srm(counts[::-1], [1] * len(counts))
    if isinstance(one, RatioCheck):
        assert isinstance(other, RatioCheck)
        assert one.p_value == pytest.approx(other.p_value)
        assert 0 <= one.p_value <= 1
    else:
        assert sum(counts) == 0


@pytest.mark.parametrize("test", [srm, srm_sequential])
def test_an_arm_without_weight(test: object) -> None:
    assert callable(test)
    assert test([500, 500, 3], [1, 1, 0]) == RatioCheck(0.0, None)
    assert test([500, 500, 0], [1, 1, 0]) == test([500, 500], [1, 1])


@pytest.mark.parametrize(("counts", "weights"), [([], []), ([5], [1]), ([0, 0], [1, 1]), ([1, 2], [1])])
def test_what_cannot_be_tested_says_so(counts: list[int], weights: list[float]) -> None:
    assert isinstance(srm(counts, weights), NoResult)


def test_the_exact_test_is_of_two_arms() -> None:
    assert isinstance(srm([1, 2, 3], [1, 1, 1], test="binomial"), NoResult)
