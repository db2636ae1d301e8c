"""What a comparison of two arms says: an estimate, or in words why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Alternative = Literal["two-sided", "greater", "less"]
"""What is tested of treatment against control; a one-sided interval is unbounded on the other side."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Treatment against control, in the metric's unit.

    control, treatment: means (adjusted where there is a covariate). effect: treatment - control. lower, upper: its
    interval; None is unbounded. relative_*: the effect over |control|, its interval on the log scale; None where
    control is 0, or, for the interval, where a mean is not positive. variance_*: of one unit.
    theta: the covariate's weight.
    """

    control: float
    treatment: float
    effect: float
    se: float
    lower: float | None
    upper: float | None
    p_value: float
    statistic: float
    relative_effect: float | None
    relative_lower: float | None
    relative_upper: float | None
    n_control: int
    n_treatment: int
    variance_control: float
    variance_treatment: float
    theta: float = 0.0

    @property
    def relative_interval(self) -> bool:
        """Whether the relative effect has an interval."""
        return self.relative_lower is not None or self.relative_upper is not None


@dataclass(frozen=True, slots=True)
class NoResult:
    """There is nothing to compare; `reason` is a sentence for a person."""

    reason: str
