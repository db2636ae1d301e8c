"""LightGBM's trees: they learn, repeat themselves, keep what they know as text, go on from where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.learning.evaluation import measure
from saima.learning.trainers import ModelSpec, trainer

TRAINER = trainer("lightgbm")


def trees(kit, objective: str = "regression", **settings: object) -> ModelSpec:
    spec = kit.trees(objective)
    declared = spec.declaration.model_copy(update={"kind": "lightgbm"})
    return ModelSpec("leaves", declared, spec.dtypes, 3, {"rounds": 60, "eta": 0.2, **settings})


@pytest.fixture(scope="module")
def learned(kit) -> object:
    return TRAINER.fit(kit.samples(2000), trees(kit))


def test_learns_the_function(kit, learned) -> None:
    test = kit.samples(500, seed=2)
    assert measure(test["label"], learned.predict(test)).r2 > 0.9


def test_same_samples_and_seed_give_the_same_model(kit, learned) -> None:
    again = TRAINER.fit(kit.samples(2000), trees(kit))
    assert again.booster.model_to_string() == learned.booster.model_to_string()


def test_one_row_scores_as_it_does_among_many_and_null_as_nan(kit, learned) -> None:
    test = kit.samples(50, seed=2)
    alone = [learned.predict(test[row])[0] for row in range(test.height)]
    np.testing.assert_array_equal(alone, learned.predict(test))
    filled = test.with_columns(pl.col("load").fill_null(float("nan")))
    np.testing.assert_array_equal(learned.predict(filled), learned.predict(test))


def test_saved_as_text_and_loaded_scores_alike(kit, learned, tmp_path: Path) -> None:
    learned.save(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model.txt"]
    assert (tmp_path / "model" / "model.txt").read_text().startswith("tree\n")
    loaded = TRAINER.load(tmp_path / "model")
    test = kit.samples(50, seed=2)
    assert loaded.features == learned.features
    np.testing.assert_array_equal(loaded.predict(test), learned.predict(test))


@pytest.mark.parametrize("increment", ["add", "refit"])
def test_an_increment_goes_on_from_the_previous_model(kit, learned, increment: str, tmp_path: Path) -> None:
    shifted = kit.samples(2000, seed=4).with_columns(pl.col("label") + 30)
    spec = trees(kit, increment=increment, increment_rounds=30, increment_eta=0.2, decay=0.1)
    before = measure(shifted["label"], learned.predict(shifted)).mae
    learned.save(tmp_path)
    after = TRAINER.fit(shifted, spec, TRAINER.load(tmp_path))
    assert measure(shifted["label"], after.predict(shifted)).mae < before / 2
    assert after.booster.num_trees() == learned.booster.num_trees() + (30 if increment == "add" else 0)
    np.testing.assert_array_equal(TRAINER.load(tmp_path).predict(shifted), learned.predict(shifted))


def test_weights_count(kit) -> None:
    rows = kit.samples(400).with_columns(label=pl.when(pl.int_range(pl.len()) < 200).then(0.0).otherwise(10.0))
    heavy = rows.with_columns(weight=pl.when(pl.col("label") > 5).then(50.0).otherwise(0.02))
    assert TRAINER.fit(heavy, trees(kit, min_child_weight=0.0)).predict(rows).mean() > 9


def test_binary_scores_are_chances_and_ranking_groups_by_trace(kit) -> None:
    rows = kit.samples(800).with_columns(label=(pl.col("label") > 5).cast(pl.Float64))
    chances = TRAINER.fit(rows, trees(kit, "binary", min_child_weight=1.0)).predict(rows)
    assert 0 <= chances.min() <= chances.max() <= 1
    ranking = trees(kit, "rank", min_child_weight=0.001)
    ranks = TRAINER.fit(rows, ranking)
    assert measure(rows["label"], ranks.predict(rows), threshold=0.5).auc > 0.8
    assert TRAINER.fit(rows, ranking, ranks).booster.num_trees() == ranks.booster.num_trees() + 10


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_a_booster_made_elsewhere_is_taken_as_it_is(kit, learned, kind: str, tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    rows, test = kit.samples(500), kit.samples(20, seed=2)
    plain = rows.select("speed", "count").to_numpy()
    if kind == "lightgbm":
        file = "foreign.txt"
        foreign = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(plain, rows["label"].to_numpy()), 5)
        foreign.save_model(tmp_path / file)
        expected = foreign.predict(test.select("speed", "count").to_numpy())
    else:
        file = "foreign.ubj"
        booster = xgboost.train({}, xgboost.DMatrix(plain, label=rows["label"].to_numpy()), 5)
        booster.save_model(tmp_path / file)
        expected = booster.predict(xgboost.DMatrix(test.select("speed", "count").to_numpy()))
    update = {"kind": kind, "file": file, "inputs": ["speed", "count"], "settings": {}}
    declared = kit.trees().declaration.model_copy(update=update)
    spec = ModelSpec("foreign", declared, kit.trees().dtypes, directory=tmp_path)
    taken = trainer(kind).fit(rows, spec)
    taken.save(tmp_path / "kept")
    loaded = trainer(kind).load(tmp_path / "kept")
    assert taken.features == loaded.features == ("speed", "count")
    np.testing.assert_allclose(taken.predict(test), expected, rtol=1e-6)
    np.testing.assert_array_equal(loaded.predict(test), taken.predict(test))

    few = ModelSpec("foreign", declared.model_copy(update={"inputs": ["speed"]}), spec.dtypes, directory=tmp_path)
    with pytest.raises(SaimaError, match="takes 2 features, and the declaration names 1"):
        trainer(kind).fit(rows, few)
    swapped = declared.model_copy(update={"inputs": ["count", "speed"], "file": f"kept/model.{file.split('.')[1]}"})
    with pytest.raises(SaimaError, match="feature 0 is 'speed', and the declaration says 'count'"):
        trainer(kind).fit(rows, ModelSpec("foreign", swapped, spec.dtypes, directory=tmp_path))
    gone = declared.model_copy(update={"file": "gone"})
    with pytest.raises(SaimaError, match="model 'foreign': 'gone' does not exist"):
        trainer(kind).fit(rows, ModelSpec("foreign", gone, spec.dtypes, directory=tmp_path))


def test_errors_name_the_thing(kit, learned, tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"unknown setting 'leafs' \(did you mean 'leaves'\?\)"):
        TRAINER.fit(kit.samples(10), trees(kit, leafs=3))
    with pytest.raises(SaimaError, match="setting increment is 'grow'"):
        TRAINER.fit(kit.samples(50), trees(kit, increment="grow"), learned)
    narrow = trees(kit)
    inputs = narrow.declaration.model_copy(update={"inputs": ["speed"]})
    with pytest.raises(SaimaError, match="only afresh"):
        TRAINER.fit(kit.samples(50), ModelSpec("leaves", inputs, narrow.dtypes), learned)
    with pytest.raises(SaimaError, match=r"model\.txt is missing"):
        TRAINER.load(tmp_path)
    (tmp_path / "model.txt").write_text("torn")
    with pytest.raises(SaimaError, match=r"model\.txt cannot be read"):
        TRAINER.load(tmp_path)
