"""Tests of shares."""

from __future__ import annotations

import pytest

from ab import proportions
from ab.estimates import Estimate, NoResult


@pytest.mark.parametrize("test", ["z_pooled", "fisher", "boschloo", "barnard", "pearson", "g"])
def test_every_test_of_shares_sees_what_is_plain_and_refuses_what_is_constant(test: proportions.Test) -> None:
    found = proportions.compare((5, 40), (25, 40), test=test)
    assert isinstance(found, Estimate)
    assert found.p_value < 0.001
    assert isinstance(proportions.compare((0, 40), (0, 44), test=test), NoResult)
