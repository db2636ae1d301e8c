"""Statistics, case by case: every method of statistics.json; a method or an option that is not known fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
import pytest
from tea_tasting.aggr import Aggregates

from ab import bayes, means, moments, multiplicity, off_policy, power, proportions, quantiles, sequential, srm
from ab.estimates import Estimate, NoResult

from .conftest import case_files, read_one

Case = dict[str, Any]
Result = dict[str, Any]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    files = case_files(metafunc.config, "statistics.json")
    cases = [{**case, "folder": file.parent} for file in files for case in read_one(file)]
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def options(case: Case, **known: Any) -> Result:
    """The case's options over defaults; one that is not known fails."""
    unknown = set(case.get("options", {})) - set(known)
    assert not unknown, f"options {sorted(unknown)} of {case['method']} are not known"
    return {**known, **case.get("options", {})}


def plain(result: Any) -> Result:
    if isinstance(result, NoResult):
        assert result.reason
        return {"no_result": True}
    values = asdict(result)
    if isinstance(result, Estimate):
        values["relative_interval"] = result.relative_interval
        values["unit_variance_control"] = result.variance_control
        values["unit_variance_treatment"] = result.variance_treatment
    return values


def aggregates(data: Case, case: Case, arm: str) -> Aggregates | NoResult:
    columns = list(data["columns"].values())
    if "file" in data:
        frame = pl.scan_csv(case["folder"] / data["file"])
        groups = moments.from_frame(frame, data["variant"], columns)
        return groups.get((data[arm],), NoResult("the arm has no units"))
    given = data[arm]
    if "sum" in given:
        return moments.from_sums(given["n"], given["sum"], given["sum_squares"], given.get("sum_products"))
    return moments.from_moments(given["n"], given["mean"], given["var"], given.get("cov"))


def run_means(case: Case) -> Result:
    data = case["input"]
    chosen = options(case, alpha=0.05, alternative="two-sided", distribution="t")
    arms = [aggregates(data, case, arm) for arm in ("control", "treatment")]
    return plain(means.compare(arms[0], arms[1], **data["columns"], **chosen))


def run_proportion(case: Case) -> Result:
    data, chosen = case["input"], options(case, test="z_pooled", correction=False, alpha=0.05)
    arms = [(data[arm]["successes"], data[arm]["n"]) for arm in ("control", "treatment")]
    return plain(proportions.compare(arms[0], arms[1], **chosen))


def run_sequential(case: Case) -> Result:
    chosen = options(case, alpha=0.05, tuning=5000, alternative="two-sided")
    return plain(sequential.confidence_sequence(**case["input"], **chosen))


def run_srm(case: Case) -> Result:
    result = srm.srm(case["input"]["counts"], case["input"]["weights"], **options(case, test="chi2"))
    return plain(result) | ({} if isinstance(result, NoResult) else {"chi2": result.statistic})


def run_srm_sequential(case: Case) -> Result:
    result = srm.srm_sequential(case["input"]["counts"], case["input"]["weights"], **options(case))
    return plain(result) | ({} if isinstance(result, NoResult) else {"log_odds": result.statistic})


def run_adjustment(case: Case) -> Result:
    options(case)
    return {"adjusted": multiplicity.adjust(case["input"]["p_values"], case["method"])}


