"""Layers are independent and a ramp moves nobody; a shared salt and a ramp of weights are seen to fail."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from saima.routing.arms import Range, ranges
from saima.routing.buckets import BUCKETS, bucket_expr


def buckets(salts: list[str], units: int) -> pl.DataFrame:
    names = pl.DataFrame({"unit": pl.int_range(units, eager=True).cast(pl.String)})
    return names.select(bucket_expr(salt, "unit").cast(pl.Int64).alias(salt) for salt in salts)


def dependence(one: pl.Series, other: pl.Series, classes: int = 10) -> float:
    """p of the chi-square test that two splits are independent, each cut into equal classes."""
    cell = one * classes // BUCKETS * classes + other * classes // BUCKETS
    table = np.bincount(cell.to_numpy(), minlength=classes**2).reshape(classes, classes)
    return float(stats.chi2_contingency(table).pvalue)


def independent(units: int) -> None:
    salts = [f"layer-{n}" for n in range(5)]
    frame = buckets(salts, units)
    pairs = [(a, b) for i, a in enumerate(salts) for b in salts[i + 1 :]]
    p_values = [dependence(frame[a], frame[b]) for a, b in pairs]
    assert min(p_values) > 0.001 / len(pairs)
    # The wrong method: experiments of two layers that split by one salt.
    assert dependence(frame[salts[0]], frame[salts[0]]) < 1e-12
    assert dependence(frame[salts[0]], (frame[salts[0]] + BUCKETS // 20) % BUCKETS) < 1e-12


def arms(split: list[Range], places: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    found = np.full(len(places), -1)
    for arm, (start, end) in enumerate(split):
        found[((places >= start) & (places < end)).to_numpy()] = arm
    return found


def ramped(units: int) -> None:
    places = buckets(["checkout"], units)["checkout"] / BUCKETS
    weights, steps = [0.5, 0.3, 0.2], (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
    before = np.full(units, -1)
    for coverage in steps:
        now = arms(ranges(weights, coverage), places)
        assert ((before == now) | (before == -1)).all(), "a ramp changed somebody's arm"
        assert ((now >= 0).mean()) == pytest.approx(coverage, abs=4 * (units * 4) ** -0.5)
        before = now
    # The wrong method: weights that grow from a cautious tenth.
    cautious, wide = (arms(ranges(each), places) for each in ([0.9, 0.1], [0.5, 0.5]))
    assert (cautious != wide).mean() > 0.35


def test_layers_of_a_sample_are_independent() -> None:
    independent(100_000)


def test_a_ramp_moves_nobody_of_a_sample() -> None:
    ramped(100_000)


@pytest.mark.full
def test_layers_of_a_million_units_are_independent() -> None:
    independent(1_000_000)


@pytest.mark.full
def test_a_ramp_moves_nobody_of_a_million() -> None:
    ramped(1_000_000)
