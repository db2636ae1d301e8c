"""Data that nobody wished for: a verdict that says so, never a NaN on the page, never an exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ab.plan import Plan
from ab.report import build, to_html, to_metadata
from ab.report.findings import Report
from saima.errors import DeclarationError
from saima.routing.experiments import Experiment

from .test_report import read

Make = Callable[..., Any]
NOW = 1_366_000_000_000
INF = float("inf")
PLAN = Plan(covariates={"absolute_error": "before", "late": "temperature"}, winsorise={"absolute_error": 0.99},
            segments=["item", "temperature"], phases=[1_365_000_000_000], minimum_days=2)  # fmt: skip


def reported(experiment: Experiment, frame: pl.DataFrame, plan: Plan | None = None, **more: Any) -> Report:
    """The report, whose page and metadata hold no value that is none."""
    report = build(experiment, frame.lazy(), generated=NOW, plan=plan, **more)
    read(to_html(report))
    for name, value in to_metadata(report).items():
        assert name == "trend" or not {"nan", "inf"} & set(str(value).lower().split()), (name, value)
    return report


CASES: dict[str, tuple[Callable[[Make], pl.DataFrame], str, str]] = {
    "no row": (lambda make: make(0), "no_data", "No decision"),
    "an arm without units": (lambda make: make(share=1.0), "one_arm", "without challenger"),
    "one unit": (lambda make: make(1), "one_arm", "nothing to compare"),
    "one unit an arm": (
        lambda make: make(2).with_columns(arm=pl.Series(["champion", "challenger"]), label_time=pl.col("time")),
        "constant", "a variance needs at least 2",
    ),
    "all zero": (
        lambda make: make(600).with_columns(label=pl.lit(0.0), score=pl.lit(0.0), temperature=pl.lit(0.0)),
        "constant", "Every unit has the same value",
    ),
    "all infinite": (
        lambda make: make(600).with_columns(score=pl.lit(INF)), "untrusted", "infinite in",
    ),
    "some infinite": (
        lambda make: make(better=0.3).with_columns(
            score=pl.when(pl.int_range(pl.len()) % 500 == 0).then(-INF).otherwise("score")
        ),
        "better", "is infinite in",
    ),
    "all NaN": (lambda make: make(600).with_columns(score=pl.lit(float("nan"))), "constant", "no unit with a value"),
    "enormous": (lambda make: make(600).with_columns(score=pl.col("score") * 1e200), "constant", ""),
    "units are fractions": (
        lambda make: make(600).with_columns(unit=pl.int_range(pl.len()) + 0.5), "untrusted", "units are Float64",
    ),
    "units are lists": (
        lambda make: make(600).with_columns(unit=pl.concat_list("unit")), "untrusted", "neither text nor whole numbers",
    ),
    "units without a name": (
        lambda make: make(600).with_columns(
            unit=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("")).otherwise("unit")
        ),
        "untrusted", "have no unit",
    ),
    "units are numbers": (lambda make: make(better=0.3).with_columns(unit=pl.int_range(pl.len())), "better", "lower"),
    "one unit is everybody": (
        lambda make: make(600).with_columns(unit=pl.lit("u")), "untrusted", "saw several arms",
    ),
    "unknown arms": (lambda make: make(600).with_columns(arm=pl.lit("other")), "no_data", ""),
}  # fmt: skip


@pytest.mark.parametrize("method", ["fixed", "sequential"])
@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_bad_data_has_a_verdict(name: str, method: str, experiment: Experiment, samples: Make) -> None:
    make, code, part = CASES[name]
    body = {**experiment.model_dump(mode="json"), "analysis": {"alpha": 0.05, "method": method}}
    chosen = Experiment.model_validate(body)
    for plan in (None, PLAN):
        report = reported(chosen, make(samples), plan)
        assert report.verdict.code == code, report.verdict
        assert part in report.verdict.because


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(values=[1e308, 1.0, 1.7e308] * 4, planned=True)
@example(values=[-1e308, 1.6e308] * 6, planned=False)
@given(
    values=st.lists(st.one_of(st.floats(), st.just(0.0), st.just(1e308)), min_size=0, max_size=12),
    planned=st.booleans(),
)
def test_any_numbers_make_a_page(values: list[float], planned: bool, experiment: Experiment, samples: Make) -> None:
    frame = samples(len(values)).with_columns(score=pl.Series(values, dtype=pl.Float64))
    reported(experiment, frame, PLAN if planned else None)


def test_a_plan_names_what_is_there(experiment: Experiment, samples: Make) -> None:
    for plan, text in (
        (Plan(segments=["temprature"]), "did you mean 'temperature'"),
        (Plan(covariates={"lat": "before"}), "did you mean 'late'"),
        (Plan(covariates={"late": "temprature"}), "covariates.late"),
        (Plan(winsorise={"nothing": 0.99}), "no such metric"),
    ):
        with pytest.raises(DeclarationError, match=text):
            build(experiment, samples(50).lazy(), generated=NOW, plan=plan)
    with pytest.raises(ValueError, match="is not a share"):
        Plan(winsorise={"late": 99})
