"""Loss weights of delayed-feedback schemes, by the shared cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from saima.learning import labels

from .conftest import read_cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "label_weights.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def fnw(given: dict[str, Any]) -> dict[str, Any]:
    if "true_rate" in given:
        rate = given["true_rate"]
        return {"naive_rate": rate / (1 + rate), "fixed_point": fixed_point(rate)}
    if "logits" in given:
        return batch(np.array(given["logits"], dtype=float), np.array(given["labels"], dtype=float))
    p = labels.sigmoid(given["logit"]) if "logit" in given else np.float64(given["p"])
    weights = labels.fnw(p)
    found: dict[str, Any] = {"p": p, "weight_positive": weights.positive, "weight_negative": weights.negative}
    if "logit" in given:
        found["loss_positive"] = weights.positive * labels.softplus(-given["logit"])
        found["loss_negative"] = weights.negative * labels.softplus(given["logit"])
    return found


def batch(logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    p = labels.sigmoid(logits)
    weights = labels.weights("fnw", truth, p)
    losses = weights * np.where(truth > 0, labels.softplus(-logits), labels.softplus(logits))
    return {"mean_loss": losses.mean(), "gradient": weights * (p - truth)}


def fixed_point(rate: float) -> float:
    """Where gradient descent on the weighted stream stops: every row once as a negative, positives once more."""
    logit = 0.0
    for _ in range(4000):
        p = float(labels.sigmoid(logit))
        weights = labels.fnw(p)
        logit -= 0.5 * float(weights.negative * p - rate * weights.positive * (1 - p))
    return float(labels.sigmoid(logit))


def fnc(given: dict[str, Any]) -> dict[str, Any]:
    return {"p": labels.fnc(given["q"])}


def es_dfm(given: dict[str, Any]) -> dict[str, Any]:
    weights = labels.es_dfm(given["p1"], given["p_dp"])
    return {
        "p_rn": labels.real_negative(given["p1"], given["p_dp"]),
        "weight_positive": weights.positive,
        "weight_negative": weights.negative,
        "naive_rate": given["p1"] / (1 + given["p_dp"]),
        "multiplicity": 1 + given["p_dp"],
    }


def defer(given: dict[str, Any]) -> dict[str, Any]:
    weights = labels.defer(given["p1"], given["p_dp"])
    return {
        "weight_positive": weights.positive,
        "weight_negative": weights.negative,
        "naive_rate": given["p1"] - given["p_dp"] / 2,
        "multiplicity": 2,
    }


def dfm(given: dict[str, Any]) -> dict[str, Any]:
    p, rate = given["p"], given["lambda"]
    found: dict[str, Any] = {}
    if "delay" in given:
        found["loss_positive"] = labels.dfm_positive_loss(p, rate, given["delay"])
    if "elapsed" in given:
        found["loss_not_yet"] = labels.dfm_waiting_loss(p, rate, given["elapsed"])
        found["posterior"] = labels.dfm_posterior(p, rate, given["elapsed"])
    return found


METHODS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "fnw": fnw,
    "fnc": fnc,
    "es_dfm": es_dfm,
    "defer": defer,
    "dfm": dfm,
}


def test_weights(case: dict[str, Any]) -> None:
    assert case["method"] in METHODS, f"unknown method '{case['method']}' in case {case['id']}"
    found = METHODS[case["method"]](case["input"])
    for name, expected in case["expect"].items():
        assert name in found, f"case {case['id']} expects '{name}', which is not computed"
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=case["tolerance"], err_msg=name)
