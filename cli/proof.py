"""What a demo run proves: counts from the client's own list, an independent program, errors beside baselines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from saima.learning.evaluation import baselines, measure
from saima.recordings import load_private
from saima.stores.interfaces import Registry, Tables

LEAK_R2, LEAK_AUC = 0.40, 0.80
_ULP_TOLERANCE = 1e-6


def answers(folder: Path) -> pl.DataFrame:
    """The client's own list: one row an answer (trace, time, ms, arm, version, degraded)."""
    rows = [json.loads(line) for line in (folder / "answered.jsonl").read_text().splitlines()]
    return pl.DataFrame(
        {
            "trace": [row["trace"] for row in rows],
            "time": [row["time"] for row in rows],
            "ms": [row["ms"] for row in rows],
            "arm": [row["arm"] for row in rows],
            "version": [row["version"] for row in rows],
            "degraded": [bool(row["degraded"]) for row in rows],
        }
    )


def failures(folder: Path) -> list[dict[str, Any]]:
    """The client's own list of requests that no retry within the budget could answer."""
    path = folder / "failed.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def count_samples(
    answered: pl.DataFrame, samples: pl.DataFrame, labels: pl.DataFrame, attribution: int
) -> dict[str, int]:
    """Samples lost and duplicated: every answered, not degraded trace whose label came within attribution is one.

    `labels` are the label events that were published (trace, label_time); times and `attribution` in ms.
    """
    due = (
        answered.filter(~pl.col("degraded"))
        .unique("trace")
        .join(labels, on="trace")
        .filter(pl.col("label_time") <= pl.col("time") + attribution)
    )
    distinct = samples.select("trace", "item").unique().height
    return {
        "samples": samples.height,
        "samples_expected": due.height,
        "samples_lost": due.join(samples, on="trace", how="anti").height,
        "samples_duplicated": samples.height - distinct,
        "samples_unexplained": samples.join(due, on="trace", how="anti").height,
    }


def count_journal(answered: pl.DataFrame, journal: pl.DataFrame, dropped: int) -> dict[str, int]:
    """Answered traces that the journal holds; answers = journalled + dropped must hold, with dropped = 0."""
    traces = answered.select("trace").unique()
    journalled = traces.join(journal.select("trace").unique(), on="trace", how="semi").height
    return {"answers": traces.height, "journalled": journalled, "dropped": dropped}


def count_events(published: Mapping[str, pl.DataFrame], tables: Tables) -> dict[str, int]:
    """Published events that the event tables lack or hold twice; `published` maps a topic to its ids."""
    lost = duplicated = 0
    for topic, frame in published.items():
        stored = tables.scan(f"events/{topic}").filter(pl.col("offset") > 0).select("id").collect()
        lost += frame.join(stored, on="id", how="anti").height
        duplicated += stored.height - stored.n_unique()
    return {"events_lost": lost, "events_duplicated": duplicated}


def against_oracle(algorithm: Path, datasets: Path, records: pl.DataFrame, rows: int) -> dict[str, Any]:
    """Hold the served features of evenly spread predictions against the algorithm's naive program `oracle.py`.

    `records` are journal rows (trace, record). Fused logarithms may differ in the last bit (1e-6 relative).
    """
    if not (algorithm / "oracle.py").exists():
        return {"rows": 0, "features": 0, "mismatches": 0, "examples": []}
    module = load_private(algorithm / "oracle.py", f"saima_oracle_{algorithm.name}")
    step = max(1, records.height // rows)
    served = {row["trace"]: json.loads(row["record"])["features"] for row in records[::step].iter_rows(named=True)}
    expected: dict[str, dict[str, Any]] = module.expected(datasets, list(served))
    differences = [
        f"{trace} {name}: served {served[trace][name][0]}, expected {value}"
        for trace, values in expected.items()
        for name, value in values.items()
        if not _same(served[trace][name][0], value)
    ]
    return {
        "rows": len(expected),
        "features": len(next(iter(expected.values()), {})),
        "mismatches": len(differences),
        "examples": differences[:3],
    }


def _same(left: float | int | None, right: float | int | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=_ULP_TOLERANCE, abs_tol=_ULP_TOLERANCE)


def errors(samples: pl.DataFrame, history: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Errors by arm and by model over the live samples, beside the naive baselines learned on history.

    `history` has label, carrier_id, departure_hour; the samples have the same columns, arm, score and `out.*`.
    """
    label = samples["label"].to_numpy()
    found: dict[str, dict[str, Any]] = {}
    naive = baselines(history, samples, "label", group=["carrier_id", "departure_hour"])
    for name, prediction in naive.items():
        found[f"baseline {name}"] = measure(label, prediction).to_json()
    for (arm,), rows in sorted(samples.group_by("arm")):
        found[f"arm {arm}"] = measure(rows["label"].to_numpy(), rows["score"].to_numpy()).to_json()
    for column in (name for name in samples.columns if name.startswith("out.")):
        rows = samples.drop_nulls(column)
        if rows.height:
            model = column.removeprefix("out.").rsplit(".", 1)[0]
            found[f"model {model}"] = measure(rows["label"].to_numpy(), rows[column].to_numpy()).to_json()
    return found


def label_to_routed(registry: Registry, samples: pl.DataFrame, algorithm: str, first: int) -> dict[str, Any]:
    """Seconds from a label's arrival to a routed model.

    `trigger`: from the newest label when the retrain was triggered to the last host that routed its bundle.
    `every_label`: from each label to the first routed bundle of the lineage that learned it.
    `first` is the highest publication of the first materialization.
    """
    routed: dict[int, int] = {}
    for mark in registry.marks("swap"):
        if mark["algorithm"] == algorithm and mark["publication"] > first:
            routed[mark["publication"]] = max(routed.get(mark["publication"], 0), int(mark["at"]))
    found: dict[str, Any] = {}
    triggered: list[float] = []
    for lineage in sorted({mark["lineage"] for mark in registry.marks("retrain")}):
        marks = [
            mark
            for mark in registry.marks("retrain")
            if mark["algorithm"] == algorithm and mark["lineage"] == lineage and mark.get("publication") in routed
        ]
        from_trigger = [(routed[mark["publication"]] - mark["trigger_appended"]) / 1000 for mark in marks]
        triggered += from_trigger
        bounds = sorted((int(mark["position"]), routed[mark["publication"]]) for mark in marks)
        waits = _waits(samples, bounds)
        found[lineage] = {"trigger": _quantiles(from_trigger), "every_label": _quantiles(waits)}
    return _quantiles(triggered) | {"by_lineage": found}


def _waits(samples: pl.DataFrame, bounds: list[tuple[int, int]]) -> list[float]:
    offsets, appended = samples["offset"].to_numpy(), samples["label_appended"].to_numpy()
    positions = np.array([position for position, _ in bounds], dtype=np.int64)
    index = np.searchsorted(positions, offsets)
    learned = index < len(bounds)
    routed = np.array([at for _, at in bounds], dtype=np.int64)
    waits: list[float] = ((routed[index[learned]] - appended[learned]) / 1000).tolist()
    return waits


def _quantiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "max": None}
    return {"p50": round(float(np.median(values)), 2), "max": round(max(values), 2)}
