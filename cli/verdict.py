"""The demo's summary: gathered, judged, and printed as a short table."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from cli import proof
from cli.replay import Progress, Traffic
from cli.session import Session
from saima.features import load
from saima.features.parity import check
from saima.recordings import load_recording
from saima.worker.status import together

_ORACLE_ROWS = 48


def summarise(
    session: Session, traffic: Traffic, span: tuple[int, int], progress: Progress, first: int, peak: float
) -> dict[str, Any]:
    """Everything that `demo/summary.json` says but its seconds. `first`: the last publication before the traffic."""
    algorithm = load(session.algorithm, session.settings.algorithms)
    declared = algorithm.declaration
    assert declared.label is not None
    folder = session.settings.home / "client"
    answered, failed = proof.answers(folder), proof.failures(folder)
    every = session.tables.scan(f"{session.algorithm}/samples").collect()
    samples, history = every.filter(pl.col("offset") > 0), every.filter(pl.col("offset") == 0)
    journal = session.tables.scan(f"{session.algorithm}/journal").collect()
    published = {
        topic: frame.filter((pl.col("time") >= span[0]) & (pl.col("time") < span[1]))
        for topic, frame in traffic.events.items()
    }
    due = proof.expected_samples(answered, traffic.candidates(), declared, published)
    recording = load_recording(algorithm.directory, session.settings.datasets)
    events = {topic: session.tables.scan(f"events/{topic}") for topic in traffic.events}
    parity = check(algorithm, journal, events)
    hosts = list(session.registry.statuses("host/").values())
    marks = [mark for mark in session.registry.marks("swap") if mark["publication"] > first]
    worker = together(session.registry.statuses("worker/"))
    return {
        "predictions": progress.predictions,
        "failed_requests": len(failed),
        "latency_ms": _latency(answered),
        "degraded": int(answered["degraded"].sum()),
        "events": progress.events,
        **proof.count_events({topic: frame.select("id") for topic, frame in published.items()}, session.tables),
        **proof.count_samples(due, samples),
        **proof.count_journal(answered, journal, sum(int(host.get("dropped", 0)) for host in hosts)),
        "retrains": [
            {name: mark.get(name) for name in ("lineage", "trigger", "publication", "samples", "outcome")}
            for mark in session.registry.marks("retrain")
        ],
        "swaps": len({mark["publication"] for mark in marks}),
        "label_to_routed_model_seconds": proof.label_to_routed(session.registry, samples, session.algorithm, first),
        "event_visible_ms": {"p50": worker.get("visible_p50_ms"), "p99": worker.get("visible_p99_ms")},
        "feature_parity": {
            "rows": parity.rows,
            "features": parity.features,
            "mismatches": parity.mismatches,
            "missing": parity.missing,
            "extra": parity.extra,
            "staleness_ms": parity.staleness_ms,
        },
        "handover": _handover(session),
        "naive_program": proof.against_oracle(
            algorithm.directory, session.settings.datasets, journal.sort("time"), _ORACLE_ROWS
        ),
        "errors": proof.errors(samples, history, recording.baseline, declared.label.value is None),
        "ab": experiment_verdict(session),
        "restarts": {name: child.restarts for name, child in session.supervisor.children.items()},
        "peak_memory_mb": round(peak),
    }


def _handover(session: Session) -> dict[str, int]:
    """Whether the worker's windows and rows are those that batch builds of the event tables."""
    from saima.worker.catalog import declared
    from saima.worker.handover import of_home

    agreed = of_home(session.settings, declared(session.settings.algorithms))
    return {"keys": sum(agreed.keys.values()), "mismatches": agreed.mismatches}


def experiment_verdict(session: Session) -> dict[str, Any]:
    """The AB report's verdict over the live samples, as the Dagster asset computes it."""
    from ab.report import from_tables
    from saima.routing.experiments import load_experiments

    verdicts: dict[str, str] = {}
    for experiment in load_experiments(session.settings.algorithms / session.algorithm):
        name = experiment.experiment
        report = from_tables(
            session.algorithm, name, session.tables, generated=int(time.time() * 1000), settings=session.settings
        )
        verdicts[name] = f"{report.verdict.headline} {report.verdict.because}"
    return verdicts


