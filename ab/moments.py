"""Sufficient statistics of an arm: one lazy Polars group_by into tea-tasting's `Aggregates`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import polars as pl
from tea_tasting.aggr import Aggregates

from ab.estimates import NoResult


def from_sums(
    n: int, sums: Mapping[str, float], squares: Mapping[str, float], products: Mapping[str, float] | None = None
) -> Aggregates | NoResult:
    """Moments of n units from sums, sums of squares and sums of products (keyed `a*b`, names in alphabetical order)."""
    if n < 2:
        return NoResult(f"an arm has {n} units; a variance needs at least 2")
    means = {name: total / n for name, total in sums.items()}

    def covariance(product: float, left: str, right: str) -> float:
        return (product - n * means[left] * means[right]) / (n - 1)

    return Aggregates(
        count_=n,
        mean_=means,
        var_={name: covariance(square, name, name) for name, square in squares.items()},
        cov_={_pair(key): covariance(product, *_pair(key)) for key, product in (products or {}).items()},
    )


def from_moments(
    n: int, means: Mapping[str, float], variances: Mapping[str, float], covariances: Mapping[str, float] | None = None
) -> Aggregates | NoResult:
    """Moments as they are; variances and covariances of the sample (n - 1), covariances keyed `a*b`."""
    if n < 2:
        return NoResult(f"an arm has {n} units; a variance needs at least 2")
    return Aggregates(
        count_=n,
        mean_=dict(means),
        var_=dict(variances),
        cov_={_pair(key): value for key, value in (covariances or {}).items()},
    )


def from_frame(
    units: pl.LazyFrame,
    group: str | Sequence[str],
    columns: Sequence[str],
    pairs: Iterable[tuple[str, str]] | None = None,
) -> dict[tuple[object, ...], Aggregates]:
    """Moments by group of a frame with one row a unit.

    `group` is one column or several; the keys of the answer are tuples of their values. `pairs` are the columns whose
    covariance is wanted; None: every pair. A group of one unit has variance NaN, which `means.compare` refuses.
    """
    keys = [group] if isinstance(group, str) else list(group)
    wanted = [_ordered(a, b) for a, b in (combinations(sorted(columns), 2) if pairs is None else pairs)]
    frame = (
        units.group_by(keys)
        .agg(
            pl.len().alias("n"),
            *(pl.col(name).cast(pl.Float64).mean().alias(f"mean:{name}") for name in columns),
            *(pl.col(name).cast(pl.Float64).var().alias(f"var:{name}") for name in columns),
            *(pl.cov(pl.col(a).cast(pl.Float64), pl.col(b).cast(pl.Float64)).alias(f"cov:{a}*{b}") for a, b in wanted),
        )
        .collect(engine="in-memory")
    )
    return {
        tuple(row[key] for key in keys): Aggregates(
            count_=row["n"],
            mean_={name: _number(row[f"mean:{name}"]) for name in columns},
            var_={name: _number(row[f"var:{name}"]) for name in columns},
            cov_={(a, b): _number(row[f"cov:{a}*{b}"]) for a, b in wanted},
        )
        for row in frame.to_dicts()
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _ordered(left: str, right: str) -> tuple[str, str]:
    return (left, right) if left <= right else (right, left)


def _pair(key: str) -> tuple[str, str]:
    left, _, right = key.partition("*")
    return _ordered(left, right)
