"""Guardrails as they are declared: what a routed version and a running experiment may do at most."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator

from saima.errors import FieldError
from saima.features.durations import milliseconds

SHARES = ("errors", "rejected", "degraded", "slow", "missing", "drift")
"""Rails that bound a share."""


class Guardrails(BaseModel):
    """What a routed version may do at most before the worker rolls it back; a rail without a bound is off.

    alpha: chance that a version which keeps within a bound is ever rolled back by it, and that an experiment whose
    split is sound is ever stopped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: float | None = Field(None, gt=0, lt=1, description="Share of attempts that fail.")
    rejected: float | None = Field(None, gt=0, lt=1, description="Share of requests turned away, or expired.")
    degraded: float | None = Field(None, gt=0, lt=1, description="Share of answers that lacked something.")
    slow: float | None = Field(None, gt=0, lt=1, description="Share of answers slower than slow_ms: 0.01 bounds p99.")
    slow_ms: int = Field(200, ge=1)
    missing: float | None = Field(None, gt=0, lt=1, description="Share of decisions with too many missing features.")
    missing_share: float = Field(0.5, ge=0, lt=1, description="Share of a decision's feature values above which.")
    drift: float | None = Field(None, gt=0, lt=1, description="Share of decisions whose score is out of range.")
    score_range: tuple[float, float] | None = Field(
        None, description="That range [low, high]; absent: the band of the standby's scores."
    )
    calibration: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Most that the mean of label - score is from 0, matured rows."
    )
    calibration_scale: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Most that one row counts, an error is cut there; probabilities: 1."
    )
    srm: bool = Field(False, description="Whether an experiment is stopped whose arms' sizes do not fit the weights.")
    window: str = Field("6h", description="How long missing, drift and calibration count before they begin anew.")
    alpha: float = Field(0.001, gt=0, lt=1)
    cool_down: str = Field("1h", description="Least time between two breaches of a lineage.")

    @model_validator(mode="after")
    def _consistent(self) -> Guardrails:
        for field in ("cool_down", "window"):
            try:
                milliseconds(getattr(self, field))
            except ValueError as error:
                raise FieldError(str(error), field) from error
        if milliseconds(self.window) < _LEAST_WINDOW:
            raise FieldError(f"a window of {self.window} is shorter than two looks; take 2m or more", "window")
        low, high = self.score_range or (0.0, 1.0)
        if not (low < high and math.isfinite(high - low)):
            raise FieldError(f"[{low:g}, {high:g}] is no range: write [low, high] with low < high", "score_range")
        if self.score_range is not None and self.drift is None:
            raise FieldError("a range bounds nothing without `drift`, the share that may be outside", "score_range")
        if self.calibration is not None and self.calibration >= self.calibration_scale:
            raise FieldError(
                f"errors are cut at calibration_scale {self.calibration_scale:g}, so that their mean is never beyond "
                f"{self.calibration:g}; take a larger scale, in the label's unit",
                "calibration",
            )
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """Bounds of the shares' rails that are on."""
        return {name: bound for name in SHARES if (bound := getattr(self, name)) is not None}

    @property
    def watched(self) -> bool:
        """Whether a rail is on that decisions or samples are read for."""
        return not (self.missing is self.drift is self.calibration is None)


_LEAST_WINDOW = 120_000
"""ms; the tables are looked at once a minute."""
