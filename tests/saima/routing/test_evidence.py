"""Evidence and bands: the level is kept at every look, where the naive test exceeds it, and faults are seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from saima.routing.evidence import bets, of_bets, of_ratio
from saima.routing.reference import band

FULL = pytest.mark.full
ALPHA = 0.05


@pytest.mark.parametrize("rounds", [200, pytest.param(2000, marks=FULL)])
def test_a_calibrated_version_is_left_alone_at_any_look_while_the_naive_test_is_not(rounds: int) -> None:
    random, margin, looks = np.random.default_rng(5), 0.02, 1000
    always = naive = 0
    for _ in range(rounds):
        score = random.uniform(0.2, 0.8, looks)
        errors = (random.random(looks) < score + margin) - score  # the label's chance is off by the whole margin
        n = np.arange(1, looks + 1)
        z = (np.cumsum(errors) / n - margin) / np.sqrt(np.cumsum(errors**2) / n / n)
        naive += bool((z[50:] > 1.645).any())
        won = np.cumsum([bets(part, margin) for part in np.split(errors, 40)], axis=0)
        always += any(of_bets(each) >= math.log(1 / ALPHA) for each in won.tolist())
    assert always / rounds <= ALPHA
    assert naive / rounds > 3 * ALPHA, "the wrong method must fail here"


@pytest.mark.parametrize("bias", [-0.15, 0.15])
def test_a_bias_is_seen_soon_on_either_side(bias: float) -> None:
    random, seen = np.random.default_rng(6), 0
    for _ in range(50):
        score = random.uniform(0.3, 0.7, 800)
        seen += of_bets(bets((random.random(800) < score + bias) - score, 0.02)) >= math.log(1000)
    assert seen >= 45


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(0, 60), st.floats(0.001, 0.9))
def test_what_bets_have_won_adds_up_whatever_the_slices(errors: list[float], cut: int, margin: float) -> None:
    values = np.array(errors)
    whole, parts = bets(values, margin), [bets(values[:cut], margin), bets(values[cut:], margin)]
    assert whole == pytest.approx(np.sum(parts, axis=0).tolist())
    assert np.isfinite(whole).all()
    assert of_bets(whole) == pytest.approx(
        math.log(np.mean([math.prod(1 + bet * side for side in sides) for bet, sides in _naive(values, margin)])),
        abs=1e-9,
    )


def _naive(errors: np.ndarray, margin: float) -> list[tuple[float, list[float]]]:
    most = 1 / (1 + margin)
    sides = [[float(sign * error - margin) for error in errors] for sign in (1, -1)]
    return [(share * most, side) for side in sides for share in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)]


@pytest.mark.parametrize("rounds", [200, pytest.param(2000, marks=FULL)])
def test_a_sound_split_is_left_alone_at_any_look_while_chi_square_at_each_look_is_not(rounds: int) -> None:
    random, looks = np.random.default_rng(7), 200
    always = naive = 0
    for _ in range(rounds):
        counts = np.cumsum(random.multinomial(20, [0.3, 0.7], looks), axis=0)
        always += any(of_ratio(row, [0.3, 0.7]) >= math.log(1 / ALPHA) for row in counts[::5].tolist())
        expected = counts.sum(axis=1, keepdims=True) * [0.3, 0.7]
        naive += bool((((counts - expected) ** 2 / expected).sum(axis=1)[::5] > stats.chi2.ppf(1 - ALPHA, 1)).any())
    assert always / rounds <= ALPHA
    assert naive / rounds > 3 * ALPHA, "the wrong method must fail here"


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=5))
def test_the_ratio_is_the_dirichlet_multinomials(counts: list[int]) -> None:
    shares = [1 / len(counts)] * len(counts)
    prior = np.full(len(counts), 100 / len(counts))
    beta = [special.gammaln(a).sum() - special.gammaln(a.sum()) for a in (prior + counts, prior)]
    wanted = beta[0] - beta[1] + sum(counts) * math.log(len(counts))
    assert of_ratio(counts, shares) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("n", "bound"), [(200, 0.1), (2000, 0.05)])
def test_new_scores_lie_outside_of_the_band_no_more_often_than_allowed(n: int, bound: float) -> None:
    random, alpha, rounds = np.random.default_rng(8), 0.05, 400
    over = narrow = 0
    for _ in range(rounds):
        low, high = band(random.exponential(size=n), bound, alpha) or (0.0, math.inf)
        outside = 1 - (math.exp(-low) - math.exp(-high))
        over += outside > bound
        narrow += outside > bound / 3
    assert over / rounds <= 1.5 * alpha
    assert narrow / rounds > 0.9, "a band that holds everything would be no rail"
    sample = [np.quantile(random.exponential(size=n), [bound / 2, 1 - bound / 2]) for _ in range(rounds)]
    naive = sum(1 - (math.exp(-low) - math.exp(-high)) > bound for low, high in sample)
    assert naive / rounds > 3 * alpha, "the sample's own quantiles are too narrow half of the time"


@given(st.integers(2, 400), st.sampled_from([0.01, 0.1, 0.4]))
def test_the_band_is_the_narrowest_that_wilks_allows(n: int, bound: float) -> None:
    scores = np.arange(n, dtype=float)
    found = band(scores, bound, 0.01)
    ranks = [r for r in range(1, n // 2 + 1) if 1 - special.betainc(2 * r, n + 1 - 2 * r, bound) <= 0.01]
    assert found == ((ranks[-1] - 1.0, float(n - ranks[-1])) if ranks else None)


def test_no_scores_and_no_numbers_make_no_band() -> None:
    assert band(np.array([]), 0.1, 0.001) is None
    assert band(np.full(5000, np.nan), 0.1, 0.001) is None
    assert band(np.full(5000, 0.5), 0.1, 0.001) == (0.5, 0.5)
