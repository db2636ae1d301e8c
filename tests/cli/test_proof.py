"""The demo's proof can fail: each planted loss is counted, each rule of the judgement bites."""

import copy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli import proof, verdict
from cli.view import quantile
from saima.features.declaration import Declaration, Feature, Label, Request, Source
from saima.settings import Settings
from saima.stores import open_registry, open_tables

ANSWERED = pl.DataFrame({"trace": ["a", "b", "c"], "time": [0, 0, 0], "degraded": [False, False, True]})
PAID = {"from": "paid", "value": "amount", "attribution": "10s"}
DECLARATION = Declaration(
    algorithm="shop",
    request=Request(fields={"shop": "string"}),
    sources={"paid": Source(key="trace", fields={"trace": "string", "amount": "int64"})},
    features={"shop": Feature(value="request.shop", dtype="string")},
    label=Label.model_validate(PAID),
)
EVENTS = {
    "paid": pl.DataFrame(
        {"trace": ["a", "b", "c"], "time": [5_000, 50_000, 5_000], "seq": [0, 1, 2], "amount": [1, 2, 3]}
    )
}


def samples(*traces: str) -> pl.DataFrame:
    columns = {"trace": list(traces), "item": [""] * len(traces), "role": ["observed"] * len(traces)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


@pytest.mark.parametrize(
    ("held", "lost", "twice", "unexplained"),
    [(["a"], 0, 0, 0), ([], 1, 0, 0), (["a", "a"], 0, 1, 0), (["a", "b"], 0, 0, 1), (["a", "c"], 0, 0, 1)],
)
def test_samples_are_counted_from_the_clients_list(held: list[str], lost: int, twice: int, unexplained: int) -> None:
    due = proof.expected_samples(ANSWERED, None, DECLARATION, EVENTS)
    found = proof.count_samples(due, samples(*held))
    assert found["samples_expected"] == 1
    assert (found["samples_lost"], found["samples_duplicated"], found["samples_unexplained"]) == (
        lost,
        twice,
        unexplained,
    )


def test_a_ranking_is_due_a_row_for_what_was_shown_and_another_for_its_click() -> None:
    ranking = DECLARATION.model_copy(
        update={
            "sources": {
                name: Source(key="trace", fields={"trace": "string", "item_id": "string"}, lateness="1s")
                for name in ("shown", "clicked")
            },
            "label": Label.model_validate(
                {"from": "clicked", "join": ["trace", "item"], "exposure": "shown", "scheme": "fnw",
                 "attribution": "1h"}
            ),
        }
    )  # fmt: skip
    answered = pl.DataFrame({"trace": ["a", "b", "z"], "time": [0, 0, 9_000], "degraded": [False, False, False]})
    items = pl.DataFrame({"trace": ["a", "a", "b"], "item": ["x", "y", "x"]})

    def event(**columns: list[object]) -> pl.DataFrame:
        return pl.DataFrame({**columns, "seq": list(range(len(columns["trace"])))})

    events = {
        "shown": event(trace=["a", "b", "-"], item_id=["x", "x", "-"], time=[100, 8_000, 9_000]),
        "clicked": event(trace=["a"], item_id=["x"], time=[4_000]),
    }
    due = proof.expected_samples(answered, items, ranking, events)
    # b was shown at 8 s: the watermark stands there, not beyond it.
    assert due.select("trace", "item", "label", "role").rows() == [
        ("a", "x", 0.0, "assumed_negative"),
        ("a", "x", 1.0, "correction"),
    ]


def test_an_answer_that_the_journal_lacks_is_counted() -> None:
    assert proof.count_journal(ANSWERED, pl.DataFrame({"trace": ["a", "a", "b"]}), 0) == {
        "answers": 3,
        "journalled": 2,
        "dropped": 0,
    }


def test_lost_and_doubled_events_are_counted(tmp_path: Path) -> None:
    tables = open_tables(Settings(home=tmp_path))
    tables.append("events/t", pl.DataFrame({"id": ["1", "1", "2", "old"], "offset": [1, 2, 3, 0]}))
    found = proof.count_events({"t": pl.DataFrame({"id": ["1", "2", "3"]})}, tables)
    assert found == {"events_lost": 1, "events_duplicated": 1}


def test_seconds_from_label_to_routed_model(tmp_path: Path) -> None:
    registry = open_registry(Settings(home=tmp_path))
    base = {"algorithm": "x", "lineage": "l"}
    for publication, position in ((2, 10), (3, 20)):
        registry.append_mark(
            "retrain", {**base, "publication": publication, "position": position, "trigger_appended": 1000}
        )
    for publication, host, at in ((1, "h", 500), (2, "h", 3000), (2, "i", 4000), (3, "h", 9000)):
        registry.append_mark("swap", {**base, "publication": publication, "host": host, "at": at})
    learned = pl.DataFrame({"offset": [5, 10, 15, 25], "label_appended": [1000, 2000, 3000, 4000]})
    found = proof.label_to_routed(registry, learned, "x", first=1)
    assert (found["p50"], found["max"]) == (5.5, 8.0)
    assert found["by_lineage"]["l"]["every_label"] == {"p50": 3.0, "max": 6.0}


GOOD: dict[str, Any] = {
    **dict.fromkeys(["failed_requests", "samples_lost", "samples_duplicated", "samples_unexplained", "events_lost"], 0),
    **dict.fromkeys(["events_duplicated", "dropped", "degraded"], 0),
    "answers": 5,
    "journalled": 5,
    "swaps": 1,
    "feature_parity": {"rows": 5, "mismatches": 0, "missing": 0, "extra": 0},
    "handover": {"keys": 9, "mismatches": 0},
    "naive_program": {"mismatches": 0, "examples": []},
    "errors": {
        "baseline training_mean": {"mae": 25.0, "r2": 0.0, "auc": 0.5},
        "arm champion": {"mae": 20.0, "r2": 0.2, "auc": 0.7},
    },
}


def test_a_good_summary_has_nothing_against_it() -> None:
    assert verdict.judge(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["failed_requests"], 1, "failed_requests is 1"),
        (["samples_lost"], 2, "samples_lost is 2"),
        (["samples_duplicated"], 1, "samples_duplicated is 1"),
        (["events_lost"], 1, "events_lost is 1"),
        (["dropped"], 1, "dropped is 1"),
        (["journalled"], 4, "5 answers, but 4 journalled"),
        (["swaps"], 0, "no retrained version"),
        (["feature_parity", "mismatches"], 3, "3 mismatches in 5 rows"),
        (["feature_parity", "rows"], 0, "compared no row"),
        (["handover", "mismatches"], 2, "2 keys of windows and rows differ"),
        (["naive_program"], {"mismatches": 1, "examples": ["x"]}, "differ from the naive program"),
        (["errors", "arm champion", "mae"], 25.5, "no better than the best baseline"),
        (["errors", "arm champion", "r2"], 0.8, "a leak"),
        (["errors", "arm champion", "auc"], 0.9, "a leak"),
    ],
)
def test_every_rule_bites(path: list[str], value: object, words: str) -> None:
    bad = copy.deepcopy(GOOD)
    place = bad
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert any(words in failure for failure in verdict.judge(bad))


def test_quantiles_are_nearest_rank() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([1.0], 0.99) == 1.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0
