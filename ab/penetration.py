"""Joint device-cloud layers: which arm the device used, and which the cloud; both must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Penetration:
    """Decisions by (device's arm, cloud's arm), in order of `arms`; an arm "" or unknown stands under `none`."""

    arms: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]

    @property
    def decisions(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def failures(self) -> int:
        """Those whose two arms differ."""
        return sum(count for (device, cloud), count in self.counts.items() if device != cloud)


NONE = "none"


def matrix(decisions: pl.LazyFrame, arms: Sequence[str]) -> Penetration:
    """The matrix of decisions with columns device_arm and arm (text); one without a device's arm is left out."""

    def known(column: str) -> pl.Expr:
        text = pl.col(column).cast(pl.String)
        return pl.when(text.is_in(list(arms))).then(text).otherwise(pl.lit(NONE)).alias(column)

    counted = (
        decisions.filter(pl.col("device_arm").is_not_null())
        .select(known("device_arm"), known("arm"))
        .group_by("device_arm", "arm")
        .len()
        .collect()
    )
    return Penetration(tuple(arms), {(device, cloud): count for device, cloud, count in counted.iter_rows()})
