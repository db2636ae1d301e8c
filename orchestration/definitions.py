"""Everything that Dagster knows: assets, checks, jobs, sensors and schedules of every algorithm's folder."""

import dagster as dg

from assets import streams
from assets.factory import all_assets
from assets.shared import shared_assets
from orchestration.automation import automated, reports
from orchestration.jobs import compact_tables, jobs_of, lag_job, shared_jobs
from orchestration.resources import resources
from orchestration.schedules import schedules_of, shared_schedules, upkeep, watch
from orchestration.sensors import cancelled_runs, failed_runs, sensors_of
from saima.settings import settings


def definitions() -> dg.Definitions:
    """Definitions of the algorithms under the settings' folder."""
    root = settings().algorithms
    found = [(each, jobs_of(each)) for each in all_assets(root)]
    shared, monitors = shared_assets(root, [each for each, _ in found])
    every = [each for each, _ in found]
    monitoring = shared_jobs(monitors)
    lags = streams.lag(every)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [*shared, streams.matches(every), *streams.sessions(every)]
    for each, _ in found:
        assets += dg.map_asset_specs(automated, [*streams.tiles(each), *each.specs, *each.definitions, *each.backfills])
    return dg.Definitions(
        assets=assets,
        asset_checks=[
            *monitors,
            *(check for each, _ in found for check in each.checks),
            *lags,
        ],
        jobs=[compact_tables, lag_job(lags), *monitoring, *(job for _, jobs in found for job in jobs)],
        sensors=[
            failed_runs,
            cancelled_runs,
            reports,
            *(sensor for each, jobs in found for sensor in sensors_of(each, jobs)),
        ],
        schedules=[
            upkeep,
            watch,
            *shared_schedules(monitoring),
            *(schedule for each, _ in found for schedule in schedules_of(each)),
        ],
        resources=resources(),
        # Every run is a process of its own already; steps in it share imports and cost nothing to start.
        executor=dg.in_process_executor,
    )


defs = definitions()
