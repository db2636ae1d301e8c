"""Posteriors against draws."""

from __future__ import annotations

import numpy as np
import pytest

from ab import bayes


@pytest.mark.parametrize(("control", "treatment"), [((3, 5), (4, 4)), ((11, 91), (16, 86)), ((2.5, 7.5), (3.5, 6.5))])
def test_probability_of_being_better_is_a_share_of_draws(
    control: tuple[float, float], treatment: tuple[float, float]
) -> None:
    random = np.random.default_rng(1)
    draws = random.beta(*treatment, 400_000) > random.beta(*control, 400_000)
    assert bayes.probability_better(control, treatment) == pytest.approx(draws.mean(), abs=0.004)
    assert bayes.probability_better(treatment, control) == pytest.approx(
        1 - bayes.probability_better(control, treatment), abs=1e-9
    )


def test_a_posterior_is_between_prior_and_data() -> None:
    flat, prior = bayes.posterior(0.4, 0.1), bayes.posterior(0.4, 0.1, prior_mean=0.0, prior_variance=0.01)
    assert flat.effect == pytest.approx(0.4)
    assert 0 < prior.effect < 0.4
    assert flat.risk[0] - flat.risk[1] == pytest.approx(flat.effect)
