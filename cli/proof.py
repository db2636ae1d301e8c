"""What a demo run proves: counts from the client's own list, an independent program, errors beside baselines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.learning.evaluation import baselines, measure
from saima.learning.outcomes import settled
from saima.recordings import load_private
from saima.stores.interfaces import Registry, Tables
from saima.streams.history import outcomes, sample_rows
from saima.streams.samples import join_spec

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


def expected_samples(
    answered: pl.DataFrame, items: pl.DataFrame | None, declaration: Declaration, events: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """What must have become samples: trace, item, label, label_time, role of every answered, not degraded decision.

    items: candidates of each trace (trace, item), None where the algorithm does not rank; events: what was published of
    the label's topic and of its exposure. Rows count whose moment the join's watermark has passed.
    """
    label = declaration.label
    assert label is not None
    spec = join_spec(declaration)
    decided = answered.filter(~pl.col("degraded")).unique("trace").select("trace", "time")
    decided = decided.with_columns(item=pl.lit("")) if items is None else decided.join(items, on="trace")
    happened = outcomes(declaration, label.source, events[label.source].lazy())
    shown = outcomes(declaration, label.exposure, events[label.exposure].lazy()) if label.exposure else happened.head(0)
    end = 2**62
    if label.scheme != "once":
        seen = [*pl.collect_all([happened.select("time"), shown.select("time")])]
        newest = max(int(each["time"].to_numpy().max(initial=0)) for each in seen)
        lateness = spec.lateness or milliseconds(declaration.sources[label.source].lateness)
        end = min(newest, int(answered["time"].to_numpy().max(initial=0))) - lateness
    return sample_rows(spec, decided.lazy(), happened, shown, end).collect()


def count_samples(due: pl.DataFrame, samples: pl.DataFrame) -> dict[str, int]:
    """Samples lost and duplicated; `due` is what `expected_samples` says. A sample is a (trace, item, role)."""
    key = ["trace", "item", "role"]
    return {
        "samples": samples.height,
        "samples_expected": due.height,
        "samples_lost": due.join(samples, on=key, how="anti").height,
        "samples_duplicated": samples.height - samples.select(key).unique().height,
        "samples_unexplained": samples.join(due, on=key, how="anti").height,
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
    served = {row["trace"]: json.loads(row["record"]) for row in records[::step].iter_rows(named=True)}
    expected = {
        (trace, place): values
        for trace, found in module.expected(datasets, list(served)).items()
        for place, values in _by_place(served[trace], found)
    }
    differences = [
        f"{trace} {name}: served {served[trace]['features'][name][place]}, expected {value}"
        for (trace, place), values in expected.items()
        for name, value in values.items()
        if not _same(served[trace]["features"][name][place], value)
    ]
    return {
        "rows": len(expected),
        "features": len(next(iter(expected.values()), {})),
        "mismatches": len(differences),
        "examples": differences[:3],
    }


def _by_place(record: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The naive program's values by place among the kept candidates; of a ranking it tells them by item."""
    if not record["items"]:
        yield 0, found
        return
    for place, index in enumerate(record["kept"]):
        yield place, found[record["items"][index]["item_id"]]


def _same(left: float | int | None, right: float | int | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=_ULP_TOLERANCE, abs_tol=_ULP_TOLERANCE)


def errors(
    samples: pl.DataFrame, history: pl.DataFrame, group: Sequence[str], binary: bool
) -> dict[str, dict[str, Any]]:
    """Errors by arm and by model over the live samples, beside the naive baselines learned on history.

    Of each candidate the row that is known last counts. group: features whose groups' means are a baseline; binary:
    the label is that something happened.
    """
    history, samples = settled(history), settled(samples)
    found: dict[str, dict[str, Any]] = {}
    if not samples.height:
        return found

    def tell(name: str, label: pl.Series, score: Any) -> None:
        found[name] = measure(label.to_numpy(), score, binary=binary).to_json()

    for name, prediction in baselines(history, samples, "label", group=group).items():
        tell(f"baseline {name}", samples["label"], prediction)
    for (arm,), rows in sorted(samples.group_by("arm")):
        tell(f"arm {arm}", rows["label"], rows["score"].to_numpy())
    for column in (name for name in samples.columns if name.startswith("out.")):
        rows = samples.drop_nulls(column)
        if rows.height:
            tell(f"model {column.removeprefix('out.').rsplit('.', 1)[0]}", rows["label"], rows[column].to_numpy())
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
