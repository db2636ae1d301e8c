"""Off-policy estimates: laws and warnings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab import off_policy
from ab.estimates import NoResult


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_logging_policy_is_worth_what_it_earned(seed: int) -> None:
    random = np.random.default_rng(seed)
    propensity, reward = random.uniform(0.1, 0.9, 50), random.normal(size=50)
    found = off_policy.evaluate(propensity, propensity, reward)
    assert isinstance(found, off_policy.OffPolicy)
    assert (found.ips, found.snips, found.ess) == pytest.approx((reward.mean(), reward.mean(), 50))
    assert not found.warning


def test_policies_that_hardly_meet_are_warned_about() -> None:
    behaviour, target = [0.01, *[0.9] * 99], [0.99, *[0.001] * 99]
    found = off_policy.evaluate(behaviour, target, [1.0] * 100)
    assert isinstance(found, off_policy.OffPolicy)
    assert "differ too much" in found.warning
    assert isinstance(off_policy.evaluate([0.0], [1.0], [1.0]), NoResult)
    assert isinstance(off_policy.evaluate([], [], []), NoResult)
