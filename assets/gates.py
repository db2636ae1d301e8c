"""The live gate as asset checks in the step itself: each suite one Polars select; an error blocks what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from saima.quality import Suite, gate, load_suites

if TYPE_CHECKING:
    from saima.features import Algorithm


def suites(algorithm: Algorithm, table: str) -> list[Suite]:
    """The suites that name a table."""
    return [suite for suite in _known(algorithm.name, algorithm.directory.parent).values() if table in suite.tables]


@cache
def _known(algorithm: str, root: Path) -> dict[str, Suite]:
    return load_suites(algorithm, root)


def specs(algorithm: Algorithm, asset: dg.AssetKey, table: str) -> list[dg.AssetCheckSpec]:
    """One blocking check a suite, which the asset's own step carries out."""
    return [
        dg.AssetCheckSpec(
            name=_name(suite),
            asset=asset,
            blocking=True,
            description=f"{suite.description} {len(suite.checks)} expectations, before anything reads the rows.",
        )
        for suite in suites(algorithm, table)
    ]


def results(
    algorithm: Algorithm,
    asset: dg.AssetKey,
    table: str,
    rows: pl.DataFrame,
    shown: Mapping[str, Any] | None = None,
    whole: bool = True,
) -> Iterator[dg.AssetCheckResult]:
    """Outcome of every suite of the table on these rows.

    `shown` is more metadata: a check is one record a run, where a partitioned asset has one a partition. Where the rows
    are not the table's `whole` columns, checks of the others are left out.
    """
    for suite in suites(algorithm, table):
        checks = [check for check in suite.checks if whole or set(check.columns_read) <= set(rows.columns)]
        breaches = gate(suite.model_copy(update={"checks": checks}), rows)
        blocking = [breach for breach in breaches if breach.blocking]
        yield dg.AssetCheckResult(
            passed=not breaches,
            asset_key=asset,
            check_name=_name(suite),
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            description="; ".join(map(str, breaches)) or f"{len(checks)} expectations hold",
            metadata={
                "rows": rows.height,
                "expectations": len(checks),
                "breaches": [str(each) for each in breaches],
                **(shown or {}),
            },
        )


def _name(suite: Suite) -> str:
    return f"gate_{suite.name}"
