"""Schedules: the daily full retrain of every lineage, the daily report, the tables' upkeep."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.factory import Assets
from assets.stores import Stores
from orchestration.jobs import LAG_JOB, SHARED_JOB, compact_tables, report_job
from saima.decisions import retrain


def schedules_of(assets: Assets) -> list[dg.ScheduleDefinition]:
    """Schedules of one algorithm."""
    if not assets.definitions:
        return []
    return [*(_full_retrain(assets, lineage) for lineage in assets.lineages), _report(assets)]


def shared_schedules(jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[dg.ScheduleDefinition]:
    """The schedule of the monitors of shared features."""
    return [
        dg.ScheduleDefinition(
            name=SHARED_JOB,
            cron_schedule="15 * * * *",
            job=job,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Holds the newest values of shared features against their suites, every hour.",
        )
        for job in jobs
    ]


def _full_retrain(assets: Assets, lineage: str) -> dg.ScheduleDefinition:
    """Daily, on all samples, from fresh weights; skipped while a retrain runs or the lineage is on hold."""
    name = assets.algorithm.name

    @dg.schedule(
        name=f"{name}_{lineage}_full_retrain",
        cron_schedule="0 3 * * *",
        job_name=retrain.job(name, lineage),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Trains lineage {lineage} in full on all samples, at 03:00 UTC.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, stores: Stores) -> dg.RunRequest | dg.SkipReason:
        registry = stores.registry
        trigger = retrain.scheduled(retrain.facts(registry, name, lineage))
        claim = retrain.take(registry, name, lineage, trigger)
        if claim is None:
            return dg.SkipReason("a retrain of the lineage is queued or running, or the lineage is on hold")
        return dg.RunRequest(
            run_key=f"full-{context.scheduled_execution_time:%Y-%m-%d}-{trigger.attempt}",
            tags=retrain.tags(name, lineage, claim),
            run_config=full_config(assets, lineage),
        )

    return schedule


def full_config(assets: Assets, lineage: str) -> dict[str, Any]:
    """Run config of a retrain whose models are all trained in full."""
    models = assets.algorithm.declaration.lineages[lineage].train
    return {"ops": {f"{assets.algorithm.name}__{model}": {"config": {"mode": "full"}} for model in models}}


def _report(assets: Assets) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{assets.algorithm.name}_daily_report",
        cron_schedule="30 3 * * *",
        job_name=report_job(assets.algorithm.name),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Writes the reports of all experiments, at 03:30 UTC.",
    )


watch = dg.ScheduleDefinition(
    name=LAG_JOB,
    cron_schedule="*/10 * * * *",
    job_name=LAG_JOB,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at the stream worker's lag, every ten minutes.",
)

upkeep = dg.ScheduleDefinition(
    name="compact_tables",
    cron_schedule="*/15 * * * *",
    job=compact_tables,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Joins the small files of the offline tables, every quarter of an hour.",
)
