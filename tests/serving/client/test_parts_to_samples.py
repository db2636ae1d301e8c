"""Candidates asked for in parts, outcomes of several parts: the samples of one undivided request."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import polars as pl
import pytest
from saima_client import Client

from ab.exposure import from_journal
from saima.events import Event, to_table
from saima.features.algorithm import load
from saima.host.api import app
from saima.host.bundle import Bundle
from saima.host.replay import differences
from saima.recordings import topics
from saima.routing.experiments import Experiment
from saima.stores import open_log, open_tables
from saima.worker.worker import Worker

RULE = "def predict(state, tensors):\n    return tensors['dense'][:, 0] * 3 + 1\n"
YAML = """
algorithm: shelf
sources:
  clicked: {key: trace, fields: {trace: string, item_id: string}, lateness: 1m}
label: {from: clicked, join: [trace, item], scheme: fnw, attribution: 1h}
request: {fields: {x: float64}, items: {max: 200, fields: {base: float64}}}
features: {value: {value: "base % 7 - x", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [value], output: y}}
journal: {full: 1.0}
"""
ITEMS = [{"item_id": f"i{n}", "base": float(n * 5 % 23)} for n in range(100)]
CLICKED = ("i3", "i29", "i30", "i55", "i99")
NOW, HOUR = 1_700_000_000_000, 3_600_000


@pytest.mark.parametrize("way", ["json", "arrow", "embedded"])
def test_parts_make_the_samples_of_the_undivided_request(works: Any, served: Any, way: str) -> None:
    row = works.publish("shelf", {"algorithm.yaml": YAML, "rule.py": RULE})
    arms = {"arms": {arm: {"lineage": row.lineage, "weight": 50} for arm in "ab"}, "overrides": {"chosen": "b"}}
    halves = Experiment.model_validate({"experiment": "halves", "layer": "all", "unit": "trace", **arms})
    works.deploy(row, allow_request_time=True, experiments=[halves])
    host = works.host()
    asked = {"whole": NOW, "parts": NOW, "chosen": NOW, "after": NOW + 3 * HOUR}
    with served(app(host)) as url:
        target = host if way == "embedded" else url
        for trace, time in asked.items():
            with Client(target, 30, batch=None if trace == "whole" else 30, arrow=way == "arrow") as client:
                answer = client.predict("shelf", {"x": 0.5}, items=ITEMS, trace=trace, time=time)
                assert answer["items"] == [item["item_id"] for item in ITEMS]

    def click(at: int, *named: tuple[str, str]) -> None:
        topic = topics(load(works.settings.algorithms / "shelf").declaration)["clicked"]
        events = [
            Event(trace, "clicked", at, 0, f"{trace}-{item}", {"trace": trace, "item_id": item})
            for trace, item in named
        ]
        log.append("clicked", to_table(topic, events, at))

    log = open_log(works.settings)
    both = [(trace, item) for trace in ("whole", "parts", "chosen") for item in CLICKED]
    click(NOW + 1000, *both[::2])
    works.stop()
    click(NOW + 2000, *both[1::2])
    click(NOW + 4 * HOUR, ("after", "i0"))
    log.close()
    works.registry.put_fact("history/clicked", {"end": NOW - HOUR})
    worker = Worker(works.settings)
    while worker.cycle():
        pass
    worker.drain()
    counts = worker.status()["counts"]
    worker.close()
    assert {name: counts[name] for name in ("predictions", "excluded", "pending")} == {
        "predictions": 13, "excluded": 4, "pending": 4}, counts  # fmt: skip

    tables = open_tables(works.settings)
    samples = tables.scan("shelf/samples").collect()
    assert set(samples["trace"].unique()) == {"whole", "parts"}
    differs = ["trace", "arm", "unit", "offset", "label_offset", "label_appended", "label_time"]
    made = {
        trace: samples.filter(pl.col("trace") == trace).drop(differs).sort("item", "label")
        for trace in ("whole", "parts")
    }
    assert made["parts"].equals(made["whole"])
    positive = made["parts"].filter(pl.col("label") == 1)
    assert (positive["item"].to_list(), made["parts"].height) == (sorted(CLICKED), len(ITEMS) + len(CLICKED))

    journal = tables.scan("shelf/journal")
    exposed = from_journal(journal, "halves").collect()
    assert sorted(exposed["trace"]) == ["after", "parts", "whole"]
    records = [json.loads(text) for text in journal.collect()["record"]]
    assert Counter((r["trace"], r.get("part", 0), r.get("parts", 1)) for r in records) == Counter(
        [("whole", 0, 1), *((trace, part, 4) for trace in ("parts", "chosen", "after") for part in range(4))]
    )
    assert all(len({r["arm"] for r in records if r["trace"] == trace}) == 1 for trace in asked)
    replayed = differences(Bundle.open(row.path), records)
    assert (replayed.requests, replayed.exact, replayed.candidates) == (13, 13, 400)
