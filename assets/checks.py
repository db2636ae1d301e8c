"""Asset checks that follow a publication: the full validation by Great Expectations, and feature parity."""

import dagster as dg
import polars as pl

from assets import gates, keys
from assets.features.history import NAME as HISTORY
from assets.samples import NAME as SAMPLES
from assets.stores import Stores
from saima.errors import StoreError
from saima.features import Algorithm
from saima.quality import Suite

_NEWEST = 20_000
_PARITY_ROWS = 2_000
_SETTLING_MS = 10_000


def validations(algorithm: Algorithm) -> list[dg.AssetChecksDefinition]:
    """One full validation a suite of the samples and of the live event tables."""
    name = algorithm.name
    tables = {f"{name}/{SAMPLES}": keys.key(name, SAMPLES)}
    tables |= {f"events/{topic}": keys.live(name, topic) for topic in algorithm.declaration.sources}
    return [
        _validation(asset, table, suite) for table, asset in tables.items() for suite in gates.suites(algorithm, table)
    ]


def _validation(asset: dg.AssetKey, table: str, suite: Suite) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=f"validation_{suite.name}",
        description=f"{suite.description} The suite as Great Expectations, on the newest {_NEWEST} rows; the gate has "
        "held each batch against the same suite before.",
    )
    def validation(stores: Stores) -> dg.AssetCheckResult:
        from expectations.great_expectations import validate

        frame = stores.tables.scan(table).sort("time").tail(_NEWEST).collect()
        found = validate(suite, frame)
        return dg.AssetCheckResult(
            passed=bool(found["success"]),
            description="; ".join(f"{each['expected']}: observed {each['observed']}" for each in found["breaches"]),
            metadata={"rows": frame.height, "checked": found["checked"], "failed": found["failed"]},
        )

    return validation


def handover(algorithm: Algorithm) -> dg.AssetChecksDefinition:
    """Check of the backfilled features: batch and stream hold the same windows and rows, to the bit."""

    @dg.asset_check(
        asset=keys.key(algorithm.name, HISTORY),
        name="handover",
        description="Windows and rows built anew from the event tables, history and live, up to the position that the "
        "online store covers: the same bytes as the stream worker's.",
    )
    def check(stores: Stores) -> dg.AssetCheckResult:
        from saima.worker.handover import of_home

        try:
            agreed = of_home(stores.settings, {algorithm.name: algorithm.declaration})
        except StoreError as error:
            return dg.AssetCheckResult(passed=True, description=f"nothing to compare yet: {error}")
        return dg.AssetCheckResult(
            passed=agreed.mismatches == 0,
            description=f"{agreed.mismatches} mismatches in {sum(agreed.keys.values())} keys",
            metadata={
                "position": agreed.position,
                "keys": sum(agreed.keys.values()),
                "mismatches": agreed.mismatches,
                "differing": agreed.differing,
            },
        )

    return check


def parity(algorithm: Algorithm) -> dg.AssetChecksDefinition:
    """Check of the journal: features recomputed as of the logged positions equal the logged ones, to the bit."""
    name = algorithm.name

    @dg.asset_check(
        asset=keys.key(name, "journal"),
        name="parity",
        description=f"The newest {_PARITY_ROWS} decisions: every feature recomputed from the event tables as of the "
        "position that the host read at, and compared with what it logged.",
    )
    def parity(stores: Stores) -> dg.AssetCheckResult:
        from saima.features.parity import check

        tables = stores.tables
        if not tables.exists(f"{name}/journal"):
            return dg.AssetCheckResult(passed=True, description="no decision has been journalled yet")
        journal = settled(tables.scan(f"{name}/journal")).sort("offset").tail(_PARITY_ROWS).collect()
        events = {topic: _accepted(stores, topic) for topic in algorithm.declaration.sources}
        found = check(algorithm, journal, events)
        staleness = {f"staleness_ms/{key}": float(value) for key, value in found.staleness_ms.items()}
        return dg.AssetCheckResult(
            passed=found.mismatches == 0,
            description=f"{found.mismatches} mismatches in {found.rows} rows of {found.features} features",
            metadata={
                "rows": found.rows,
                "features": found.features,
                "mismatches": found.mismatches,
                "largest": {feature: difference for feature, difference in found.largest.items() if difference},
                "skipped": dict(found.skipped),
                **staleness,
            },
        )

    return parity


def settled(journal: pl.LazyFrame) -> pl.LazyFrame:
    """Decisions but for those of the last seconds: tables that they were read from may be drained after the journal."""
    return journal.filter(pl.col("appended") <= pl.col("appended").max() - _SETTLING_MS)


def _accepted(stores: Stores, topic: str) -> pl.LazyFrame:
    try:
        return stores.tables.scan(f"events/{topic}").filter(~pl.col("late"))
    except StoreError as error:
        raise dg.Failure(f"parity needs the table events/{topic}: {error}") from error
