"""Weights of the delayed-feedback schemes. Gradients never flow through a weight: it is a constant of the row.

Ktena et al. 2019 (FNW, FNC), Yang et al. 2021 (ES-DFM), Gu et al. 2021 (DEFER), Chapelle 2014 (DFM). Every function is
elementwise over float64 arrays, and finite for any finite logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from saima.errors import SaimaError, suggest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SCHEMES = ("once", "waited", "fnw", "fnc", "esdfm", "defer", "dfm")
WEIGHTED = ("fnw", "esdfm", "defer")
"""Schemes whose rows weigh by what a model before them thought."""

CEILING = 1.0 - 1e-6
"""FNC's correction is clipped here: near q = 1/2 it leaves [0, 1]."""


@dataclass(frozen=True)
class Weights:
    """Loss weights of a row if its label is 1, and if it is 0."""

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def sigmoid(logit: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + e^-x) without overflow.

    >>> float(sigmoid(0.0))
    0.5
    """
    x = np.asarray(logit, dtype=np.float64)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def softplus(x: ArrayLike) -> NDArray[np.float64]:
    """ln(1 + e^x) without overflow; softplus(-logit) is the loss of a positive, softplus(logit) of a negative."""
    return np.logaddexp(0.0, np.asarray(x, dtype=np.float64))


def fnw(p: ArrayLike) -> Weights:
    """Fake negative weighted: every row is fed as a negative at once, a positive again when its label comes.

    w+ = 1 + p, w- = (1 - p)(1 + p).
    """
    p = np.asarray(p, dtype=np.float64)
    return Weights(1.0 + p, (1.0 - p) * (1.0 + p))


def fnc(q: ArrayLike) -> NDArray[np.float64]:
    """Fake negative calibration: what a model trained plainly on FNW's rows means, q / (1 - q), at most 1 - 1e-6."""
    q = np.asarray(q, dtype=np.float64)
    return np.minimum(q / np.maximum(1.0 - q, np.finfo(np.float64).tiny), CEILING)


def es_dfm(p1: ArrayLike, p_dp: ArrayLike) -> Weights:
    """Elapsed-time sampling: the label at w, a correction when it comes after w.

    p1 = P(positive), p_dp = P(positive after the wait); w+ = 1 + p_dp, w- = (1 + p_dp) p0 / (p0 + p_dp).
    """
    p1, p_dp = np.asarray(p1, dtype=np.float64), np.asarray(p_dp, dtype=np.float64)
    return Weights(1.0 + p_dp, (1.0 + p_dp) * real_negative(p1, p_dp))


def real_negative(p1: ArrayLike, p_dp: ArrayLike) -> NDArray[np.float64]:
    """ES-DFM's chance that an observed negative is a real one, p0 / (p0 + p_dp); 1 where both are 0."""
    p1, p_dp = np.asarray(p1, dtype=np.float64), np.asarray(p_dp, dtype=np.float64)
    p0 = 1.0 - p1
    chance = np.ones(np.broadcast(p0, p_dp).shape)
    np.divide(p0, p0 + p_dp, out=chance, where=(p0 + p_dp) > 0)
    return chance


def defer(p1: ArrayLike, p_dp: ArrayLike) -> Weights:
    """DEFER: every row twice, at w and with its real label at the end.

    w+ = p1 / (p1 - p_dp / 2), w- = p0 / (p0 + p_dp / 2); 1 where the denominator is 0.
    """
    p1, p_dp = np.asarray(p1, dtype=np.float64), np.asarray(p_dp, dtype=np.float64)
    p0, half = 1.0 - p1, p_dp / 2.0
    ones = np.ones(np.broadcast(p1, p_dp).shape)
    return Weights(
        np.divide(p1, p1 - half, out=ones.copy(), where=(p1 - half) > 0),
        np.divide(p0, p0 + half, out=ones.copy(), where=(p0 + half) > 0),
    )


def dfm_positive_loss(p: ArrayLike, rate: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
    """DFM's loss of a row that has converted after `delay`: -ln p - ln rate + rate delay."""
    p, rate, delay = (np.asarray(value, dtype=np.float64) for value in (p, rate, delay))
    return np.asarray(rate * delay - np.log(p) - np.log(rate))


def dfm_waiting_loss(p: ArrayLike, rate: ArrayLike, elapsed: ArrayLike) -> NDArray[np.float64]:
    """DFM's loss of a row that has not converted after `elapsed` of event time: -ln(1 - p + p e^(-rate elapsed))."""
    p, rate, elapsed = (np.asarray(value, dtype=np.float64) for value in (p, rate, elapsed))
    return np.asarray(-np.log1p(p * np.expm1(-rate * elapsed)))


def dfm_posterior(p: ArrayLike, rate: ArrayLike, elapsed: ArrayLike) -> NDArray[np.float64]:
    """Chance that a row that has not converted after `elapsed` still will."""
    p, rate, elapsed = (np.asarray(value, dtype=np.float64) for value in (p, rate, elapsed))
    later = p * np.exp(-rate * elapsed)
    return np.asarray(later / (1.0 - p + later))


def weights(scheme: str, label: ArrayLike, p: ArrayLike | None = None, p_dp: ArrayLike | None = None) -> Floats:
    """The weight column of rows with these labels, frozen from the model before the increment.

    `p` is that model's chance of a positive (fnw, esdfm, defer), `p_dp` its chance of a positive after the wait (esdfm,
    defer). once, waited, fnc and dfm weigh every row 1. Raises SaimaError naming the input that is missing.
    """
    label = np.asarray(label, dtype=np.float64)
    if scheme not in SCHEMES:
        raise SaimaError(f"unknown label scheme '{scheme}'{suggest(scheme, SCHEMES)}; known: {', '.join(SCHEMES)}")
    if scheme not in WEIGHTED:
        return np.ones(label.shape)
    if p is None:
        raise SaimaError(f"label scheme '{scheme}' needs p, the previous model's chance of a positive")
    if scheme == "fnw":
        chosen = fnw(p)
    elif p_dp is None:
        raise SaimaError(f"label scheme '{scheme}' needs p_dp, the chance of a positive after the wait")
    else:
        chosen = es_dfm(p, p_dp) if scheme == "esdfm" else defer(p, p_dp)
    return np.where(label > 0, chosen.positive, chosen.negative)
