"""Compiled trees answer as XGBoost does, bit for bit, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.errors import SaimaError
from saima.learning.trainers import forest as module
from saima.learning.trainers import trainer
from saima.learning.trainers.forest import forest

OBJECTIVES = ("reg:squarederror", "binary:logistic", "rank:ndcg", "rank:pairwise")


def trained(seed: int, objective: str = "reg:squarederror", width: int = 7, rounds: int = 12, **options: Any) -> Any:
    random = np.random.default_rng(seed)
    rows = random.lognormal(0, 2, (400, width)).astype(np.float32)
    rows[random.random(rows.shape) < random.choice([0, 0.1, 0.6])] = np.nan
    label = np.nan_to_num(rows[:, 0]) + random.normal(size=400)
    label = label if objective == "reg:squarederror" else (label > np.median(label)).astype(float)
    groups = {"qid": np.arange(400) // 8} if objective.startswith("rank") else {}
    data = xgboost.DMatrix(rows, label=label, enable_categorical=True, **groups, **options.pop("data", {}))
    params = {"objective": objective, "nthread": 1, "seed": seed, "tree_method": "hist", **options}
    return xgboost.train(params, data, num_boost_round=rounds)


def asked(seed: int, width: int, rows: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.lognormal(0, 2, (rows, width)).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        made[random.random(made.shape) < 0.05] = value
    return made


def bits(values: Any) -> list[int]:
    found: list[int] = np.asarray(values, np.float32).view(np.int32).tolist()
    return found


@given(
    st.integers(0, 2**31),
    st.sampled_from(OBJECTIVES),
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(0, 8),
    st.integers(1, 200),
)
@settings(deadline=None)
def test_generated_boosters_answer_to_the_bit(
    seed: int, objective: str, width: int, rounds: int, depth: int, rows: int
) -> None:
    grown = {"max_depth": depth} if depth else {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 9}
    booster = trained(seed, objective, width, rounds, **grown, eta=0.5, subsample=0.7)
    made = forest(booster)
    assert made is not None
    given = asked(seed + 1, width, rows)
    expected = booster.inplace_predict(given, missing=np.nan, validate_features=False)
    assert bits(made.predict(given)) == bits(expected)
    assert bits(made.predict(np.asfortranarray(given))) == bits(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"booster": "dart"},
        {"booster": "gblinear", "tree_method": None},
        {"objective": "multi:softprob", "num_class": 2},
        {"objective": "reg:gamma"},
        {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 300, "min_child_weight": 0, "rounds": 1, "deep": 1},
        {"data": {"feature_types": ["c", *["q"] * 6]}},
    ],
)
def test_other_boosters_answer_themselves(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if options.pop("deep", 0):
        monkeypatch.setattr(module, "_DEEPEST", 3)
    if "data" in options:
        random = np.random.default_rng(0)
        rows = np.column_stack([random.integers(0, 9, 400), random.normal(size=(400, 6))]).astype(np.float32)
        data = xgboost.DMatrix(rows, label=rows[:, 0] % 3, enable_categorical=True, **options["data"])
        booster = xgboost.train({"nthread": 1, "max_cat_to_onehot": 1}, data, 5)
    elif options.get("tree_method", "hist") is None:
        rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        booster = xgboost.train({"booster": "gblinear", "nthread": 1}, xgboost.DMatrix(rows, label=rows[:, 0]), 3)
    elif options.get("objective") == "reg:gamma":
        rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        data = xgboost.DMatrix(rows, label=np.exp(rows[:, 0]))
        booster = xgboost.train({"objective": "reg:gamma", "nthread": 1}, data, 3)
    else:
        chosen = {"objective": "reg:squarederror", **options}
        objective = chosen.pop("objective")
        booster = trained(3, objective, **chosen)
    assert forest(booster) is None


def test_trees_that_answer_differently_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._read
    booster = trained(5)
    assert forest(booster) is not None

    def spoilt(learner: dict[str, Any]) -> Any:
        made = read(learner)
        assert made is not None
        made.value[:] = np.nextafter(made.value, np.float32(np.inf))
        return made

    monkeypatch.setattr(module, "_read", spoilt)
    assert forest(booster) is None


def test_rows_of_another_width_are_refused() -> None:
    made = forest(trained(1))
    assert made is not None
    with pytest.raises(SaimaError, match="rows have 6 features, and the trees were trained on 7"):
        made.predict(np.zeros((3, 6), np.float32))


def test_a_model_that_is_loaded_answers_by_its_trees(kit: Any, tmp_path: Path) -> None:
    learned: Any = trainer("xgboost").fit(kit.samples(500), kit.trees())
    assert learned.forest is None
    learned.save(tmp_path)
    loaded: Any = trainer("xgboost").load(tmp_path)
    assert loaded.forest is not None
    test = kit.samples(300, seed=2)
    np.testing.assert_array_equal(loaded.predict(test), learned.predict(test))
