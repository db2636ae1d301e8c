"""A run's hold on its lineages: it begins with the claim and ends with the record of what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets import keys
from assets.models.training import Training
from saima.decisions import retrain
from saima.features.declaration import Declaration
from saima.stores.interfaces import Registry

BOOTSTRAP, MANUAL = "bootstrap", "manual"


@dataclass(frozen=True)
class Retrain:
    """A run's retrain of one lineage: `token` of its claim, `position` that the trigger saw (None: by hand)."""

    algorithm: str
    lineage: str
    run_id: str
    token: str
    trigger: str
    position: int | None


def lineages(context: dg.AssetExecutionContext, declaration: Declaration) -> list[str]:
    """Lineages that a run retrains: those whose evaluation, bundle or deployment it materializes."""
    chosen = context.job_def.asset_layer.selected_asset_keys
    return [
        lineage
        for lineage in declaration.lineages
        if any(keys.key(declaration.algorithm, f"{stage}_{lineage}") in chosen for stage in _STAGES)
    ]


_STAGES = ("evaluation", "bundle", "deployment")


def begin(
    context: dg.AssetExecutionContext, registry: Registry, declaration: Declaration, of: Sequence[str] | None = None
) -> list[Retrain]:
    """Bind the run's claims, or take them for a run that a person started; the same again within the run.

    `of` names the lineages; None: all that the run retrains.

    Raises dg.Failure where the claim has ended or another run has the lineage: at most one retrain of it runs.
    """
    chosen = lineages(context, declaration) if of is None else of
    return [_begin(context, registry, declaration.algorithm, lineage) for lineage in chosen]


def _begin(context: dg.AssetExecutionContext, registry: Registry, algorithm: str, lineage: str) -> Retrain:
    tags, run_id, name = context.run.tags, context.run.run_id, f"{algorithm}/{lineage}"
    mine = next((claim for claim in registry.claims() if claim.lineage == name and claim.run_id == run_id), None)
    trigger = tags.get(retrain.TAG_TRIGGER, MANUAL)
    token = tags.get(retrain.TAG_CLAIM) if tags.get(retrain.TAG_LINEAGE) == lineage else None
    if mine is None and token is None:
        claim = registry.claim(name, 0, trigger, retrain.CLAIM_SECONDS)
        if claim is None:
            raise dg.Failure(f"{name} is being retrained by another run; wait for it or cancel it", allow_retries=False)
        token = claim.token
    token = mine.token if mine else token
    assert token is not None
    if mine is None and not registry.bind(token, run_id):
        raise dg.Failure(f"the claim of this run on {name} has ended: another run may have it", allow_retries=False)
    position = tags.get(retrain.TAG_POSITION)
    return Retrain(algorithm, lineage, run_id, token, trigger, int(position) if position is not None else None)


def learned(training: Training, samples: pl.DataFrame, position: int | None, lineage: str) -> dict[str, Any]:
    """What a training has learned: the facts that the next trigger compares with, and the times behind its latency.

    position: newest log offset among the rows; samples: rows that the lineage's champion had not learned; count: live
    rows; label_appended and trigger_appended: wall ms at which the newest label, and the newest one that the trigger
    saw, reached the log (0 for history).
    """
    since = training.champions[lineage][1].position.get(0, 0) if lineage in training.champions else -1
    known = pl.col("label_appended").fill_null(0)
    seen = known if position is None else known.filter(pl.col("offset") <= position)
    row = samples.select(
        position=pl.col("offset").max(),
        samples=(pl.col("offset") > since).sum(),
        count=(pl.col("offset") > 0).sum(),
        newest_label_time=pl.col("label_time").max(),
        label_appended=known.max(),
        trigger_appended=seen.max().fill_null(0),
    ).row(0, named=True)
    return {**{name: int(value or 0) for name, value in row.items()}, "started": training.started}


def end(registry: Registry, this: Retrain, outcome: str, learned: Mapping[str, Any], publication: int | None) -> None:
    """Record what came of a retrain and give its place back.

    outcome: `routed`, `published` (waits for a person), `held`, `rejected` (lost to the champion).
    learned: position, samples, count, newest_label_time, started, label_appended, trigger_appended.
    """
    entry = {"algorithm": this.algorithm, "lineage": this.lineage, "publication": publication, "outcome": outcome}
    registry.put_fact(f"trained/{this.algorithm}/{this.lineage}", {**learned, **entry, "run_id": this.run_id})
    if this.trigger != BOOTSTRAP:
        registry.append_mark("retrain", {**learned, **entry, "trigger": this.trigger, "run_id": this.run_id})
    registry.release(this.token)


def fail(registry: Registry, run_id: str, now: int) -> list[str]:
    """Record that a run has failed or was cancelled and give back the places that it held; the lineages.

    A run that ended its retrain by itself holds none.
    """
    failed = []
    for claim in registry.claims():
        if claim.run_id != run_id:
            continue
        algorithm, _, lineage = claim.lineage.partition("/")
        mark = {"algorithm": algorithm, "lineage": lineage, "trigger": claim.trigger, "position": claim.position}
        rest = {"publication": None, "samples": 0, "started": claim.claimed or now, "run_id": run_id}
        registry.append_mark("retrain", {**mark, **rest, "outcome": "failed"})
        registry.release(claim.token)
        failed.append(claim.lineage)
    return failed


def tidy(folder: Path, keep: Path, newest: int = 8) -> None:
    """Delete old trainings of an algorithm: all but the `newest` and `keep`; what is routed lives in its bundle."""
    trainings = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime)
    for path in trainings[newest:]:
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
