"""Fusion: which models are needed, and the fused score."""

from __future__ import annotations

import numpy as np
import pytest

from saima.errors import SaimaError
from saima.features import load
from saima.features.plan import compile_fuse

FUSE = compile_fuse(load("flight_delay").declaration)
OUTPUTS = {"delay_xgb.minutes": np.array([10.0, -2.0, np.nan]), "delay_net.minutes": np.array([20.0, 4.0, 1.0])}


def test_a_branch_that_the_parameters_rule_out_needs_no_model() -> None:
    assert FUSE.models_needed() == ["delay_xgb"]
    assert FUSE.models_needed({"net_weight": 0}) == ["delay_xgb"]
    assert FUSE.models_needed({"net_weight": 0.4}) == ["delay_xgb", "delay_net"]


def test_scores() -> None:
    alone = FUSE.evaluate({"delay_xgb.minutes": OUTPUTS["delay_xgb.minutes"]})
    np.testing.assert_array_equal(alone, OUTPUTS["delay_xgb.minutes"])
    fused = FUSE.evaluate(OUTPUTS, {"net_weight": 0.5})
    assert fused.dtype == np.float64
    np.testing.assert_array_equal(fused, [15.0, 1.0, np.nan])


def test_what_is_missing_or_unknown_is_named() -> None:
    with pytest.raises(SaimaError, match=r"needs 'delay_net\.minutes'"):
        FUSE.evaluate({"delay_xgb.minutes": np.zeros(1)}, {"net_weight": 0.4})
    with pytest.raises(SaimaError, match="did you mean 'net_weight'"):
        FUSE.models_needed({"net_wieght": 0.4})
    with pytest.raises(SaimaError, match="must be float32"):
        FUSE.models_needed({"net_weight": "0.4"})
