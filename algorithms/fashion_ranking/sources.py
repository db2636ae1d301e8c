"""The recorded impressions and clicks of the Open Bandit Dataset as standard events.

Traps and licence: `datasets/open_bandit/SOURCE.md`. Item ids of the two campaigns are two numberings, so an item is
`<campaign>-<number>` here; items come from one table a campaign, whatever the policy that showed them.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import xxhash

HISTORY_START = 1_574_553_600_000
"""2019-11-24 00:00 UTC, before the first impression; the moment at which all items were listed. ms UTC."""

HISTORY_END = 1_574_953_200_000
"""2019-11-29 00:00 in Tokyo: batch owns the events before it, the stream those from it on. ms UTC."""

LEAD = 100
"""A ranking is asked this long before the impression that was recorded. ms."""

CLICK_DELAYS = (2_000, 1_800_000)
"""Least and greatest time from an impression to its click, ms. The recording does not know when a click came."""

CAMPAIGNS = ("all", "men")
POLICIES = ("random", "bts")
TRAITS = ("trait_0", "trait_1", "trait_2", "trait_3")

BASELINE = ("item_hash",)
"""Features whose groups' means are the naive baseline of the click rate."""


def recorded_events(datasets: Path) -> dict[str, pl.LazyFrame]:
    """Events by topic: key, type, time (int64 ms UTC), seq, id and the topic's fields, ordered by (time, seq).

    Raises FileNotFoundError naming the missing file and how to mend it.
    """
    shown = _shown(_folder(datasets))
    clicked = shown.filter(pl.col("click") == 1)
    position = ["trace", "campaign", "position", "segment"]
    return {
        "ranking_asked": _events(shown, "ranking_asked", pl.col("time") - LEAD, [*position, *TRAITS, "affinity"]),
        "impression": _events(
            shown, "impression", pl.col("time"), [*position, "item_id", "policy", "propensity"], "item_id"
        ),
        "click": _events(clicked, "click", pl.col("time") + _delay(), [*position, "item_id"], "item_id"),
        "item_listed": _listed(_items(_folder(datasets))),
    }


def candidates(datasets: Path) -> pl.LazyFrame:
    """The items that a request ranks: all of its campaign."""
    return _items(_folder(datasets)).select("campaign", "item_id").lazy()


def _folder(datasets: Path) -> Path:
    folder = Path(datasets) / "open_bandit"
    names = [f"{policy}_{campaign}.parquet" for policy in POLICIES for campaign in CAMPAIGNS]
    for name in [*names, *(f"item_context_{campaign}.parquet" for campaign in CAMPAIGNS)]:
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing; restore it with `git checkout datasets/open_bandit`")
    return folder


def _shown(folder: Path) -> pl.DataFrame:
    """Impressions of all files, in order of time; `seq` is the place in it, a trace is one impression."""
    files = [(campaign, policy) for campaign in CAMPAIGNS for policy in POLICIES]
    rows = pl.concat(
        [pl.read_parquet(folder / f"{policy}_{campaign}.parquet").with_row_index("row") for campaign, policy in files]
    )
    traits = {name: pl.col(f"user_feature_{place}").str.head(8) for place, name in enumerate(TRAITS)}
    rows = rows.select(
        "campaign",
        "policy",
        "click",
        time=pl.col("timestamp").dt.epoch("ms"),
        position=pl.col("position").cast(pl.Int64),
        propensity=pl.col("propensity_score"),
        item_id=pl.format("{}-{}", "campaign", "item_id"),
        affinity="affinity",
        name=pl.format("{}|{}|{}", "campaign", "policy", "row"),
        **traits,
    ).sort("time", "name")
    traces = pl.Series("trace", [xxhash.xxh3_128_hexdigest(name.encode()) for name in rows["name"]])
    segment = pl.concat_str(*TRAITS[:2], separator="-")
    return rows.with_row_index("seq").with_columns(traces, pl.col("seq").cast(pl.Int64), segment=segment)


def _delay() -> pl.Expr:
    """Milliseconds from an impression to its click, spread by the trace."""
    least, greatest = CLICK_DELAYS
    spread = pl.col("trace").str.head(8).str.to_integer(base=16, dtype=pl.Int64)
    return least + spread % (greatest - least)


def _items(folder: Path) -> pl.DataFrame:
    """Items of both campaigns: what is known of each, and which items of the campaign are of its category and style.

    `like_category` and `like_style` are vectors over the campaign's items, as the users' affinities are: 1 where the
    item is another one of the same kind, else 0.
    """
    return pl.concat([_campaign(pl.read_parquet(folder / f"item_context_{name}.parquet"), name) for name in CAMPAIGNS])


def _campaign(table: pl.DataFrame, campaign: str) -> pl.DataFrame:
    items = table.sort("item_id").select(
        item_id=pl.format("{}-{}", pl.lit(campaign), "item_id"),
        campaign=pl.lit(campaign),
        place=pl.col("item_id").cast(pl.Int64),
        price_index=pl.col("item_feature_0").cast(pl.Float64),
        brand=pl.col("item_feature_1").str.head(8),
        category=pl.col("item_feature_2").str.head(8),
        style=pl.col("item_feature_3").str.head(8),
    )
    if items["place"].to_list() != list(range(items.height)):
        raise ValueError(f"open_bandit: the items of campaign {campaign} are not numbered from 0")
    return items.with_columns(_alike(items[kind]).alias(f"like_{kind}") for kind in ("category", "style"))


def _alike(kinds: pl.Series) -> pl.Series:
    values = kinds.to_list()
    return pl.Series(
        [[float(i != j and mine == other) for j, other in enumerate(values)] for i, mine in enumerate(values)],
        dtype=pl.List(pl.Float32),
    )


def _listed(items: pl.DataFrame) -> pl.LazyFrame:
    fields = ["campaign", "place", "price_index", "brand", "category", "style", "like_category", "like_style"]
    return (
        items.with_row_index("seq")
        .lazy()
        .select(
            key=pl.col("item_id"),
            type=pl.lit("item_listed"),
            time=pl.lit(HISTORY_START, pl.Int64),
            seq=pl.col("seq").cast(pl.Int64),
            id=pl.format("item_listed:{}", "item_id"),
            item_id=pl.col("item_id"),
            **{name: pl.col(name) for name in fields},
        )
    )


def _events(rows: pl.DataFrame, topic: str, time: pl.Expr, fields: list[str], item: str | None = None) -> pl.LazyFrame:
    parts = [pl.col("trace")] if item is None else [pl.col("trace"), pl.col(item)]
    return (
        rows.lazy()
        .select(
            key=pl.col("trace"),
            type=pl.lit(topic),
            time=time,
            seq=pl.col("seq"),
            id=pl.concat_str(pl.lit(topic), *parts, separator=":"),
            **{name: pl.col(name) for name in fields},
        )
        .sort("time", "seq")
    )
