"""What may be looked at every day keeps its promise when it is looked at every day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab.estimates import NoResult
from ab.sequential import ConfidenceSequence, confidence_sequence, mixture_test
from ab.srm import RatioCheck, srm_sequential

LOOKS = np.unique(np.geomspace(100, 5000, 40).astype(int))


def look(estimate: float, se: float, n: int, **more: object) -> ConfidenceSequence:
    found = confidence_sequence(estimate, se, n, **more)  # type: ignore[arg-type]
    assert isinstance(found, ConfidenceSequence)
    return found


def test_forty_looks_rarely_find_what_is_not_there() -> None:
    random, alarms, peeked = np.random.default_rng(11), 0, 0
    for _ in range(300):
        values = random.normal(0, 1, LOOKS[-1])
        means = np.cumsum(values)[LOOKS - 1] / LOOKS
        errors = 1 / np.sqrt(LOOKS)
        alarms += any(look(m, e, int(n)).p_value < 0.05 for m, e, n in zip(means, errors, LOOKS, strict=True))
        peeked += bool((np.abs(means / errors) > 1.96).any())
    assert alarms <= 300 * 0.05
    assert peeked > 300 * 0.15


def test_forty_looks_at_a_fair_split_rarely_alarm() -> None:
    random, alarms = np.random.default_rng(5), 0
    for _ in range(300):
        heads = np.cumsum(random.random(LOOKS[-1]) < 0.5)[LOOKS - 1]
        for h, n in zip(heads, LOOKS, strict=True):
            found = srm_sequential([int(h), int(n - h)], [0.5, 0.5])
            assert isinstance(found, RatioCheck)
            if found.p_value < 0.05:
                alarms += 1
                break
    assert alarms <= 300 * 0.05


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(0.01, 3), st.integers(2, 10**6))
def test_p_and_interval_agree(estimate: float, se: float, n: int) -> None:
    found = look(estimate, se, n)
    assert found.lower is not None
    assert found.upper is not None
    outside = found.lower > 0 or found.upper < 0
    if abs(found.p_value - 0.05) > 1e-9:
        assert outside == (found.p_value < 0.05)


@pytest.mark.parametrize(("estimate", "se", "n"), [(0.1, 0.0, 10), (float("nan"), 1.0, 10), (0.1, 1.0, 0)])
def test_nothing_to_say(estimate: float, se: float, n: int) -> None:
    assert isinstance(confidence_sequence(estimate, se, n), NoResult)


def test_one_sided_mirrors() -> None:
    more, less = look(0.4, 0.1, 1000, alternative="greater"), look(-0.4, 0.1, 1000, alternative="less")
    assert more.p_value == less.p_value < 0.05
    assert more.lower == -less.upper  # type: ignore[operator]
    assert look(-0.4, 0.1, 1000, alternative="greater").p_value == 0.5


def test_the_mixture_test_refuses_what_it_cannot_weigh() -> None:
    assert isinstance(mixture_test([], 1.0), NoResult)
    assert isinstance(mixture_test([(0.1, 0.0)], 1.0), NoResult)
