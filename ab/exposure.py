"""Who was exposed to which arm: from the journal of decisions, and from the samples that they became."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from saima.learning.distinct import first_of_each

_RECORD = pl.Struct(
    {
        "unit": pl.String,
        "experiment": pl.String,
        "arm": pl.String,
        "reason": pl.String,
        "time": pl.Int64,
        "answered": pl.Int64,
        "degraded": pl.List(pl.String),
        "shadow": pl.Boolean,
        "override": pl.Boolean,
    }
)
EXPOSED = ("hashed", "sticky", "penetrated")
"""Reasons of an exposure: the hash placed the unit, now or when its token was written."""

_LAYERS = pl.Struct(
    {"unit": pl.String, "experiment": pl.String, "reason": pl.String, "layers": pl.List(pl.List(pl.String))}
)


@dataclass(frozen=True, slots=True)
class Units:
    """Units of an experiment: `frame` has unit, arm, time (first exposure, int64 ms); mixed counts those left out."""

    frame: pl.DataFrame
    mixed: int

    def counts(self, arms: list[str]) -> list[int]:
        """Units by arm, in the order of `arms`."""
        seen = dict(self.frame.group_by("arm").len().iter_rows())
        return [seen.get(arm, 0) for arm in arms]


def from_journal(journal: pl.LazyFrame, experiment: str) -> pl.LazyFrame:
    """Exposures of an experiment: trace, unit, arm, time; one row a trace, its earliest answer.

    `journal` has trace and record (JSON text of the decision). Overrides, shadow and degraded answers are never
    exposures, nor is a unit that the hash did not place, now or when its token was written.
    """
    record = pl.col("record").str.json_decode(_RECORD)
    # A cheap look at the text first: most of a record is features, and decoding them all would cost the most.
    rows = journal.filter(pl.col("record").str.contains(f'"{experiment}"', literal=True))
    return (
        rows.select(pl.col("trace").cast(pl.String), record.alias("r"))
        .select("trace", *(pl.col("r").struct.field(name) for name in _RECORD.to_schema()))
        .filter(
            (pl.col("experiment") == experiment)
            & pl.col("reason").is_in(EXPOSED)
            & ~pl.col("shadow").fill_null(False)
            & ~pl.col("override").fill_null(False)
            & (pl.col("degraded").list.len().fill_null(0) == 0)
        )
        .sort("answered", maintain_order=True)
        .unique("trace", keep="first", maintain_order=True)
        .select("trace", "unit", "arm", "time")
    )


def alongside(journal: pl.LazyFrame, experiment: str) -> pl.LazyFrame:
    """Arms of other experiments in the same decisions: unit, experiment, arm; one row each, as the hash decided.

    A unit with several arms of another experiment (which splits by something smaller) is left out of it.
    """
    record = pl.col("record").str.json_decode(_LAYERS)
    decided = pl.col("layers")
    return (
        journal.filter(pl.col("record").str.contains(f'"{experiment}"', literal=True))
        .select(record.alias("r"))
        .select(pl.col("r").struct.field(name) for name in _LAYERS.to_schema())
        .filter((pl.col("experiment") == experiment) & pl.col("reason").is_in(EXPOSED))
        .explode("layers")
        .select("unit", decided.list.get(1, null_on_oob=True).alias("experiment"),
                decided.list.get(2, null_on_oob=True).alias("arm"),
                decided.list.get(4, null_on_oob=True).alias("reason"))
        .filter(pl.col("reason").is_in(EXPOSED) & (pl.col("experiment") != experiment))
        .group_by("unit", "experiment")
        .agg(pl.col("arm").n_unique().alias("arms"), pl.col("arm").first())
        .filter(pl.col("arms") == 1)
        .select("unit", "experiment", "arm")
    )  # fmt: skip


def from_samples(samples: pl.LazyFrame, experiment: str) -> pl.LazyFrame:
    """The same from samples alone, where there is no journal: what has a label yet."""
    rows = samples.filter((pl.col("experiment") == experiment) & pl.col("unit").is_not_null() & (pl.col("arm") != ""))
    return first_of_each(rows.select("trace", "unit", "arm", "time").collect(), ["trace"]).lazy()


def units(exposures: pl.LazyFrame) -> Units:
    """One row a unit with its arm and first exposure; a unit seen in several arms is counted and left out."""
    rows = exposures.select("unit", pl.col("arm").cast(pl.String), "time").collect()
    arms = rows["arm"].unique().drop_nulls().sort()
    seen = (
        rows.with_columns(pl.col("arm").cast(pl.Enum(arms)).to_physical())
        .group_by("unit")
        .agg(pl.col("arm").min(), pl.col("arm").max().alias("last"), pl.col("time").min())
    )
    one = seen.filter(pl.col("arm") == pl.col("last")).drop("last").sort("time", "unit")
    frame = one.select("unit", arms.gather(one["arm"]).alias("arm"), "time")
    return Units(frame, seen.height - one.height)
