"""The first materialization, in this process: `python -m orchestration.bootstrap <algorithm>`.

Runs the algorithm's bootstrap job against Dagster's instance, so that the run shows in the UI, and says on stdout what
has been done. It may be run again after it was stopped: every step replaces what it wrote.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.factory import Assets, assets_of
from assets.retrains import BOOTSTRAP
from orchestration.definitions import defs
from orchestration.jobs import bootstrap_job
from saima.decisions import retrain
from saima.errors import SaimaError
from saima.settings import Settings, settings
from saima.stores import open_registry


def bootstrap(algorithm: str, chosen: Settings, instance: dg.DagsterInstance, known: dg.Definitions = defs) -> None:
    """Materialize everything of an algorithm that the `known` definitions hold.

    Raises SaimaError naming the step that failed.
    """
    assets = assets_of(chosen.algorithms / algorithm)
    if assets.recording is None:
        raise SaimaError(f"{chosen.algorithms / algorithm} has no sources.py: there is no history to load")
    registry = open_registry(chosen)
    end_interrupted(instance, bootstrap_job(algorithm))
    for claim in registry.claims():
        if claim.trigger == BOOTSTRAP and claim.lineage.startswith(f"{algorithm}/"):
            registry.release(claim.token)
    first, last = assets.recording.days
    result = (
        known.resolve_job_def(bootstrap_job(algorithm))
        .with_hooks({announce})
        .execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=run_config(assets),
            tags={
                ASSET_PARTITION_RANGE_START_TAG: first,
                ASSET_PARTITION_RANGE_END_TAG: last,
                retrain.TAG_TRIGGER: BOOTSTRAP,
            },
        )
    )
    if not result.success:
        failed = [event for event in result.all_events if event.is_step_failure]
        what = "; ".join(f"{event.step_key}: {_why(event)}" for event in failed) or "the run did not end well"
        raise SaimaError(f"the first materialization of {algorithm} failed: {what}")
    registry.put_fact(f"bootstrapped/{algorithm}", {"run_id": result.run_id, "history_end": assets.recording.end})


def run_config(assets: Assets) -> dict[str, Any]:
    """Config of a bootstrap: full trainings on all cores, and recorded traffic may tell its own time."""
    name = assets.algorithm.name
    config: dict[str, Any] = {f"{name}__deployment_{each}": {"allow_request_time": True} for each in assets.lineages}
    for model, declared in assets.algorithm.declaration.models.items():
        trees = declared.kind in ("xgboost", "lightgbm") and declared.file is None
        threads = {"threads": os.cpu_count() or 1} if trees else {}
        config[f"{name}__{model}"] = {"mode": "full", **threads}
    return {"ops": {step: {"config": values} for step, values in config.items()}}


def end_interrupted(instance: dg.DagsterInstance, job: str) -> None:
    """Mark bootstraps that were killed as failed, so that the UI does not show them as running for ever."""
    running = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=running)):
        instance.report_run_failed(run, "its process ended before it did; another bootstrap has begun")


@dg.success_hook(name="announce")
def announce(context: dg.HookContext) -> None:
    """Say which step has been done."""
    _, _, asset = context.op.name.partition("__")
    print(f"materialized {asset}", flush=True)


def _why(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().splitlines()[0] if error else "no reason given"


def main() -> None:
    """Entry of the process: exit code 1 and one sentence on stderr where it fails."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.bootstrap <algorithm>")
    begun = time.monotonic()
    try:
        with dg.DagsterInstance.get() as instance:
            bootstrap(sys.argv[1], settings(), instance)
    except SaimaError as error:
        sys.exit(str(error))
    print(f"materialized everything of {sys.argv[1]} in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
