"""Sketches: within their error on many values, the same bits in one value as in many, the same after any merge."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.features.operators.farmhash import fingerprint64
from saima.features.operators.identity import farmhash
from saima.features.windows.sketches import (
    Buckets,
    Registers,
    bucket,
    buckets,
    distinct,
    precision_of,
    quantile,
    register,
    registers,
    resolution_of,
)


@pytest.mark.parametrize("error", [0.01, 0.05])
@pytest.mark.parametrize("n", [1, 10, 1000, 40_000])
def test_distinct_values_are_counted_within_three_standard_errors(n: int, error: float) -> None:
    precision = precision_of(error)
    found = Registers(precision).of([(0, 0, f"user {value}") for value in range(n)] * 2)
    assert abs(distinct(found, precision) - n) <= 0.5 + 3 * error * n


def test_no_value_is_distinct() -> None:
    assert distinct({}, 14) == 0


@pytest.mark.parametrize("error", [0.5, 0.1, 0.01, 0.001])
@given(values=st.lists(st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30))
def test_a_quantile_is_within_its_error_of_the_value_of_that_rank(values: list[float], error: float) -> None:
    bits = resolution_of(error)
    found = Buckets(bits).of([(0, 0, value) for value in values])
    for percent in (1, 50, 99):
        wanted = float(sorted(values)[percent * (len(values) - 1) // 100])
        got = quantile(found, percent, bits)
        if abs(wanted) < 2.0**-1022:
            assert got == 0
        elif np.isinf(wanted):
            assert got == wanted
        else:
            assert abs(Fraction(got) - Fraction(wanted)) <= Fraction(error) * abs(Fraction(wanted))


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.integers(0, 20))
def test_buckets_of_many_values_are_those_of_each(values: list[float], bits: int) -> None:
    assert buckets(np.array(values), bits).tolist() == [bucket(value, bits) for value in values]
    ordered = [bucket(value, bits) for value in sorted(values)]
    assert ordered == sorted(ordered)


@given(st.lists(st.text() | st.integers(-(2**63), 2**63 - 1).map(str), min_size=1), st.integers(4, 18))
def test_registers_of_many_values_are_those_of_each(texts: list[str], precision: int) -> None:
    digests = pl.DataFrame({"text": texts}).select(farmhash(pl.col("text"))).to_series().to_numpy()
    places, ranks = registers(digests, precision)
    expected = [register(fingerprint64(text.encode()), precision) for text in texts]
    assert list(zip(places.tolist(), ranks.tolist(), strict=True)) == expected


def test_hashes_of_few_bits_have_the_greatest_rank() -> None:
    assert [register(digest, 10) for digest in (0, 1, 2**54, 2**64 - 1)] == [(0, 55), (0, 54), (1, 55), (1023, 1)]
    places, ranks = registers(np.array([0, 1, 2**54, 2**64 - 1], np.uint64), 10)
    assert (places.tolist(), ranks.tolist()) == ([0, 0, 1, 1023], [55, 54, 55, 1])


def test_any_split_of_the_values_gives_the_same_sketch() -> None:
    rng = random.Random(1)
    rows = [(0, seq, rng.randrange(-(10**6), 10**6)) for seq in range(2000)]
    for sketch in (Registers(12), Buckets(6)):
        whole = sketch.of(rows)
        rng.shuffle(rows)
        cuts = sorted(rng.sample(range(1, 2000), 5))
        parts = [sketch.of(rows[a:b]) for a, b in zip([0, *cuts], [*cuts, 2000], strict=True)]
        assert sketch.merge(parts) == whole
        assert sketch.unpack([[packed[0] for packed in map(sketch.pack, parts)]]) == parts
        assert sketch.pack(sketch.merge(parts)) == sketch.pack(whole)


def test_an_error_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 0\.0021"):
        precision_of(0.002)
    with pytest.raises(ValueError, match="at least 5e-07"):
        resolution_of(1e-7)
