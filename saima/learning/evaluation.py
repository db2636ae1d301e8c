"""How good a model is, beside naive baselines and beside the champion.

Progressive validation: a candidate and the champion both predict rows that neither has learned; a candidate that loses
is not bundled.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from saima.errors import SaimaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

THRESHOLD = 15.0
"""Minutes from which on a flight counts as delayed; where `auc` cuts a regression's label."""


@dataclass(frozen=True)
class Metrics:
    """Errors over `rows` labelled rows. `auc` and `r2` are None where they have no meaning (one class, no variance).

    `log_loss` is that of a chance of 1, in nats a row; None where labels are no outcomes of 0 and 1.
    """

    rows: int
    mae: float
    rmse: float
    r2: float | None
    auc: float | None
    log_loss: float | None = None

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values by name."""
        return asdict(self)


def mae(label: ArrayLike, score: ArrayLike) -> float:
    """Mean absolute error, in the label's unit.

    >>> mae([1.0, 3.0], [2.0, 2.0])
    1.0
    """
    return float(np.abs(_float(label) - _float(score)).mean())


def rmse(label: ArrayLike, score: ArrayLike) -> float:
    """Root of the mean squared error, in the label's unit.

    >>> rmse([0.0, 0.0], [3.0, 4.0])
    3.5355339059327378
    """
    return math.sqrt(float(np.square(_float(label) - _float(score)).mean()))


def r2(label: ArrayLike, score: ArrayLike) -> float | None:
    """Share of the label's variance that the score explains; None if the label does not vary.

    >>> r2([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    0.0
    """
    truth = _float(label)
    total = float(np.square(truth - truth.mean()).sum())
    return 1.0 - float(np.square(truth - _float(score)).sum()) / total if total > 0 else None


def auc(positive: ArrayLike, score: ArrayLike) -> float | None:
    """Chance that a positive row scores above a negative one, ties counting half; None with one class only.

    >>> auc([False, True, True], [1.0, 1.0, 2.0])
    0.75
    """
    hit = np.asarray(positive, dtype=bool)
    positives, negatives = int(hit.sum()), int((~hit).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(_float(score), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[inverse]
    return float((ranks[hit].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def log_loss(label: ArrayLike, score: ArrayLike) -> float:
    """Mean of -ln of the chance that the score gave to what happened; chances are kept 1e-9 away from 0 and 1.

    >>> round(log_loss([1.0, 0.0], [0.5, 0.5]), 6)
    0.693147
    """
    chance = np.clip(_float(score), 1e-9, 1 - 1e-9)
    return float(-np.where(_float(label) > 0.5, np.log(chance), np.log1p(-chance)).mean())


def measure(label: ArrayLike, score: ArrayLike, threshold: float = THRESHOLD, *, binary: bool = False) -> Metrics:
    """All metrics at once.

    threshold: where `auc` cuts the label; binary: labels are 0 or 1, scores the chance of 1, and the cut is between.
    Raises SaimaError if there are no rows, lengths differ, or a value is not finite.
    """
    truth, guess = _float(label), _float(score)
    if truth.shape != guess.shape or truth.ndim != 1:
        raise SaimaError(f"labels {truth.shape} and scores {guess.shape} are not of one length")
    if not truth.size:
        raise SaimaError("no labelled rows to evaluate on")
    for name, values in (("label", truth), ("score", guess)):
        if not np.isfinite(values).all():
            raise SaimaError(f"{int((~np.isfinite(values)).sum())} of {values.size} values of {name} are not finite")
    ranked = auc(truth > (0.5 if binary else threshold), guess)
    loss = log_loss(truth, guess) if binary else None
    return Metrics(truth.size, mae(truth, guess), rmse(truth, guess), r2(truth, guess), ranked, loss)


def baselines(
    train: pl.DataFrame, test: pl.DataFrame, label: str, group: Sequence[str] = (), smoothing: float = 20.0
) -> dict[str, NDArray[np.float64]]:
    """Scores of the naive baselines on `test`: `training_mean`, and `group_mean` if `group` names columns.

    A group's mean is drawn to the overall mean by `smoothing` rows; a group unseen in training has the overall mean.
    """
    known = train.filter(pl.col(label).is_not_null())
    if known.is_empty():
        raise SaimaError(f"no training row has a label in '{label}'")
    overall = float(known[label].cast(pl.Float64).to_numpy().mean())
    scores = {"training_mean": np.full(test.height, overall)}
    if group:
        total = pl.col(label).cast(pl.Float64).sum()
        means = known.group_by(group).agg(_mean=(total + overall * smoothing) / (pl.len() + smoothing))
        joined = test.select(group).join(means, on=list(group), how="left", maintain_order="left", nulls_equal=True)
        scores["group_mean"] = joined["_mean"].fill_null(overall).to_numpy()
    return scores


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate may be bundled, and why, in words."""

    passed: bool
    reason: str


def gate(
    candidate: Metrics, champion: Metrics | None, tolerance: float = 0.02, least_rows: int = 100, metric: str = "mae"
) -> Verdict:
    """Compare a candidate with the champion on the same rows, which neither has learned.

    It loses when its error is above the champion's by more than the share `tolerance` (which keeps noise on small
    sets from stopping a refresh). Without a champion it passes; on fewer than `least_rows` rows nothing can be said and
    it passes, saying so. `metric` is mae, rmse, log_loss or auc (of which more is better).
    """
    if champion is None:
        return Verdict(True, f"no champion; {metric} {_text(getattr(candidate, metric))} on {candidate.rows} rows")
    if candidate.rows != champion.rows:
        raise SaimaError(f"candidate measured on {candidate.rows} rows, champion on {champion.rows}: not the same rows")
    if candidate.rows < least_rows:
        return Verdict(True, f"{candidate.rows} rows are too few to compare (least {least_rows})")
    new, old = getattr(candidate, metric), getattr(champion, metric)
    if new is None or old is None:
        return Verdict(True, f"{metric} cannot be measured on these {candidate.rows} rows")
    worse = new < old * (1 - tolerance) if metric == "auc" else new > old * (1 + tolerance)
    words = f"{metric} {_text(new)} against the champion's {_text(old)} on {candidate.rows} rows"
    return Verdict(not worse, f"the candidate loses: {words}" if worse else words)


def _float(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
