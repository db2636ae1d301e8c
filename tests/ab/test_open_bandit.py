"""A real experiment with two policies: Open Bandit's uniform choice and Thompson sampling, seven days, few clicks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ab import off_policy, proportions
from ab.estimates import Estimate
from ab.plan import Plan
from ab.report import build, to_html, to_metadata
from ab.report.findings import Report
from saima.routing.experiments import Experiment

DATASETS = Path(os.environ.get("SAIMA_DATASETS", Path(__file__).parents[3] / "shared" / "data"))
CLICKS = {"all": {"random": 38, "bts": 42}, "men": {"random": 46, "bts": 69}}
ITEMS = {"all": 80, "men": 34}
NOW = 1_575_158_400_000


def logs(campaign: str, policy: str) -> pl.DataFrame:
    """A policy's log, read in place; the test is skipped where it is not."""
    path = DATASETS / "open_bandit" / f"{policy}_{campaign}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there: set SAIMA_DATASETS")
    return pl.read_parquet(path)


def experiment(method: str, weights: tuple[float, float] = (50, 50)) -> Experiment:
    arms = {name: {"lineage": name, "weight": w} for name, w in zip(("random", "bts"), weights, strict=True)}
    return Experiment.model_validate(
        {
            "experiment": "policies",
            "hypothesis": "Thompson sampling shows what is clicked.",
            "layer": "policy",
            "arms": arms,
            "metrics": {"click": {"value": "label", "kind": "proportion", "role": "primary"}},
            "analysis": {"method": method},
        }
    )


def samples(campaign: str) -> pl.DataFrame:
    """Impressions as samples. There is neither a user nor a page view in the logs: an impression is its own unit."""
    parts = [
        logs(campaign, policy).with_row_index("place").select(
            trace=pl.format("{}-{}", "policy", "place"),
            item=pl.lit(""),
            unit=pl.format("{}-{}", "policy", "place"),
            time=pl.col("timestamp").dt.timestamp("ms"),
            label=pl.col("click").cast(pl.Float64),
            label_time=pl.col("timestamp").dt.timestamp("ms"),
            experiment=pl.lit("policies"),
            arm="policy",
            version=pl.lit("1"),
            position="position",
            age=pl.col("user_feature_1"),
            affinity=pl.col("affinity").list.sum(),
        )
        for policy in ("random", "bts")
    ]  # fmt: skip
    return pl.concat(parts)


def report(campaign: str, method: str, weights: tuple[float, float] = (50, 50)) -> Report:
    plan = Plan(segments=["position", "age"], covariates={"click": "affinity"})
    frame = samples(campaign)
    return build(experiment(method, weights), frame.lazy(), generated=NOW, plan=plan, quantities=["affinity"])


@pytest.mark.parametrize("campaign", ["all", "men"])
def test_the_report_says_how_little_so_few_clicks_say(campaign: str) -> None:
    found = report(campaign, "sequential")
    assert found.verdict.code == "undecided"
    for arm, clicks in CLICKS[campaign].items():
        assert f"{arm} {clicks}" in found.verdict.because
    statuses = {check.name: check.status for check in found.checks}
    assert statuses["Sample ratio"] == statuses["Alike before"] == "pass"
    assert statuses["Enough successes"] == "warn"
    assert len(found.days) == 7
    assert {segment.name for segment in found.segments} == {"position", "age"}
    assert found.effects[0].saved is not None
    page = to_html(found)
    assert "handful" in page
    assert all("nan" not in str(value).lower() for key, value in to_metadata(found).items() if key != "trend")


def test_a_planned_look_at_men_is_the_known_test() -> None:
    """A/B `men`: z 2.1510, p 0.03148, Wald interval 0.000204 to 0.004396; with a caution."""
    pooled = proportions.compare((46, 10_000), (69, 10_000))
    assert isinstance(pooled, Estimate)
    assert (pooled.statistic, pooled.p_value) == pytest.approx((2.1510, 0.03148), abs=5e-5)
    found = build(experiment("fixed"), samples("men").lazy(), generated=NOW, quantities=["affinity"])
    estimate = found.effects[0].estimate
    assert estimate is not None
    assert (estimate.lower, estimate.upper) == pytest.approx((0.000204, 0.004396), abs=5e-6)
    assert found.verdict.code == "better"
    assert "Rare: click happened so seldom (random 46, bts 69)" in found.verdict.because


