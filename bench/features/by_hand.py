"""The workload's 100 features as one Polars select written by hand, without the language's rules: what a user would."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

BOUNDS = pl.Series([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0])
PAIRS = (("price", "budget"), ("cost", "spent"), ("weight", "age"), ("stock", "visits"))


def select(item_windows: Sequence[str], user_windows: Sequence[str]) -> list[pl.Expr]:
    """Expressions over the frame of inputs, in the declaration's order. Hashes are Polars' own, which are quicker."""
    views, mine, static, profile = (
        lambda name, table=table: pl.col(f"{table}.{name}")
        for table in ("item_views", "user_views", "item_static", "profile")
    )
    made: dict[str, pl.Expr] = {}
    for w in item_windows:
        for measure in ("count", "sum", "mean", "min", "max"):
            made[f"item_{measure}_{w}"] = views(f"{measure}_{w}")
    for column in ("price", "cost", "stars", "weight", "stock"):
        made[f"item_{column}"] = static(column)
        made[f"item_{column}_log"] = static(column).log1p()
        made[f"item_{column}_bin"] = pl.lit(BOUNDS).search_sorted(static(column), side="right")
    for column in ("brand", "category", "colour", "season"):
        made[f"item_{column}_id"] = static(column).hash() % 1000
    made["item_margin"] = (static("price") - static("cost")) / static("price")
    for w in user_windows:
        made[f"user_count_{w}"] = mine(f"count_{w}")
        made[f"user_mean_{w}"] = mine(f"mean_{w}")
    for column in ("age", "budget", "spent", "visits"):
        made[f"user_{column}"] = profile(column)
        made[f"user_{column}_bin"] = pl.lit(BOUNDS).search_sorted(profile(column), side="right")
    made["user_ratio"] = profile("spent") / profile("budget")
    made["user_rate"] = (profile("spent") + 1.0) / (profile("visits") + 10.0)
    for w in item_windows:
        made[f"share_{w}"] = (mine(f"count_{w}") + 1.0) / (views(f"count_{w}") + 20.0)
        made[f"pace_{w}"] = views(f"mean_{w}") / mine(f"mean_{w}")
        made[f"gap_{w}"] = views(f"mean_{w}") - mine(f"mean_{w}")
        made[f"busy_{w}"] = (views(f"count_{w}") > mine(f"count_{w}")).cast(pl.Int64)
        made[f"reach_{w}"] = (views(f"sum_{w}") / mine(f"count_{w}")).clip(0.0, 5000.0)
    for item, user in PAIRS:
        made[f"{item}_of_{user}"] = static(item) / profile(user)
        made[f"{item}_from_{user}"] = (static(item) - profile(user)).abs()
        made[f"{item}_beyond_{user}"] = (static(item) > profile(user)).cast(pl.Int64)
        made[f"{item}_with_{user}"] = (static(item) * profile(user)).sqrt()
        made[f"{item}_least_{user}"] = pl.coalesce(static(item), profile(user)) + 1.0
    return [expr.cast(pl.Float32).fill_null(0.0).alias(name) for name, expr in made.items()]
