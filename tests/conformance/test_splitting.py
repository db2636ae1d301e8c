"""Splitting, case by case, through the scalar and the Polars expression."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from saima.routing import draws
from saima.routing.arms import Gate, Split, Stickiness, choose, ranges, stick
from saima.routing.buckets import bucket, bucket_expr, place, planout

from .conftest import read_cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "splitting.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def split_of(experiment: dict[str, Any]) -> Split:
    count = experiment["arms"]
    weights = experiment.get("weights") or [1 / count] * count
    arms = experiment.get("ranges") or ranges(weights, experiment.get("coverage", 1))
    return Split(
        salt=experiment["salt"],
        hash=experiment.get("hash", "xxh64"),
        arms=tuple((a, b) for a, b in arms),
        gates=tuple(Gate(g["salt"], tuple(g["range"]), g["hash"]) for g in experiment.get("gates", [])),
        force=experiment.get("force"),
        overrides=experiment.get("overrides", {}),
    )


def places(method: str, salt: str, units: list[str]) -> np.ndarray:
    if method == "xxh64":
        frame = pl.DataFrame({"unit": units}).select(bucket_expr(salt, "unit"))
        return frame.to_series().to_numpy() / 10_000
    return np.array([place(method, salt, unit) for unit in units])


def arm_codes(split: Split, units: list[str]) -> list[int | None]:
    return [choose(split.arms, n) for n in places(split.hash, split.salt, units)]


def numbers(text: str) -> list[str]:
    first, last = text.split("..")
    return [str(i) for i in range(int(first), int(last) + 1)]


def run_bucket(case: dict[str, Any]) -> None:
    def ask() -> float:
        size = case.get("buckets", 10_000)
        if case["hash"] == "xxh64":
            value = bucket(case["salt"], case["unit"], size)
            frame = pl.DataFrame({"unit": [case["unit"]]}).select(bucket_expr(case["salt"], "unit", size))
            assert frame.item() == value
            return value
        if case["hash"] == "planout":
            return planout(case["salt"], case["unit"]) % size
        return place(case["hash"], case["salt"], case["unit"])

    if case["expect"] == "error":
        with pytest.raises(ValueError):
            ask()
        return
    assert ask() == pytest.approx(case["expect"], abs=1e-9)
    if "expect_hash" in case:
        assert str(planout(case["salt"], case["unit"])) == case["expect_hash"]


def run_bucket_many(case: dict[str, Any]) -> None:
    frame = pl.DataFrame({"unit": case["units"]}).select(bucket_expr(case["salt"], "unit"))
    assert frame.to_series().to_list() == case["expect"]
    assert [bucket(case["salt"], unit) for unit in case["units"]] == case["expect"]


def run_distinct(case: dict[str, Any]) -> None:
    assert len({bucket(salt, unit) for salt, unit in case["pairs"]}) == len(case["pairs"])


def run_ranges(case: dict[str, Any]) -> None:
    if case["expect"] == "error":
        with pytest.raises(ValueError):
            ranges(case["weights"], case["coverage"])
        return
    found = ranges(case["weights"], case["coverage"])
    assert np.array(found).ravel() == pytest.approx(np.array(case["expect"]).ravel(), abs=1e-9)


def run_choose(case: dict[str, Any]) -> None:
    assert choose([(a, b) for a, b in case["ranges"]], case["n"]) == case["expect"]


def run_member(case: dict[str, Any]) -> None:
    gate = Gate(case["salt"], tuple(case["range"]), case["hash"])
    assert [gate.holds(unit) for unit in case["units"]] == case["expect"]


def run_assign(case: dict[str, Any]) -> None:
    split = split_of(case["experiment"])
    found = [split.assign(unit) for unit in case["units"]]
    assert [choice.arm for choice in found] == case["expect"]
    if "expect_exposed" in case:
        assert [choice.exposed for choice in found] == case["expect_exposed"]


def run_ramp(case: dict[str, Any]) -> None:
    units = numbers(case["units"])
    steps = [
        arm_codes(Split(case["salt"], tuple(ranges(case["weights"], step)), case["hash"]), units)
        for step in case["steps"]
    ]
    for arms, counts in zip(steps, case["expect_counts"], strict=True):
        assert [arms.count(None), *(arms.count(i) for i in range(len(case["weights"])))] == counts
    moved = {
        unit
        for before, after in pairwise(steps)
        for unit, old, new in zip(units, before, after, strict=True)
        if old is not None and old != new
    }
    assert len(moved) == case["expect_moved"]


def run_reweight(case: dict[str, Any]) -> None:
    units = numbers(case["units"])
    before, after = (
        arm_codes(Split(case["salt"], tuple(ranges(case[key])), case["hash"]), units)
        for key in ("weights_before", "weights_after")
    )
    assert sum(a != b for a, b in zip(before, after, strict=True)) == case["expect_moved"]


def run_independence(case: dict[str, Any]) -> None:
    units = numbers(case["units"])
    rows, columns = (
        np.floor(places(case["hash"], salt, units) * classes + 1e-9).astype(int)
        for salt, classes in zip(case["salts"], case["table"], strict=True)
    )
    observed = np.zeros(case["table"])
    np.add.at(observed, (rows, columns), 1)
    result = stats.chi2_contingency(observed, correction=False)
    expect = case["expect"]
    if "p_value_above" in expect:
        assert result.pvalue > expect["p_value_above"]
    if "p_value_below" in expect:
        assert result.pvalue < expect["p_value_below"]
    if "max_cell_deviation" in expect:
        assert np.abs(observed / result.expected_freq - 1).max() <= expect["max_cell_deviation"]


def run_draw(case: dict[str, Any]) -> None:
    salt, unit = case["salt"], case["unit"]
    found: Any
    match case["op"]:
        case "uniform_choice":
            found = draws.uniform_choice(salt, unit, case["choices"])
        case "weighted_choice":
            found = draws.weighted_choice(salt, unit, case["choices"], case["weights"])
        case "bernoulli":
            found = draws.bernoulli(salt, unit, case["p"])
        case "sample":
            found = draws.sample(salt, unit, case["choices"], case["draws"])
        case op:
            pytest.fail(f"unknown draw '{op}'")
    assert found == case["expect"]


def run_sticky(case: dict[str, Any]) -> None:
    experiment, expect = case["experiment"], case["expect"]
    rule = Stickiness(
        experiment["hash_attribute"],
        experiment.get("fallback_attribute"),
        experiment["bucket_version"],
        experiment["min_bucket_version"],
        experiment["sticky"],
    )
    found = stick(split_of(experiment), rule, case["attributes"], case["stored"])
    assert (found.arm, found.used, found.stored) == (expect["arm"], expect["sticky_used"], expect["stored"])
    if expect["arm"] is not None:
        assert found.place == pytest.approx(expect["bucket"])


RUN = {name.removeprefix("run_"): function for name, function in list(globals().items()) if name.startswith("run_")}


def test_splitting(case: dict[str, Any]) -> None:
    assert case["kind"] in RUN, f"unknown kind of case '{case['kind']}'"
    RUN[case["kind"]](case)
