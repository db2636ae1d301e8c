"""The cases of label_join.json through de-duplication, lateness and join, as the worker composes them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from saima.streams.dedup import Seen
from saima.streams.join import Join
from saima.streams.lateness import Clock
from saima.streams.schemes import JoinSpec, Label

from .conftest import read_cases

SCHEMES = {"waited": "waited", "fnw": "fnw", "es_dfm": "esdfm", "defer": "defer"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "label_join.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def run(case: dict[str, Any], restart_every: int = 0, cut: int = -1) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows and counters of a case; with `restart_every` the join continues from its stored state every n events, and
    before the event number `cut`."""
    spec = JoinSpec(
        SCHEMES[case["scheme"]],  # type: ignore[arg-type]
        attribution=case["attribution_ms"],
        wait=case["wait_ms"],
        lateness=case["lateness_ms"],
        additive=case.get("additive", False),
    )
    store: dict[str, bytes] = {}
    join = Join(spec, lambda keys: [store.get(key) for key in keys])
    seen, clock, late = Seen(), Clock(case["lateness_ms"]), 0
    samples = []
    duplicates = 0
    for offset, event in enumerate(case["events"], 1):
        if offset == cut or (restart_every and offset % restart_every == 0):
            for key, packed in join.changes():
                if packed is None:
                    store.pop(key, None)
                else:
                    store[key] = packed
            again = Join(spec, lambda keys: [store.get(key) for key in keys])
            again.restore(store.items(), join.counters.values, join.watermark)
            join = again
        if seen.judge("all", [event["id"]], [event["t"]], [offset])[0]:
            duplicates += 1
            continue
        verdicts, clock = clock.judge(np.array([event["t"]], dtype=np.int64))
        if verdicts[0]:
            late += 1
            continue
        if event["kind"] == "prediction":
            samples += join.predict(event["trace"], event["t"], b"{}", excluded=bool(event["flags"]))
        elif event["kind"] == "label":
            label = Label(event["t"], 0, offset, float(event["value"]), event["arrived"])
            samples += join.label(event["trace"], label)
        else:
            raise AssertionError(f"unknown kind of event: {event['kind']}")
        samples += join.advance(clock.watermark)
    samples += join.advance(case["advance_to"] + 1)
    counts = join.counters.values
    made = [
        {
            "trace": sample.trace,
            "emitted_at": sample.row.moment,
            "label": int(sample.row.label),
            "weight_role": sample.row.role,
        }
        | ({"value": sample.row.value} if spec.additive else {})
        for sample in samples
    ]
    return made, {
        "late": late + counts["late"],
        "orphan": counts["orphan"],
        "duplicate": duplicates + counts["duplicate"],
        "skipped": counts["excluded"],
    }


def multiset(rows: list[dict[str, Any]]) -> Counter[str]:
    typed = [{k: float(v) if k == "value" else v for k, v in row.items()} for row in rows]
    return Counter(json.dumps(row, sort_keys=True) for row in typed)


@pytest.mark.parametrize("restart_every", [0, 1, 2])
def test_case(case: dict[str, Any], restart_every: int) -> None:
    rows, counters = run(case, restart_every)
    assert multiset(rows) == multiset(case["expect"]), case["meaning"]
    assert counters == {"late": 0, "orphan": 0, "duplicate": 0, "skipped": 0} | case["expect_counters"], case["meaning"]


def test_every_two_way_split(case: dict[str, Any]) -> None:
    whole = run(case)
    for cut in range(1, len(case["events"]) + 1):
        rows, counters = run(case, cut=cut)
        assert (multiset(rows), counters) == (multiset(whole[0]), whole[1]), f"{case['meaning']}, cut before {cut}"
