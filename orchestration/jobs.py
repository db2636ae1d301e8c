"""Jobs: the first materialization, one retrain a lineage, the reports, the full validation, the tables' upkeep."""

import time
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.factory import Assets
from assets.stores import BACKGROUND, Stores
from saima.decisions import retrain
from saima.settings import settings

SHARED_JOB, LAG_JOB = "shared_features_monitor", "stream_lag"

Job = dg.JobDefinition | UnresolvedAssetJobDefinition


def jobs_of(assets: Assets) -> list[Job]:
    """Jobs of one algorithm; none where nothing of it can be materialized."""
    if not assets.definitions:
        return []
    name = assets.algorithm.name
    tags = {retrain.TAG_ALGORITHM: name}
    everything = [key for each in assets.definitions for key in each.keys]
    return [
        dg.define_asset_job(
            bootstrap_job(name),
            selection=_with_gates(assets, everything),
            description=f"History, features, samples, models, bundles, deployments and reports of {name} in one run.",
            tags=tags,
        ),
        *(
            dg.define_asset_job(
                retrain.job(name, lineage),
                selection=_with_gates(assets, assets.retrained(lineage)),
                description=f"Train, evaluate, bundle and route lineage {lineage}: {declared.description}",
                tags={**tags, retrain.TAG_LINEAGE: lineage, "dagster/priority": "10"},
            )
            for lineage, declared in assets.algorithm.declaration.lineages.items()
        ),
        dg.define_asset_job(
            report_job(name),
            selection=dg.AssetSelection.assets(*assets.reports),
            description=f"Reports of the experiments of {name}.",
            tags=tags,
        ),
        dg.define_asset_job(
            validation_job(name),
            selection=dg.AssetSelection.checks(*(key for each in assets.checks for key in each.check_keys)),
            description="Great Expectations in full, and feature parity of the newest decisions.",
            tags={**tags, **BACKGROUND},
        ),
    ]


def shared_jobs(checks: Sequence[dg.AssetChecksDefinition]) -> list[UnresolvedAssetJobDefinition]:
    """The job that carries out the monitors of shared features; none where nothing is shared."""
    if not checks:
        return []
    return [
        dg.define_asset_job(
            SHARED_JOB,
            selection=dg.AssetSelection.checks(*(key for each in checks for key in each.check_keys)),
            description="The monitors of features that several algorithms share: one each, over all its readers.",
            tags=BACKGROUND,
        )
    ]


def lag_job(checks: Sequence[dg.AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """The job that carries out the checks on the stream worker's lag."""
    return dg.define_asset_job(
        LAG_JOB,
        selection=dg.AssetSelection.checks(*(key for each in checks for key in each.check_keys)),
        description="Whether the stream worker runs and keeps up.",
        tags=BACKGROUND,
    )


def bootstrap_job(algorithm: str) -> str:
    """Name of the job that materializes everything."""
    return f"{algorithm}_bootstrap"


def report_job(algorithm: str) -> str:
    """Name of the reports' job."""
    return f"{algorithm}_report"


def validation_job(algorithm: str) -> str:
    """Name of the job that validates in full."""
    return f"{algorithm}_validation"


@dg.op(description="Join the small files that appends leave behind; older versions stay readable.")
def compact(context: dg.OpExecutionContext, stores: Stores) -> None:
    """Compact every offline table."""
    tables = stores.tables
    for name in tables.names():
        tables.compact(name)
        context.log.info(f"compacted {name}, now at version {tables.version(name)}")


@dg.op(description="Delete bundles that no deployment wants any more, but for the newest ten of each lineage.")
def prune_bundles(context: dg.OpExecutionContext, stores: Stores) -> None:
    """Prune the bundles of every algorithm."""
    from serving.retention import prune

    now = time.time_ns() // 1_000_000
    for path in sorted(settings().algorithms.glob("*/algorithm.yaml")):
        gone = prune(stores.registry, path.parent.name, now=now)
        context.log.info(f"{path.parent.name}: {len(gone)} bundles deleted")


@dg.job(
    name="compact_tables",
    description="Upkeep: joins the small files of the offline tables, deletes bundles that nobody can route.",
    tags=BACKGROUND,
)
def compact_tables() -> None:
    """Upkeep of the offline tables and of the bundles."""
    compact()
    prune_bundles()


def _with_gates(assets: Assets, keys: Sequence[dg.AssetKey]) -> dg.AssetSelection:
    """Assets with the checks that their own steps carry out, without those that follow a publication."""
    chosen = set(keys)
    gates = [key for each in assets.definitions for key in each.check_keys if key.asset_key in chosen]
    selection = dg.AssetSelection.assets(*keys).without_checks()
    return selection | dg.AssetSelection.checks(*gates) if gates else selection