def run_power(case: Case) -> Result:
    data = dict(case["input"])
    chosen = options(case, alpha=0.05, solve=None, tuning=None)
    common = {"alpha": chosen["alpha"]} | ({"power": data.pop("power")} if "power" in data else {})
    match (frozenset(data), chosen["solve"]):
        case (keys, "additional") if keys == {"se", "n", "mde"}:
            return {"additional": power.additional(**data, **common, tuning=chosen["tuning"])}
        case (keys, _) if keys == {"effect", "se"}:
            return {"power": power.normal_power(**data, **common)}
        case (keys, _) if keys == {"se"}:
            return {"effect": power.normal_effect(**data, **common)}
        case (keys, _) if keys == {"effect_size", "ratio"}:
            return {"n_control": power.t_units(**data, **common)}
        case (keys, _) if keys == {"p_control", "p_treatment"}:
            size, n = power.proportion_units(data["p_control"], data["p_treatment"], **common)
            return {"effect_size": size, "n_control": n, "n_treatment": n, "n": n}
        case (keys, "n") if keys == {"var", "effect"}:
            return {"n": power.total_units(data["var"], data["effect"], **common)}
        case (keys, "effect") if keys == {"var", "n"}:
            return {"effect": power.smallest_effect(data["var"], data["n"], **common)}
    raise AssertionError(f"power of {sorted(data)} with {chosen} is not known")


def run_bayes(case: Case) -> Result:
    return plain(bayes.posterior(**case["input"], **options(case, alpha=0.05, prior_mean=0.0, prior_variance=np.inf)))


def run_quantile(case: Case) -> Result:
    chosen, arms, result = options(case, alpha=0.05), {}, {}
    for name, arm in case["input"].items():
        clusters = quantiles.Clusters(arm["level"], arm["clusters"], **arm["sums"]) if "clusters" in arm else None
        variance = quantiles.unit_variance(arm["n"], arm["lower"], arm["upper"], clusters)
        arms[name] = (arm["n"], arm["quantile"], variance)
        result[f"unit_variance_{name}"] = variance
    if set(arms) == {"control", "treatment"}:
        result |= plain(quantiles.compare(arms["control"], arms["treatment"], **chosen))
    return result


def run_ope(case: Case) -> Result:
    data, chosen = case["input"], options(case, clip=None)
    return plain(
        off_policy.evaluate(
            data["pi_b"], data["pi_e"], data["reward"], predicted=data.get("q"), value=data.get("v"), **chosen
        )
    )


def run_msprt(case: Case) -> Result:
    chosen = options(case, alpha=0.05, mixing_variance=None)
    looks = [tuple(look) for look in case["input"]["looks"]]
    result = plain(sequential.mixture_test(looks, **chosen))
    return result | {"lambda": list(result.get("likelihood_ratios", []))}


def run_thompson(case: Case) -> Result:
    options(case)
    arms = case["input"]
    return {"probability": bayes.probability_better(tuple(arms["control"]), tuple(arms["treatment"]))}


METHODS: dict[str, Callable[[Case], Result]] = {
    **dict.fromkeys(("welch", "ratio", "cuped", "ratio_cuped"), run_means),
    **dict.fromkeys(("holm", "bh", "by", "bonferroni", "holm_sidak", "hochberg_sidak"), run_adjustment),
    **dict.fromkeys(("power", "mde"), run_power),
    "proportion": run_proportion,
    "sequential": run_sequential,
    "srm": run_srm,
    "srm_sequential": run_srm_sequential,
    "bayes": run_bayes,
    "quantile": run_quantile,
    "ope": run_ope,
    "msprt": run_msprt,
    "thompson_probability": run_thompson,
}


def check(actual: Any, expected: Any, tolerance: float, where: str) -> None:
    if isinstance(expected, list):
        assert len(actual) == len(expected), where
        for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
            check(one, other, tolerance, f"{where}[{index}]")
    elif expected is None or isinstance(expected, bool):
        assert actual is expected, where
    else:
        assert actual is not None, f"{where} has no value, expected {expected}"
        assert abs(actual - expected) <= tolerance * max(1.0, abs(expected)), f"{where}: {actual} is not {expected}"


def test_case(case: Case) -> None:
    assert case["method"] in METHODS, f"method {case['method']} is not known"
    result = METHODS[case["method"]](case)
    for key, expected in case["expect"].items():
        assert key in result, f"{key} is not in the result {sorted(result)}"
        check(result[key], expected, case.get("tolerance", 1e-6), key)
