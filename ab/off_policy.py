"""What another policy would have earned, from the logged propensities: IPS, SNIPS and doubly robust."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab.estimates import NoResult

RARE = 100
"""Rewarded rows below which an estimate hangs on a handful of them."""


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """Value of the policy by inverse propensity, self-normalised, and doubly robust (None without a reward model).

    ess is the effective sample size; errors are the standard errors of (ips, snips, dr); `warning` has a sentence where
    the effective sample is below a tenth of the rows, where few rows were rewarded, or where one weighs too much.
    """

    ips: float
    snips: float
    dr: float | None
    ess: float
    errors: tuple[float, float, float | None] = (0.0, 0.0, None)
    warning: str = ""


def evaluate(
    behaviour: ArrayLike,
    target: ArrayLike,
    reward: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    value: ArrayLike | None = None,
    clip: float | None = None,
) -> OffPolicy | NoResult:
    """Estimates from vectors of one length n, one independent decision a row.

    behaviour, target: probability of the logged action under the logging and under the evaluated policy; reward: what
    came of it; predicted: the reward model at that action; value: its mean under the target policy; clip caps weights.
    The reward model is to be fitted on other rows. A value that is not finite gives NoResult.
    """
    pi_b, pi_e, r = (_vector(x) for x in (behaviour, target, reward))
    if not len(r) or (pi_b <= 0).any():
        return NoResult("no row, or a logged action that the logging policy could not take")
    if not all(np.isfinite(x).all() for x in (pi_b, pi_e, r)):
        return NoResult("a probability or a reward is not finite")
    weights = pi_e / pi_b
    if clip is not None:
        weights = np.minimum(weights, clip)
    total, n = float(weights.sum()), len(r)
    if total == 0:
        return NoResult("the evaluated policy takes none of the logged actions")
    ips, snips = float(np.mean(weights * r)), float((weights * r).sum() / total)
    dr = dr_error = None
    if predicted is not None and value is not None:
        each = _vector(value) + weights * (r - _vector(predicted))
        dr, dr_error = float(np.mean(each)), _error(each)
    ess = total**2 / float((weights**2).sum())
    errors = (_error(weights * r), _error(weights * (r - snips)) * n / total, dr_error)
    return OffPolicy(ips, snips, dr, ess, errors, _warning(weights, r, ess))


def _warning(weights: NDArray[np.float64], reward: NDArray[np.float64], ess: float) -> str:
    n, rewarded, said = len(reward), int(np.count_nonzero(reward * weights)), []
    if ess < 0.1 * n:
        said.append(f"{n} rows weigh like {ess:.0f}: the policies differ too much")
    if rewarded < min(RARE, n):
        largest = float(np.max(np.abs(weights * reward), initial=0.0) / max(np.abs(weights * reward).sum(), 1e-300))
        said.append(
            f"only {rewarded} of {n} rows were rewarded, and one of them makes {100 * largest:.0f} % of the estimate"
        )
    return "; ".join(said)


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