def test_another_design_is_a_mismatch() -> None:
    found = report("men", "sequential", (55, 45))
    assert found.verdict.code == "untrusted"
    assert "do not fit the design" in found.verdict.because


def fitted(frame: pl.DataFrame, items: int) -> dict[int, float]:
    """Click rate by item, drawn towards the mean of all: a reward model for rows that it has not seen."""
    rows = frame.group_by("item_id").agg(pl.col("click").sum(), pl.len()).iter_rows()
    mean = float(frame["click"].mean())  # type: ignore[arg-type]  # of numbers
    rates = {item: (clicks + 50 * mean) / (shown + 50) for item, clicks, shown in rows}
    return {item: rates.get(item, mean) for item in range(items)}


def halves(frame: pl.DataFrame, items: int, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(predicted, value) of every row by the model of the other half; target: the policy's share of each item."""
    item, half = frame["item_id"].to_numpy(), np.arange(frame.height) % 2
    predicted, value = np.empty(frame.height), np.empty(frame.height)
    for side in (0, 1):
        rates = fitted(frame.filter(pl.Series(half != side)), items)
        table = np.array([rates[each] for each in range(items)])
        predicted[half == side] = table[item[half == side]]
        value[half == side] = float(table @ target)
    return predicted, value


@pytest.mark.parametrize("campaign", ["all", "men"])
def test_uniform_choice_estimated_from_thompson_samplings_log(campaign: str) -> None:
    """The uniform policy also ran: all three estimators must agree with what it earned, within their errors."""
    frame, items = logs(campaign, "bts"), ITEMS[campaign]
    behaviour, click = frame["propensity_score"].to_numpy(), frame["click"].to_numpy()
    predicted, value = halves(frame, items, np.full(items, 1 / items))
    found = off_policy.evaluate(behaviour, np.full(len(click), 1 / items), click, predicted=predicted, value=value)
    assert isinstance(found, off_policy.OffPolicy)
    earned = CLICKS[campaign]["random"] / 10_000
    noise = math.sqrt(earned / 10_000)
    assert found.dr is not None
    assert found.errors[2] is not None
    estimates = zip((found.ips, found.snips, found.dr), found.errors, strict=True)
    for estimate, error in estimates:
        assert error is not None
        assert abs(estimate - earned) < 3.5 * math.hypot(error, noise)
    weights = [1 / items / p for p in behaviour]
    naive = sum(w * c for w, c in zip(weights, click, strict=True)) / len(weights)
    assert found.ips == pytest.approx(naive)
    assert found.snips == pytest.approx(naive * len(weights) / sum(weights))
    robust = sum(v + w * (c - q) for v, w, c, q in zip(value, weights, click, predicted, strict=True)) / len(weights)
    assert found.dr == pytest.approx(robust)
    assert found.ess == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
    assert found.ess < 0.25 * len(weights)
    assert f"only {CLICKS[campaign]['bts']} of 10000 rows were rewarded" in found.warning


@pytest.mark.parametrize("campaign", ["all", "men"])
def test_thompson_sampling_estimated_from_the_uniform_log(campaign: str) -> None:
    """What each item's share was under Thompson sampling in the week stands for its policy."""
    frame, items = logs(campaign, "random"), ITEMS[campaign]
    shares = np.bincount(logs(campaign, "bts")["item_id"].to_numpy(), minlength=items) / 10_000
    predicted, value = halves(frame, items, shares)
    target = shares[frame["item_id"].to_numpy()]
    behaviour, click = frame["propensity_score"].to_numpy(), frame["click"].to_numpy()
    found = off_policy.evaluate(behaviour, target, click, predicted=predicted, value=value)
    assert isinstance(found, off_policy.OffPolicy)
    earned = CLICKS[campaign]["bts"] / 10_000
    for estimate, error in ((found.ips, found.errors[0]), (found.dr, found.errors[2])):
        assert estimate is not None
        assert error is not None
        assert abs(estimate - earned) < 3.5 * math.hypot(error, math.sqrt(earned / 10_000))
    assert "rows were rewarded" in found.warning
