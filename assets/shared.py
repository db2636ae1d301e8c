"""Shared features as assets: one each with one monitor over all its readers, however many algorithms use it."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from assets import keys, schema
from assets.factory import Assets
from assets.features.history import NAME as HISTORY
from assets.samples import NAME as SAMPLES
from assets.stores import Stores
from saima.features import Algorithm
from saima.features.shared import FOLDER, SharedFeatures, shared_features
from saima.quality import Suite, gate, load_suites

_NEWEST = 20_000


def shared_assets(root: Path, found: Sequence[Assets]) -> tuple[list[dg.AssetSpec], list[dg.AssetChecksDefinition]]:
    """One external asset a file that some algorithm uses, and one check a suite of it."""
    used = [part for part in shared_features(root, [each.algorithm for each in found]) if part.readers]
    suites = load_suites(FOLDER, root) if used else {}
    checks = [
        _monitor(part, suite) for part in used for suite in suites.values() if f"{FOLDER}/{part.name}" in suite.tables
    ]
    return [_spec(part) for part in used], checks


def _spec(part: SharedFeatures) -> dg.AssetSpec:
    readers = ", ".join(reader.name for reader in part.readers)
    first = part.readers[0].declaration
    return dg.AssetSpec(
        keys.key(FOLDER, part.name),
        group_name=keys.FEATURES,
        owners=sorted({reader.declaration.owner for reader in part.readers}),
        kinds={"polars"},
        deps=[keys.live(first.algorithm, topic) for topic in part.declared.sources],
        description=f"{part.declared.description} Declared once in {part.shown}, read by {readers}: one definition, "
        "one computation of its windows and tables, one monitor.",
        tags={f"saima/reader.{reader.name}": "true" for reader in part.readers},
        metadata={"dagster/column_schema": schema.of_shared(part.declared)},
    )


def _monitor(part: SharedFeatures, suite: Suite) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.key(FOLDER, part.name),
        name=f"monitor_{suite.name}",
        description=f"{suite.description} One suite over the newest {_NEWEST} rows of every reader.",
    )
    def monitor(stores: Stores) -> dg.AssetCheckResult:
        rows = newest(stores, part)
        breaches = gate(suite, pl.concat(rows.values())) if rows else []
        shown = {f"rows/{name}": frame.height for name, frame in rows.items()}
        blocking = [breach for breach in breaches if breach.blocking]
        return dg.AssetCheckResult(
            passed=not breaches,
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            description="; ".join(map(str, breaches))
            or (f"{len(suite.checks)} expectations hold" if rows else "no reader has rows yet"),
            metadata={**shown, "expectations": len(suite.checks), "breaches": [str(each) for each in breaches]},
        )

    return monitor


def newest(stores: Stores, part: SharedFeatures) -> dict[str, pl.DataFrame]:
    """The newest rows of the shared features by reader: of its samples or, where it has none yet, of its history."""
    found = {}
    for reader in part.readers:
        table = _table(stores, reader)
        if table is not None:
            lazy = stores.tables.scan(table)
            there = [name for name in part.declared.features if name in lazy.collect_schema().names()]
            if len(there) == len(part.declared.features):
                found[reader.name] = lazy.sort("time").tail(_NEWEST).select(there).collect()
    return found


def _table(stores: Stores, reader: Algorithm) -> str | None:
    for name in (f"{reader.name}/{SAMPLES}", f"{reader.name}/{HISTORY}"):
        if stores.tables.exists(name):
            return name
    return None
