"""Metrics of rankings as unit sums: NDCG and click-through at k, a mean over a user's lists and then over users."""

from __future__ import annotations

import polars as pl


def ndcg(items: pl.LazyFrame, k: int) -> pl.LazyFrame:
    """Unit sums of NDCG@k: unit, arm, day, `ndcg@k:value` (sum over lists), `ndcg@k:denominator` (lists).

    items: unit, arm, day, list, rank (1 is the top), gain (>= 0), one row an item shown. A list without any gain says
    nothing of its order and is left out. Järvelin, Kekäläinen (2002): gain / log2(rank + 1), over the best order's.
    """
    _positive(k)
    discount = 1 / (pl.col("rank") + 1).log(2)
    best = pl.col("gain").rank("ordinal", descending=True).over("unit", "arm", "day", "list")
    lists = (
        items.with_columns(best=best)
        .group_by("unit", "arm", "day", "list")
        .agg(
            (pl.col("gain") * discount).filter(pl.col("rank") <= k).sum().alias("gained"),
            (pl.col("gain") / (pl.col("best") + 1).log(2)).filter(pl.col("best") <= k).sum().alias("best"),
        )
        .filter(pl.col("best") > 0)
    )
    return _summed(lists.with_columns(value=pl.col("gained") / pl.col("best")), f"ndcg@{k}")


def click_through(items: pl.LazyFrame, k: int) -> pl.LazyFrame:
    """Unit sums of CTR@k per user: unit, arm, day, `ctr@k:value` (clicks in the top k), `ctr@k:denominator` (shown).

    items: unit, arm, day, rank (1 is the top), gain (1 for a click), one row an item shown.
    """
    _positive(k)
    top = items.filter(pl.col("rank") <= k).with_columns(value=pl.col("gain").cast(pl.Float64))
    return _summed(top, f"ctr@{k}")


def _summed(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    return rows.group_by("unit", "arm", "day").agg(
        pl.col("value").sum().alias(f"{name}:value"), pl.len().cast(pl.Float64).alias(f"{name}:denominator")
    )


def _positive(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}; a list is cut after 1 item or more")
