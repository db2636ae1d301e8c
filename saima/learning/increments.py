"""Which samples a training learns: what is new, what is held out, and up to where it has learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.errors import SaimaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.events import Position


@dataclass(frozen=True)
class DataState:
    """What a model has learned.

    position: log position that covers every row learned (0 for history); label_epoch: event time of the newest label,
    ms UTC; appended: wall time at which that label reached the log, ms, 0 for history; rows: how many.
    """

    position: Position
    label_epoch: int
    rows: int
    appended: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; partitions become text."""
        return {
            "position": {str(partition): offset for partition, offset in sorted(self.position.items())},
            "label_epoch": self.label_epoch,
            "rows": self.rows,
            "appended": self.appended,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DataState:
        """What `to_json` wrote."""
        position = {int(partition): int(offset) for partition, offset in document["position"].items()}
        return cls(position, int(document["label_epoch"]), int(document["rows"]), int(document.get("appended", 0)))


def data_state(samples: pl.DataFrame, partition: int = 0) -> DataState:
    """The state of a model that has learned these samples. Raises SaimaError if there are none."""
    if samples.is_empty():
        raise SaimaError("no samples: nothing to learn from yet")
    newest = samples.select(
        offset=pl.col("offset").max().fill_null(0),
        epoch=pl.col("label_time").max().fill_null(0),
        appended=pl.col("label_appended").sort_by("label_time").last().fill_null(0)
        if "label_appended" in samples.columns
        else pl.lit(0),
    ).row(0, named=True)
    return DataState({partition: int(newest["offset"])}, int(newest["epoch"]), samples.height, int(newest["appended"]))


def fresh(samples: pl.LazyFrame, since: DataState | None, partition: int = 0) -> pl.LazyFrame:
    """Samples that a model with state `since` has not learned: those caused by a later log offset; all without one."""
    if since is None:
        return samples
    return samples.filter(pl.col("offset") > since.position.get(partition, 0))


def with_replay(
    samples: pl.DataFrame, since: DataState | None, share: float, seed: int, partition: int = 0
) -> pl.DataFrame:
    """Rows of an incremental training: every fresh one, and a share of the old ones so that they are not forgotten.

    `share` is the number of old rows drawn for each fresh one (2.0: two old for one fresh). Row order is kept.
    """
    if since is None:
        return samples
    is_new = pl.col("offset") > since.position.get(partition, 0)
    numbered = samples.with_row_index("_row")
    new = numbered.filter(is_new)
    old = numbered.filter(~is_new)
    drawn = old.sample(n=min(old.height, round(new.height * share)), seed=seed)
    return pl.concat([drawn, new]).sort("_row").drop("_row")


def hold_out(samples: pl.DataFrame, rows: int, after: DataState | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into (learn, validate): the `rows` newest by label time are validated on, before they are learned.

    With `after`, a champion's state, only rows that it has not learned are held out, so that the comparison is fair to
    both; there may then be fewer than `rows`. Ties of label time are broken by trace and item.
    """
    order = [name for name in ("label_time", "trace", "item") if name in samples.columns]
    ordered = samples.sort(order, maintain_order=True)
    unseen = ordered.height if after is None else ordered.filter(pl.col("label_time") > after.label_epoch).height
    held = min(rows, unseen, ordered.height)
    return ordered.head(ordered.height - held), ordered.tail(held)
