"""Who and what a report is about: exposures, units, and the samples old enough to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from ab import exposure
from saima.learning.distinct import codes, first_of_each
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
    first exposure, with their unit's arm. A unit is a whole number (uint32) in all of them; names: unit, name (its
    text). immature: samples left out as too young. journalled: whether exposures come from the journal. unfit:
    exposures whose unit is no name, or why none of them has one."""

    exposures: pl.DataFrame
    units: exposure.Units
    samples: pl.DataFrame
    names: pl.DataFrame
    immature: int
    cut: int | None
    journalled: bool
    unfit: int | str
    everything: pl.LazyFrame

    def exposed(self, arms: Sequence[str]) -> list[int]:
        """Mature exposures by arm."""
        return _rows(self._mature, arms)

    def joined(self, arms: Sequence[str]) -> list[int]:
        """Those of them that have a sample."""
        mature = self._mature
        if not self.journalled:  # they are samples
            return _rows(mature, arms)
        return _rows(mature.join(self.samples.select("trace"), on="trace", how="semi"), arms)

    def rows(self, arms: Sequence[str]) -> list[int]:
        """Samples by arm."""
        return _rows(self.samples, arms)

    def with_outcome(self, arms: Sequence[str]) -> list[int]:
        """Units with a sample, by arm."""
        return _rows(self.first_samples, arms)

    @cached_property
    def first_samples(self) -> pl.DataFrame:
        """The first sample of each unit: what was known at its first exposure."""
        unit, order = self.samples["unit"].to_numpy(), np.argsort(self.samples["time"].to_numpy(), kind="stable")
        first = np.full(int(unit.max()) + 1 if len(unit) else 0, -1)
        first[unit[order[::-1]]] = order[::-1]  # of a unit's rows the one written last is its earliest
        return self.samples[np.sort(first[first >= 0])]

    @cached_property
    def before(self) -> pl.DataFrame:
        """Labelled samples of the units, whatever experiment they were of, in the weeks before their first exposure."""
        units = self.units.frame.join(self.names, on="unit").select("unit", "name", exposed="time")
        earliest = units["exposed"].min()
        if not isinstance(earliest, int):
            return self.everything.limit(0).cast({"unit": pl.UInt32}).collect()
        since = pl.col("exposed") - BEFORE_DAYS * _DAY
        rows = (
            self.everything.filter(pl.col("label").is_not_null() & (pl.col("time") >= earliest - BEFORE_DAYS * _DAY))
            .rename({"unit": "name"})
            .join(units.lazy(), on="name")
            .filter(pl.col("time").is_between(since, pl.col("exposed"), "left"))
            .drop("exposed", "name")
            .collect()
        )
        return _one_each(rows)

    def quantities(self) -> list[str]:
        """Numeric features of the samples."""
        return [
            name
            for name, dtype in self.samples.schema.items()
            if dtype.is_numeric() and name not in _NOT_QUANTITIES and not name.startswith("out.")
        ]

    @cached_property
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
    own = _one_each(own)
    cut = _cut(own)
    mature = own if cut is None else own.filter(pl.col("time") <= cut)
    immature = own.height - mature.height
    del own
    # Without a journal young decisions are known of by their outcome alone, the sooner the arm's outcomes come.
    seen = None if journal is None else exposure.from_journal(journal, name).collect()
    mature, seen, names = _numbered(mature, seen)
    if seen is None:
        seen = exposure.from_samples(mature.lazy(), name).collect()
    exposures = seen.filter(~pl.col("unit").is_in(names.filter(pl.col("name").fill_null("") == "")["unit"].implode()))
    units = exposure.units(exposures.lazy())
    return Population(
        exposures,
        units,
        _since_exposed(mature, units.frame, names.height),
        names,
        immature,
        cut,
        journal is not None,
        seen.height - exposures.height if fit else f"units are {kind}, neither text nor whole numbers",
        named,
    )


def _one_each(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a candidate: what is known of it last."""
    return settled(rows) if "role" in rows.columns else first_of_each(rows, ["trace", "item"])


def _numbered(
    mature: pl.DataFrame, exposures: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame | None, pl.DataFrame]:
    """Both with units as whole numbers, which sort and look up several times as fast as texts; and their names."""
    texts = mature["unit"] if exposures is None else pl.concat([mature["unit"], exposures["unit"]])
    unit = codes(texts)
    place = np.empty(int(unit.to_numpy().max()) + 1 if len(unit) else 0, np.int64)
    place[unit.to_numpy()] = np.arange(len(unit))
    names = pl.DataFrame({"unit": np.arange(len(place), dtype=np.uint32), "name": texts.gather(place)})
    own, seen = unit[: mature.height].alias("unit"), unit[mature.height :].alias("unit")
    return mature.with_columns(own), None if exposures is None else exposures.with_columns(seen), names


def _since_exposed(samples: pl.DataFrame, units: pl.DataFrame, count: int) -> pl.DataFrame:
    """Samples of the units (their numbers are below `count`) since their first exposure, with their unit's arm."""
    row = np.full(count, -1)
    row[units["unit"].to_numpy()] = np.arange(units.height)
    row = row[samples["unit"].to_numpy()]
    kept = row >= 0
    kept[kept] = samples["time"].to_numpy()[kept] >= units["time"].to_numpy()[row[kept]]
    return samples.filter(kept).with_columns(units["arm"].gather(row[kept]))


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
