"""Metrics against naive programs and laws; baselines; the gate."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import SaimaError
from saima.learning import evaluation
from saima.learning.evaluation import Metrics, auc, baselines, gate, measure

VALUES = st.lists(st.tuples(st.integers(-50, 50), st.integers(-20, 20)), min_size=1, max_size=40)


def naive_auc(positive: list[bool], score: list[float]) -> float | None:
    pairs = [
        (a, b)
        for a, hit in zip(score, positive, strict=True)
        if hit
        for b, miss in zip(score, positive, strict=True)
        if not miss
    ]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else None


@given(VALUES)
def test_metrics_are_what_a_naive_program_says(rows: list[tuple[int, int]]) -> None:
    label, score = [float(a) for a, _ in rows], [float(b) for _, b in rows]
    found = measure(label, score)
    errors = [a - b for a, b in zip(label, score, strict=True)]
    assert found.rows == len(rows)
    assert found.mae == pytest.approx(sum(map(abs, errors)) / len(rows))
    assert found.rmse == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(rows)))
    expected = naive_auc([a > 15 for a in label], score)
    assert found.auc == (pytest.approx(expected) if expected is not None else None)
    assert found.rmse >= found.mae - 1e-9


@given(VALUES)
def test_auc_turns_over_with_the_score_and_ignores_monotone_changes(rows: list[tuple[int, int]]) -> None:
    positive, score = np.array([a > 0 for a, _ in rows]), np.array([float(b) for _, b in rows])
    value = auc(positive, score)
    if value is not None:
        assert auc(positive, -score) == pytest.approx(1 - value)
        assert auc(positive, score**3 * 7 + 1) == pytest.approx(value)


def test_metrics_without_meaning_are_none() -> None:
    constant = measure([20.0, 20.0], [1.0, 2.0])
    assert (constant.r2, constant.auc) == (None, None)


@pytest.mark.parametrize(
    ("label", "score", "words"),
    [
        ([], [], "no labelled rows"),
        ([1.0], [1.0, 2.0], "not of one length"),
        ([1.0, 2.0], [1.0, math.nan], "1 of 2 values of score"),
    ],
)
def test_bad_input_is_named(label: list[float], score: list[float], words: str) -> None:
    with pytest.raises(SaimaError, match=words):
        measure(label, score)


def test_baselines_are_means_of_training_rows_only() -> None:
    train = pl.DataFrame({"carrier": ["A", "A", "B", None], "label": [10.0, 20.0, None, 0.0]})
    test = pl.DataFrame({"carrier": ["A", "B", "C", None]})
    found = baselines(train, test, "label", ["carrier"], smoothing=2.0)
    assert found["training_mean"].tolist() == [10.0] * 4
    assert found["group_mean"].tolist() == pytest.approx([12.5, 10.0, 10.0, 20 / 3])
    assert set(baselines(train, test, "label")) == {"training_mean"}


def metrics(mae: float, rows: int = 1000, auc: float | None = 0.7) -> Metrics:
    return Metrics(rows, mae, mae * 1.5, 0.1, auc)


@pytest.mark.parametrize(
    ("candidate", "champion", "passes", "words"),
    [
        (metrics(20.0), None, True, "no champion"),
        (metrics(20.0), metrics(21.0), True, "mae 20.000 against the champion's 21.000"),
        (metrics(21.1), metrics(21.0), True, "against"),
        (metrics(22.0), metrics(21.0), False, "the candidate loses"),
        (metrics(30.0, rows=50), metrics(20.0, rows=50), True, "too few"),
    ],
)
def test_the_gate_stops_a_candidate_that_loses(
    candidate: Metrics, champion: Metrics | None, passes: bool, words: str
) -> None:
    verdict = gate(candidate, champion)
    assert verdict.passed is passes
    assert words in verdict.reason


def test_the_gate_reads_auc_upwards() -> None:
    assert not gate(metrics(1.0, auc=0.6), metrics(2.0, auc=0.7), metric="auc").passed
    assert gate(metrics(3.0, auc=0.7), metrics(2.0, auc=0.6), metric="auc").passed
    assert gate(metrics(3.0, auc=None), metrics(2.0), metric="auc").passed


def test_the_gate_compares_the_same_rows_only() -> None:
    with pytest.raises(SaimaError, match="not the same rows"):
        gate(metrics(1.0, rows=500), metrics(1.0, rows=400))


def test_metrics_become_plain_values() -> None:
    assert evaluation.measure([1.0, 2.0], [1.0, 2.0]).to_json() == {
        "rows": 2,
        "mae": 0.0,
        "rmse": 0.0,
        "r2": 1.0,
        "auc": None,
        "log_loss": None,
    }
