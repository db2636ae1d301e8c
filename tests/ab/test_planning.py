"""Before an experiment: durations that simulation confirms, salts that are alike, AA tests that see a wrong test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from ab import grouping
from ab.grouping import replayed, search
from ab.planning import duration
from ab.units import past
from saima.errors import SaimaError
from saima.routing.batch import assigned
from saima.routing.experiments import Experiment
from saima.routing.layout import altered

Samples = Callable[..., pl.DataFrame]
SALTS = [f"s{number}" for number in range(60)]


def by_user(samples: pl.DataFrame, users: int, spread: float = 30.0) -> pl.DataFrame:
    """Samples of few users, each of whom is late in his own way."""
    random = np.random.default_rng(3)
    user = random.integers(0, users, samples.height)
    habit = random.normal(0, spread, users)[user]
    return samples.with_columns(unit=pl.Series([f"u{i}" for i in user]), label=pl.col("label") + habit)


def test_a_metric_that_can_find_an_effect_finds_it_in_so_many_days(experiment: Experiment, samples: Samples) -> None:
    frame = samples(n=6000, days=6)
    found = duration(experiment, "absolute_error", frame.lazy(), effect=0.1)
    rate = 1000.0
    z = 1.959964 + 0.841621
    errors = (frame["label"] - frame["score"]).abs()
    units = 4 * float(errors.var()) * z**2 / (0.1 * float(errors.mean())) ** 2  # type: ignore[arg-type]
    assert found.days is not None
    assert found.days == pytest.approx(units / rate, abs=1.01)
    shares = [one for one in found.smallest.values() if one is not None]
    assert shares == sorted(shares, reverse=True)
    assert "absolute_error: mean" in str(found)


def test_an_analysis_that_may_be_read_every_day_takes_longer(experiment: Experiment, samples: Samples) -> None:
    frame = samples(n=6000).lazy()
    sequential = altered(experiment, analysis=altered(experiment.analysis, method="sequential"))
    fixed, looked = (duration(one, "late", frame, effect=0.1).days or 0 for one in (experiment, sequential))
    assert fixed < looked
    half = altered(experiment, coverage=50, buckets=(0, 5000))
    assert (duration(half, "late", frame, effect=0.1).days or 0) > fixed


def test_what_cannot_be_planned_says_why(experiment: Experiment, samples: Samples) -> None:
    frame = samples(n=300)
    same = duration(experiment, "late", frame.with_columns(label=pl.lit(0.0)).lazy(), effect=0.1)
    assert "every past unit has the same value" in str(same)
    with pytest.raises(SaimaError, match="no sample of experiment 'fusion' has an outcome"):
        past(experiment, frame.with_columns(label=pl.lit(None, pl.Float64)).lazy())
    with pytest.raises(ValueError, match="above 0"):
        duration(experiment, "late", frame.lazy(), effect=-0.1)


def test_the_chosen_salt_is_the_one_that_is_most_alike(experiment: Experiment, samples: Samples) -> None:
    frame = samples(n=1500)
    found = search(experiment, frame.lazy(), SALTS)
    seen = past(experiment, frame.lazy()).frame
    naive: dict[str, float] = {}
    for salt in SALTS:
        arms = assigned(altered(experiment, salt=salt), seen["unit"])
        gaps = []
        for metric in experiment.metrics:
            values = seen[f"{metric}:value"] / seen[f"{metric}:denominator"]
            means = [float(values.filter(arms == arm).mean()) for arm in experiment.arms]  # type: ignore[arg-type]
            gaps.append(abs(means[1] - means[0]) / float(values.std(ddof=0)))  # type: ignore[arg-type]
        naive[salt] = max(gaps)
    assert found.salt == min(naive, key=lambda salt: naive[salt])
    assert found.difference == pytest.approx(naive[found.salt])
    assert found.difference < found.median
    assert 0 < found.joint_p <= 1


def test_aa_tests_by_units_are_uniform_and_by_rows_are_not(
    experiment: Experiment, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = by_user(samples(n=6000), users=400)
    salts = [f"r{number}" for number in range(300)]
    by_units = replayed(experiment, frame.lazy(), salts)
    assert all(one.uniform and one.tests == 300 for one in by_units), by_units
    assert all(one.below < 0.09 for one in by_units)

    def rows(one: Experiment, seen: Any) -> Any:
        return past(one, seen)

    monkeypatch.setattr(grouping, "_codes", _per_user(frame))
    monkeypatch.setattr(grouping, "past", lambda one, seen: rows(one, seen.with_columns(unit=pl.col("trace"))))
    by_rows = {one.metric: one for one in replayed(experiment, frame.lazy(), salts)}
    assert not by_rows["late"].uniform, "impressions as units pretend to know more than they do"
    assert by_rows["late"].below > 0.15


def _per_user(frame: pl.DataFrame) -> Callable[..., Any]:
    users = dict(zip(frame["trace"].to_list(), frame["unit"].to_list(), strict=True))

    def codes(experiment: Experiment, seen: Any, salt: str) -> Any:
        mine = pl.Series([users[trace] for trace in seen.frame["unit"]])
        arms = assigned(altered(experiment, salt=salt), mine)
        return arms.replace_strict(
            {name: i for i, name in enumerate(experiment.arms)}, return_dtype=pl.Int64
        ).to_numpy()

    return codes


def test_an_arm_without_units_and_a_constant_metric_say_so(experiment: Experiment, samples: Samples) -> None:
    frame = samples(n=300).with_columns(label=pl.lit(0.0), score=pl.lit(0.0)).lazy()
    for one in replayed(experiment, frame, SALTS[:20]):
        assert one.tests == 0
        assert "same value" in str(one)
    found = search(experiment, frame, SALTS[:5])
    assert found.difference == 0.0
    assert isinstance(found.to_json()["joint_p"], float)
