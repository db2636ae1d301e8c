"""Power: what is asked for is reached."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab import power


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 2), st.floats(0.2, 5), st.floats(0.5, 0.95))
def test_units_reach_the_power_they_are_for(effect: float, ratio: float, wanted: float) -> None:
    units = power.t_units(effect, ratio, power=wanted)
    assert power.t_power(effect, units, ratio) >= wanted - 1e-6


def test_more_data_is_asked_for_until_there_is_enough() -> None:
    assert power.additional(0.01, 1000, 0.05) == 0.0
    more = power.additional(0.05, 1000, 0.05)
    always = power.additional(0.05, 1000, 0.05, tuning=5000)
    assert 0 < more < always


def test_an_effect_of_nothing_is_never_found() -> None:
    with pytest.raises(ValueError, match="never found"):
        power.t_units(0.0)
