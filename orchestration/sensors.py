"""Sensors: new samples, staleness, runs that failed, and the validation that follows a publication."""

import json
import time
from collections.abc import Iterator, Sequence

import dagster as dg

from assets import retrains
from assets.factory import Assets
from assets.stores import Stores
from orchestration.jobs import Job, validation_job
from saima.decisions import retrain
from saima.decisions.retrain import KINDS

_TICK = 5
_VALIDATION_SECONDS = 300


def sensors_of(assets: Assets, jobs: Sequence[Job]) -> list[dg.SensorDefinition]:
    """Sensors of one algorithm, which start some of its `jobs`; none where nothing of it can be retrained."""
    if not assets.lineages:
        return []
    return [*(_retrain_sensor(assets, jobs, kind) for kind in KINDS), _validation_sensor(assets)]


def _retrain_sensor(assets: Assets, jobs: Sequence[Job], kind: str) -> dg.SensorDefinition:
    """Level-triggered: compares the newest samples with what the lineage has learned, whatever happened meanwhile."""
    declaration = assets.algorithm.declaration
    name = declaration.algorithm
    described = {
        "samples": "Retrains a lineage once enough samples have come that its model has not seen.",
        "staleness": "Retrains a lineage whose newest label lies too far behind the newest sample's.",
    }

    retrains_of = {retrain.job(name, lineage) for lineage in assets.lineages}

    @dg.sensor(
        name=f"{name}_{kind}",
        jobs=[job for job in jobs if job.name in retrains_of],
        minimum_interval_seconds=_TICK,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{described[kind]} The worker's push starts the same job sooner; a claim keeps them apart.",
    )
    def sensor(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult:
        registry = stores.registry
        bind_and_release(context.instance, stores)
        requests, asked = [], json.loads(context.cursor or "{}")
        for lineage, declared in declaration.lineages.items():
            taken = retrain.take_due(registry, name, lineage, declared, time.time_ns() // 1_000_000, kinds=(kind,))
            if taken is None:
                continue
            trigger, claim = taken
            asked[lineage] = trigger.position
            requests.append(
                dg.RunRequest(
                    job_name=retrain.job(name, lineage),
                    run_key=retrain.run_key(lineage, trigger),
                    tags=retrain.tags(name, lineage, claim),
                )
            )
        skip = None if requests else "no lineage is due, or its retrain is queued or running"
        return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=json.dumps(asked))

    return sensor


def bind_and_release(instance: dg.DagsterInstance, stores: Stores) -> None:
    """Bind claims to the runs that were queued with them, and release those of runs that have ended."""
    registry = stores.registry
    for claim in registry.claims():
        if not claim.run_id:
            runs = instance.get_runs(dg.RunsFilter(tags={retrain.TAG_CLAIM: claim.token}), limit=1)
            if runs:
                registry.bind(claim.token, runs[0].run_id)

    for claim in registry.claims():
        run = instance.get_run_by_id(claim.run_id) if claim.run_id else None
        if run is not None and run.status == dg.DagsterRunStatus.SUCCESS:
            registry.release(claim.token)  # it materialized a part of the chain only, so nothing came of it
        elif claim.run_id and (run is None or run.is_finished):
            retrains.fail(registry, claim.run_id, time.time_ns() // 1_000_000)


@dg.run_failure_sensor(
    name="failed_runs",
    monitor_all_code_locations=False,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=_TICK,
    description="A retrain that fails gives its place back and is recorded; the next one waits twice as long.",
)
def failed_runs(context: dg.RunFailureSensorContext, stores: Stores) -> None:
    """Record failed retrains and release their claims."""
    for lineage in retrains.fail(stores.registry, context.dagster_run.run_id, time.time_ns() // 1_000_000):
        context.log.error(f"the retrain of {lineage} failed: {context.failure_event.message}")


@dg.run_status_sensor(
    name="cancelled_runs",
    run_status=dg.DagsterRunStatus.CANCELED,
    monitor_all_code_locations=False,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=_TICK,
    description="A retrain that is cancelled gives its place back.",
)
def cancelled_runs(context: dg.RunStatusSensorContext, stores: Stores) -> None:
    """Record cancelled retrains and release their claims."""
    retrains.fail(stores.registry, context.dagster_run.run_id, time.time_ns() // 1_000_000)


def _validation_sensor(assets: Assets) -> dg.SensorDefinition:
    name = assets.algorithm.name

    @dg.sensor(
        name=f"{name}_validation_after_publication",
        job_name=validation_job(name),
        minimum_interval_seconds=_VALIDATION_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the full validation after a publication: the gate has blocked at once, this tells in full.",
    )
    def sensor(context: dg.SensorEvaluationContext, stores: Stores) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if context.cursor is None:
            context.update_cursor("0")
            yield dg.SkipReason("the system has just been started; the next tick looks")
            return
        newest = max((row.publication for row in stores.registry.bundles(name)), default=0)
        if newest <= int(context.cursor):
            yield dg.SkipReason("nothing has been published since the last validation")
            return
        context.update_cursor(str(newest))
        yield dg.RunRequest(run_key=f"publication-{newest}")

    return sensor
