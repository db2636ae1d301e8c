"""A batch of units is assigned as they are one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.routing.batch import assign, assigned, place_expr
from saima.routing.buckets import Hash, place
from saima.routing.experiments import Experiment
from saima.routing.layers import Layers
from saima.routing.layout import Layout

HASHES = get_args(Hash)

LAYOUT = Layout.model_validate(
    {
        "unit": "user",
        "domains": {
            "holdout": {"buckets": [0, 500], "holdout": True},
            "one": {"buckets": [500, 4000]},
            "rest": {"buckets": [4000, 10_000]},
        },
        "layers": {"a": {"domain": "rest"}, "b": {"domain": "one", "salt": "b2"}, "c": {"launch": True}},
    }
)


def made(**changes: Any) -> Experiment:
    body: dict[str, Any] = {
        "experiment": "e",
        "layer": "a",
        "unit": "user",
        "arms": {"x": {"lineage": "l", "weight": 33.3}, "y": {"weight": 33.3}, "z": {"weight": 33.4}},
    }
    return Experiment.model_validate({**body, **changes})


@given(st.lists(st.text(), max_size=20), st.text(st.characters(exclude_characters="\x1f"), max_size=5))
def test_positions_are_equal_to_the_bit_for_any_text(units: list[str], salt: str) -> None:
    frame = pl.DataFrame({"u": units}, schema={"u": pl.String})
    for method in HASHES:
        found = frame.select(place_expr(method, salt, "u")).to_series().to_list()
        assert found == [place(method, salt, unit) if unit else None for unit in units]


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("method", HASHES)
def test_batch_and_scalar_agree_on_many_units(method: str, count: int) -> None:
    experiments = [
        made(hash=method, coverage=63.7, buckets=(100, 9_000), overrides={"user-7": "z"}),
        made(experiment="f", buckets=(9_000, 9_500), hash=method, salt="other"),
        made(experiment="g", layer="b", hash=method, eligibility="age > 3", overrides={"user-8": "x"}),
        made(experiment="h", layer="c", unit="device", hash=method, coverage=20),
    ]
    random = np.random.default_rng(7)
    users = [None if i % 97 == 0 else "" if i % 101 == 0 else f"user-{i}" for i in range(count)]
    ages = random.integers(0, 8, count)
    frame = pl.DataFrame({"user": users, "device": [f"d{i}é😀" for i in range(count)], "age": ages})
    found = assign(frame, experiments, LAYOUT, {"g": pl.col("age") > 3})
    layers = Layers(experiments, LAYOUT)

    def eligible(_: Experiment, context: Any) -> bool:
        return bool(context["age"] > 3)

    rows = list(frame.iter_rows(named=True))
    wanted: dict[str, list[str]] = {name: [] for name in found.columns}
    for row in rows:
        for one in layers.resolve(row.get, row, eligible):
            for part in ("experiment", "arm", "reason"):
                wanted[f"{one.layer}.{part}"].append(getattr(one, part))
    for name, values in wanted.items():
        assert found[name].cast(pl.String).to_list() == values, name
    assert {"hashed", "override", "outside", "not_eligible", "holdout"} == {
        reason for name in found.columns if name.endswith("reason") for reason in found[name].cast(pl.String).unique()
    }


def test_arms_of_units_seen() -> None:
    one = made(coverage=50, eligibility="age > 3")
    units = pl.Series([f"u{i}" for i in range(500)])
    layers = Layers([one.model_copy(update={"eligibility": None})])

    def at(unit: str) -> Callable[[str], str]:
        return lambda _: unit

    assert assigned(one, units).to_list() == [layers.resolve(at(unit))[0].arm for unit in units]
