"""Samples whose outcome comes late: what is known of each candidate last, and what each row weighs in the loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saima.learning.distinct import repeated
from saima.learning.labels import WEIGHTED, weights

PRESUMED = "assumed_negative"
"""Role of a row that says 0 before the outcome could come."""

Predict = Callable[[pl.DataFrame], NDArray[np.float64]]


def settled(samples: pl.DataFrame) -> pl.DataFrame:
    """One row a candidate, the one known last, in the order given: a correction replaces an assumed negative.

    Metrics and reports are of these rows; training learns all of them. Samples without `role` stay as they are.
    """
    if "role" not in samples.columns or not samples.height:
        return samples
    several = repeated(samples, ["trace", "item"])
    if several is None:
        return samples
    rows = samples.select("trace", "item", "role", "label_time").with_row_index("_place").filter(several)
    rows = rows.sort(pl.col("role") != PRESUMED, "label_time", "_place")
    last = rows.unique(["trace", "item"], keep="last", maintain_order=True)
    kept = ~several
    kept[last["_place"].to_numpy()] = True
    return samples.filter(kept)


def weighted(samples: pl.DataFrame, scheme: str, before: Predict | None) -> pl.DataFrame:
    """The samples with the scheme's loss weights multiplied into `weight`.

    before: the model before this training, whose chance of a positive freezes the weights. Without one every row keeps
    its weight, as if nothing were likely: right to the first order where positives are rare. Raises SaimaError for a
    scheme that needs more than one model.
    """
    if before is None or scheme not in WEIGHTED or not samples.height:
        return samples
    factors = weights(scheme, samples["label"].to_numpy(), before(samples))
    own = pl.col("weight").fill_null(1.0) if "weight" in samples.columns else pl.lit(1.0)
    return samples.with_columns(weight=own * pl.Series(factors))
