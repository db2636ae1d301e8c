"""Who and what a report is about: exposures, units, and the samples old enough to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from ab import exposure
from saima.learning.outcomes import PRESUMED, settled
from saima.routing.experiments import Experiment

MATURE = 0.99
"""Share of outcomes that have arrived by the age at which a decision counts; one age for all arms."""

_NOT_QUANTITIES = frozenset(
    [
        "trace",
        "item",
        "time",
        "label",
        "label_time",
        "label_offset",
        "label_appended",
        "weight",
        "version",
        "lineage",
        "experiment",
        "arm",
        "unit",
        "score",
        "offset",
        "day",
        "propensity",
        "epoch",
        "attempt",
        "appended",
    ]
)


BEFORE_DAYS = 28
"""Days before a unit's first exposure from which its covariates are taken."""

_DAY = 86_400_000


@dataclass(frozen=True)
class Population:
    """exposures: trace, unit, arm, time. units: with their one arm. samples: mature ones of those units since their
    first exposure, with their unit's arm. before: samples of the same units before it. immature: samples left out as
    too young. journalled: whether exposures come from the journal. unfit: exposures whose unit is no name, or why none
    of them has one."""

    exposures: pl.DataFrame
    units: exposure.Units
    samples: pl.DataFrame
    before: pl.DataFrame
    immature: int
    cut: int | None
    journalled: bool
    unfit: int | str

    def exposed(self, arms: Sequence[str]) -> list[int]:
        """Mature exposures by arm."""
        return _rows(self._mature(), arms)

    def joined(self, arms: Sequence[str]) -> list[int]:
        """Those of them that have a sample."""
        return _rows(self._mature().join(self.samples.select("trace"), on="trace", how="semi"), arms)

    def rows(self, arms: Sequence[str]) -> list[int]:
        """Samples by arm."""
        return _rows(self.samples, arms)

    def with_outcome(self, arms: Sequence[str]) -> list[int]:
        """Units with a sample, by arm."""
        return _rows(self.samples.select("unit", "arm").unique("unit"), arms)

    @cached_property
    def first_samples(self) -> pl.DataFrame:
        """The first sample of each unit: what was known at its first exposure."""
        return self.samples.sort("time", maintain_order=True).unique("unit", keep="first", maintain_order=True)

    def quantities(self) -> list[str]:
        """Numeric features of the samples."""
        return [
            name
            for name, dtype in self.samples.schema.items()
            if dtype.is_numeric() and name not in _NOT_QUANTITIES and not name.startswith("out.")
        ]

    def _mature(self) -> pl.DataFrame:
        mature = self.exposures if self.cut is None else self.exposures.filter(pl.col("time") <= self.cut)
        return mature.join(self.units.frame.select("unit"), on="unit", how="semi")


def prepare(experiment: Experiment, samples: pl.LazyFrame, journal: pl.LazyFrame | None) -> Population:
    """The population of an experiment. A decision counts when it is older than the age by which 99 % of all outcomes
    arrived, the same age in every arm, so that slow outcomes (late flights) are not missing from the newest days."""
    name = experiment.experiment
    kind = samples.collect_schema().get("unit", pl.String())
    fit = kind in (pl.String, pl.Null) or kind.is_integer() or isinstance(kind, pl.Categorical | pl.Enum)
    texts = pl.col("arm", "experiment", "trace").cast(pl.String)
    unit = pl.col("unit").cast(pl.String) if fit else pl.lit(None, dtype=pl.String).alias("unit")
    named = samples.with_columns(texts, unit)
    own = named.filter((pl.col("experiment") == name) & (pl.col("arm") != "") & pl.col("label").is_not_null()).collect()
    own = settled(own) if "role" in own.columns else own.unique(["trace", "item"], keep="first", maintain_order=True)
    cut = _cut(own)
    mature = own if cut is None else own.filter(pl.col("time") <= cut)
    # Without a journal young decisions are known of by their outcome alone, the sooner the arm's outcomes come.
    seen = exposure.from_samples(mature.lazy(), name) if journal is None else exposure.from_journal(journal, name)
    exposures = seen.collect()
    nameless = exposures.height
    exposures = exposures.filter(pl.col("unit").str.len_bytes() > 0)
    units = exposure.units(exposures.lazy())
    first = units.frame.select("unit", "arm", pl.col("time").alias("exposed"))
    kept = mature.drop("arm").join(first, on="unit").filter(pl.col("time") >= pl.col("exposed")).drop("exposed")
    return Population(
        exposures,
        units,
        kept,
        _before(named, first),
        own.height - mature.height,
        cut,
        journal is not None,
        nameless - exposures.height if fit else f"units are {kind}, neither text nor whole numbers",
    )


def _before(samples: pl.LazyFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Labelled samples of the units, whatever experiment they were of, in the weeks before their first exposure."""
    earliest = first["exposed"].min()
    if not isinstance(earliest, int):
        return samples.limit(0).collect()
    rows = (
        samples.filter(pl.col("label").is_not_null() & (pl.col("time") >= earliest - BEFORE_DAYS * _DAY))
        .join(first.lazy().select("unit", "exposed"), on="unit")
        .filter((pl.col("time") < pl.col("exposed")) & (pl.col("time") >= pl.col("exposed") - BEFORE_DAYS * _DAY))
        .drop("exposed")
        .collect()
    )
    return (
        settled(rows) if "role" in rows.columns else rows.unique(["trace", "item"], keep="first", maintain_order=True)
    )


def _cut(samples: pl.DataFrame) -> int | None:
    """Event time up to which a decision counts: the newest label less the age at which outcomes have arrived.

    A negative that was assumed tells nothing of that age.
    """
    if "label_time" not in samples.columns:
        return None
    came = samples.filter(pl.col("role") != PRESUMED) if "role" in samples.columns else samples
    age = (came["label_time"] - came["time"]).quantile(MATURE, "higher")
    newest = samples["label_time"].max()
    return None if age is None or not isinstance(newest, int) else int(newest - age)


def _rows(frame: pl.DataFrame, arms: Sequence[str]) -> list[int]:
    seen = dict(frame.group_by("arm").len().iter_rows())
    return [seen.get(arm, 0) for arm in arms]
