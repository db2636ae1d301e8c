"""What the journal and the samples of a routed version show: sums over a window, and the evidence in them. Pure.

A window begins with the version and is followed by the next, in which everything is counted anew: what went well for
weeks must not hide what goes wrong today. Window k has alpha / ((k + 1) (k + 2)), and all of them together have alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from saima.features.durations import milliseconds
from saima.routing.evidence import Counted, bets, of_bets, of_share
from saima.routing.rails import Guardrails
from saima.routing.reference import band

_MEANING = ("missing_share", "drift", "score_range", "calibration", "calibration_scale", "window", "alpha")
"""Settings without which what has been summed means nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: the share of its feature values that is missing, its best score (NaN: no number); None: none."""

    missing: float | None
    score: float | None


class Watch(BaseModel):
    """Sums of one version (publication) in a window that began at `began` (ms UTC), as JSON data.

    missing, drift: (bad, of) decisions. error: sum of the cut errors of `matured` decisions, in the label's unit; won:
    what bets on them have won. band: where the score is looked for, None where there is nothing to compare with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    publication: int
    settings: list[Any]
    began: int
    window: int = 0
    missing: tuple[int, int] = (0, 0)
    drift: tuple[int, int] = (0, 0)
    error: float = 0.0
    matured: int = 0
    won: list[float] = []
    band: tuple[float, float] | None = None


def begin(publication: int, rails: Guardrails, reference: Sequence[float], now: int) -> Watch:
    """A version that is watched from `now` on (ms UTC). reference: scores of earlier decisions of its standby."""
    bounds = rails.score_range
    if bounds is None and rails.drift is not None:
        bounds = band(np.array(reference, np.float64), rails.drift, rails.alpha / 2)
    return Watch(publication=publication, settings=_settings(rails), began=now, band=bounds)


def follows(watch: Watch, publication: int, rails: Guardrails) -> bool:
    """Whether the sums are those of this version under these rails."""
    return watch.publication == publication and watch.settings == _settings(rails)


def at(watch: Watch, rails: Guardrails, now: int) -> Watch:
    """The watch at `now` (ms UTC): its sums, or none where another window has begun."""
    length = milliseconds(rails.window)
    passed = (now - watch.began) // length
    if passed <= 0:
        return watch
    return Watch(
        publication=watch.publication,
        settings=watch.settings,
        began=watch.began + passed * length,
        window=watch.window + passed,
        band=watch.band,
    )


def decided(watch: Watch, decisions: Iterable[Decision], rails: Guardrails) -> Watch:
    """The watch after more decisions of the version; a score that is no number is out of any range."""
    missing, missing_of = watch.missing
    drift, drift_of = watch.drift
    for one in decisions:
        if one.missing is not None:
            missing_of += 1
            missing += one.missing > rails.missing_share
        if one.score is not None and watch.band is not None:
            drift_of += 1
            drift += not watch.band[0] <= one.score <= watch.band[1]
    return watch.model_copy(update={"missing": (missing, missing_of), "drift": (drift, drift_of)})


def matured(watch: Watch, errors: NDArray[np.float64], rails: Guardrails) -> Watch:
    """The watch after more decisions whose outcome is final. errors: label - score, finite, one a decision."""
    if rails.calibration is None or not len(errors):
        return watch
    scale = rails.calibration_scale
    cut = np.clip(errors, -scale, scale)
    won = bets(cut / scale, rails.calibration / scale)
    before = watch.won or [0.0] * len(won)
    return watch.model_copy(
        update={
            "error": watch.error + float(cut.sum()),
            "matured": watch.matured + len(errors),
            "won": [a + b for a, b in zip(before, won, strict=True)],
        }
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Evidence (natural logarithm) that a rail is broken; from `wanted` on it is. bad: how many, or a sum."""

    rail: str
    bad: float
    of: int
    bound: float
    evidence: float
    wanted: float


def found(watch: Watch, rails: Guardrails) -> list[Found]:
    """The rails that the watch tells of."""
    wanted = math.log((watch.window + 1) * (watch.window + 2) / rails.alpha)
    told = []
    if rails.missing is not None:
        told.append(of_counts("missing", Counted(*watch.missing), rails.missing, wanted))
    if rails.drift is not None and watch.band is not None:
        # Half of alpha is for a band that the scores of the reference have made too narrow.
        halved = wanted + (math.log(2) if rails.score_range is None else 0.0)
        told.append(of_counts("drift", Counted(*watch.drift), rails.drift, halved))
    if rails.calibration is not None:
        told.append(Found("calibration", watch.error, watch.matured, rails.calibration, of_bets(watch.won), wanted))
    return told


def of_counts(rail: str, counted: Counted, bound: float, wanted: float) -> Found:
    """Evidence that a share is above its bound."""
    return Found(rail, counted.bad, counted.of, bound, of_share(counted, bound), wanted)


def decision(record: Mapping[str, Any]) -> Decision | None:
    """A journal record as a decision; None for a shadow's and a fallback's.

    Raises KeyError, TypeError, AttributeError or ValueError for what is no such record.
    """
    if record.get("shadow") or any(str(one).startswith("fallback:") for one in record.get("degraded") or ()):
        return None
    values = [value for column in record["features"].values() for value in column]
    lacking = sum(value is None for value in values)
    scores = [math.nan if score is None else float(score) for score in record["scores"]]
    known = [score for score in scores if not math.isnan(score)]
    best = max(known, default=math.nan) if scores else None
    return Decision(lacking / len(values) if values else None, best)


def _settings(rails: Guardrails) -> list[Any]:
    return [list(value) if isinstance(value := getattr(rails, name), tuple) else value for name in _MEANING]