def judge(found: dict[str, Any]) -> list[str]:
    """What a summary fails, in words; [] where it proves what it should."""
    failed = [
        f"{name} is {found[name]}, must be 0"
        for name in (
            "failed_requests",
            "samples_lost",
            "samples_duplicated",
            "samples_unexplained",
            "events_lost",
            "events_duplicated",
            "dropped",
            "degraded",
        )
        if found[name]
    ]
    if found["answers"] != found["journalled"] + found["dropped"]:
        failed.append(f"{found['answers']} answers, but {found['journalled']} journalled + {found['dropped']} dropped")
    parity, naive = found["feature_parity"], found["naive_program"]
    for name in ("mismatches", "missing", "extra"):
        if parity[name]:
            failed.append(f"feature parity: {parity[name]} {name} in {parity['rows']} rows")
    if not parity["rows"]:
        failed.append("feature parity compared no row")
    if found["handover"]["mismatches"]:
        failed.append(f"{found['handover']['mismatches']} keys of windows and rows differ between batch and stream")
    if naive["mismatches"]:
        failed.append(
            f"{naive['mismatches']} served features differ from the naive program, so a feature knows the future or a "
            f"window is off; first: {naive['examples'][0]}"
        )
    errors = found["errors"]
    best = min((row["mae"] for name, row in errors.items() if name.startswith("baseline")), default=0.0)
    if not errors:
        failed.append("there is no live sample to measure errors on")
    for name, row in errors.items():
        if name.startswith("baseline"):
            continue
        # Of clicks the absolute error says nothing: to answer "never" has the smallest.
        if row.get("log_loss") is None and row["mae"] >= best:
            failed.append(f"{name} has MAE {row['mae']:.2f}, no better than the best baseline's {best:.2f}")
        if (row["r2"] or 0) > proof.LEAK_R2 or (row["auc"] or 0) > proof.LEAK_AUC:
            failed.append(f"{name} is too good to be true (R2 {row['r2']:.2f}, AUC {row['auc']:.2f}): a leak")
    if not found["swaps"]:
        failed.append("no retrained version was swapped in")
    return failed


def table(found: dict[str, Any]) -> Table:
    """The short table that ends a demo."""
    shown = Table("", "", box=None, show_header=False, padding=(0, 2))
    latency, routed = found["latency_ms"], found["label_to_routed_model_seconds"]
    shown.add_row("predictions", f"{found['predictions']:,}, p50 {latency['p50']} ms, p99 {latency['p99']} ms")
    shown.add_row("failed requests", str(found["failed_requests"]))
    shown.add_row("events", f"{found['events']:,}, lost {found['events_lost']}, twice {found['events_duplicated']}")
    shown.add_row("samples", f"{found['samples']:,}, lost {found['samples_lost']}, twice {found['samples_duplicated']}")
    shown.add_row(
        "answers = journalled + dropped", f"{found['answers']:,} = {found['journalled']:,} + {found['dropped']}"
    )
    shown.add_row("retrains, swaps", f"{len(found['retrains'])}, {found['swaps']}")
    shown.add_row("label to routed model", f"p50 {routed['p50']} s, max {routed['max']} s")
    parity, naive = found["feature_parity"], found["naive_program"]
    shown.add_row("feature parity", f"{parity['rows']:,} x {parity['features']}, mismatches {parity['mismatches']}")
    shown.add_row("naive program", f"{naive['rows']} x {naive['features']}, mismatches {naive['mismatches']}")
    shown.add_row("batch = stream", f"{found['handover']['keys']:,} keys, mismatches {found['handover']['mismatches']}")
    for name, row in found["errors"].items():
        auc = "  -  " if row["auc"] is None else f"{row['auc']:.3f}"
        loss = row.get("log_loss")
        error = f"MAE {row['mae']:.2f}  RMSE {row['rmse']:.2f}" if loss is None else f"log loss {loss:.4f}"
        shown.add_row(name, f"{error}  AUC {auc}  ({row['rows']:,} rows)")
    for name, text in found["ab"].items():
        shown.add_row(f"experiment {name}", str(text))
    shown.add_row("seconds, peak memory", f"{found['seconds']}, {found['peak_memory_mb']:,} MB")
    return shown


def _latency(answered: pl.DataFrame) -> dict[str, float]:
    p50, p99 = np.quantile(answered["ms"].to_numpy(), [0.5, 0.99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}
