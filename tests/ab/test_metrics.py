"""Metrics are expressions; their sums are of units."""

from __future__ import annotations

import polars as pl
import pytest

from ab.metrics import sums
from saima.errors import DeclarationError
from saima.routing.experiments import Metric

ROWS = pl.LazyFrame(
    {
        "unit": ["u", "u", "v"],
        "arm": ["a", "a", "b"],
        "time": [0, 3_600_000, 86_400_000],
        "label": [1.0, 3.0, 5.0],
        "score": [2.0, float("nan"), 1.0],
        "name": ["x", "y", "z"],
    }
)


def test_a_missing_value_counts_nowhere() -> None:
    found = sums(ROWS, {"error": Metric(value="abs(label - score)")}).sort("unit").collect()
    assert found.rows() == [("u", "a", "1970-01-01", 1.0, 1.0), ("v", "b", "1970-01-02", 4.0, 1.0)]


def test_a_ratio_has_its_own_denominator() -> None:
    metric = Metric(value="label", kind="ratio", denominator="label * 2")
    found = sums(ROWS, {"half": metric}).sort("unit").collect()
    assert found.select("half:value", "half:denominator").rows() == [(4.0, 8.0), (5.0, 10.0)]


def test_a_truth_is_a_share() -> None:
    found = sums(ROWS, {"high": Metric(value="label > 2", kind="proportion")}).sort("unit").collect()
    assert found.select("high:value", "high:denominator").rows() == [(1.0, 2.0), (1.0, 1.0)]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("abs(lable)", "did you mean 'label'"),
        ("name", "not a number"),
        ("label +", "metrics.m.value"),
        ("", "metrics.m"),
    ],
)
def test_a_bad_metric_is_named(value: str, part: str) -> None:
    with pytest.raises(DeclarationError, match=r"metrics\.m\.value") as caught:
        sums(ROWS, {"m": Metric(value=value)})
    assert part in str(caught.value)
