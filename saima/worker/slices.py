"""New rows of a table that grows, a bounded slice at a time, so that whoever follows it never reads it whole."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from saima.stores.interfaces import Tables


class Slice(NamedTuple):
    """Rows in order, up to where they go (an offset, or ms of event time), and whether there are more."""

    rows: pl.DataFrame
    upto: int
    more: bool


def records(tables: Tables, journal: str, after: int, most: int, since: int = 0) -> Slice:
    """Offset, appended and record of the journal's rows above an offset, appended at `since` (wall ms) or later.

    What another shard appends below the offset later on is left out: whose it is has nothing to do with what it holds.
    """
    if not tables.exists(journal):
        return Slice(
            pl.DataFrame({"offset": [], "record": []}, {"offset": pl.Int64, "record": pl.String}), after, False
        )
    rows = tables.scan(journal).filter((pl.col("offset") > after) & (pl.col("appended") >= since))
    offsets = rows.select("offset").collect()["offset"].sort()
    if not len(offsets):
        return Slice(rows.select("offset", "record").clear().collect(), after, False)
    upto = int(offsets[min(most, len(offsets)) - 1])
    taken = rows.filter(pl.col("offset") <= upto).select("offset", "record").collect().sort("offset")
    return Slice(taken, upto, len(offsets) > most)


def newest(tables: Tables, journal: str, most: int) -> pl.DataFrame:
    """Offset and record of the journal's last rows."""
    if not tables.exists(journal):
        return records(tables, journal, 0, most).rows
    rows = tables.scan(journal).filter(pl.col("offset") > 0)
    offsets = rows.select("offset").collect()["offset"].sort(descending=True).head(most)
    least = int(offsets[-1]) if len(offsets) else 0
    return rows.filter(pl.col("offset") >= least).select("offset", "record").collect().sort("offset")


def outcomes(tables: Tables, samples: str, after: int, until: int, most: int) -> Slice:
    """Samples of decisions whose time (ms) is above `after` and at most `until`, all rows of a moment together."""
    columns = ("trace", "item", "time", "label", "label_time", "role", "version", "lineage", "score")
    if until <= after or not tables.exists(samples):
        return Slice(pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64)), after, False)
    first, last = (pl.from_epoch(pl.lit(bound), "ms").dt.strftime("%Y-%m-%d") for bound in (after, until))
    rows = tables.scan(samples).filter(
        pl.col("day").is_between(first, last) & (pl.col("time") > after) & (pl.col("time") <= until)
    )
    times = rows.select("time").collect()["time"].sort()
    if not len(times):
        return Slice(rows.select(columns).clear().collect(), until, False)
    upto = int(times[most - 1]) if len(times) > most else until
    return Slice(rows.filter(pl.col("time") <= upto).select(columns).collect(), upto, len(times) > most)
