"""What another policy would have earned, from the logged propensities: IPS, SNIPS and doubly robust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab.estimates import NoResult


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """Value of the policy by inverse propensity, self-normalised, and doubly robust (None without a reward model).

    ess is the effective sample size; `warning` is a sentence where it is below a tenth of the rows.
    """

    ips: float
    snips: float
    dr: float | None
    ess: float
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
    """Estimates from vectors of one length n.

    behaviour, target: probability of the logged action under the logging and under the evaluated policy; reward: what
    came of it; predicted: the reward model at that action; value: its mean under the target policy; clip caps weights.
    """
    pi_b, pi_e, r = (_vector(x) for x in (behaviour, target, reward))
    if not len(r) or (pi_b <= 0).any():
        return NoResult("no row, or a logged action that the logging policy could not take")
    weights = pi_e / pi_b
    if clip is not None:
        weights = np.minimum(weights, clip)
    total = float(weights.sum())
    if total == 0:
        return NoResult("the evaluated policy takes none of the logged actions")
    dr = None
    if predicted is not None and value is not None:
        dr = float(np.mean(_vector(value) + weights * (r - _vector(predicted))))
    ess = total**2 / float((weights**2).sum())
    warning = "" if ess >= 0.1 * len(r) else f"{len(r)} rows weigh like {ess:.0f}: the policies differ too much"
    return OffPolicy(float(np.mean(weights * r)), float((weights * r).sum() / total), dr, ess, warning)


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
