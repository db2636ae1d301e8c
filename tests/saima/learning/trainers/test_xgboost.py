"""Boosted trees: they learn, repeat themselves, keep what they know on disk, go on from where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.learning.evaluation import measure
from saima.learning.trainers import trainer

TRAINER = trainer("xgboost")


@pytest.fixture(scope="module")
def learned(kit) -> object:
    return TRAINER.fit(kit.samples(2000), kit.trees())


def test_learns_the_function(kit, learned) -> None:
    test = kit.samples(500, seed=2)
    assert measure(test["label"], learned.predict(test)).r2 > 0.9


def test_same_samples_and_seed_give_the_same_model(kit, learned) -> None:
    test = kit.samples(100, seed=2)
    again = TRAINER.fit(kit.samples(2000), kit.trees())
    np.testing.assert_array_equal(again.predict(test), learned.predict(test))


def test_one_row_scores_as_it_does_among_many(kit, learned) -> None:
    test = kit.samples(50, seed=2)
    alone = [learned.predict(test[row])[0] for row in range(test.height)]
    np.testing.assert_array_equal(alone, learned.predict(test))


def test_null_and_nan_are_the_same_missing_value(kit, learned) -> None:
    test = kit.samples(50, seed=2)
    np.testing.assert_array_equal(
        learned.predict(test.with_columns(pl.col("load").fill_null(float("nan")))), learned.predict(test)
    )


def test_columns_are_found_by_name(kit, learned) -> None:
    test = kit.samples(50, seed=2)
    np.testing.assert_array_equal(learned.predict(test.select(reversed(test.columns))), learned.predict(test))


def test_saved_and_loaded_scores_alike(kit, learned, tmp_path: Path) -> None:
    learned.save(tmp_path / "model")
    loaded = TRAINER.load(tmp_path / "model")
    test = kit.samples(50, seed=2)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model.ubj"]
    assert loaded.features == learned.features
    np.testing.assert_array_equal(loaded.predict(test), learned.predict(test))


@pytest.mark.parametrize("increment", ["add", "refresh"])
def test_an_increment_goes_on_from_the_previous_model(kit, learned, increment: str, tmp_path: Path) -> None:
    shifted = kit.samples(2000, seed=4).with_columns(pl.col("label") + 30)
    spec = kit.trees(increment=increment, increment_rounds=30, increment_eta=0.2)
    before = measure(shifted["label"], learned.predict(shifted)).mae
    learned.save(tmp_path)
    after = TRAINER.fit(shifted, spec, TRAINER.load(tmp_path))
    assert measure(shifted["label"], after.predict(shifted)).mae < before / 2
    rounds = learned.booster.num_boosted_rounds()
    assert after.booster.num_boosted_rounds() == rounds + (30 if increment == "add" else 0)


def test_weights_count(kit) -> None:
    rows = kit.samples(400).with_columns(label=pl.when(pl.int_range(pl.len()) < 200).then(0.0).otherwise(10.0))
    heavy = rows.with_columns(weight=pl.when(pl.col("label") > 5).then(50.0).otherwise(0.02))
    assert TRAINER.fit(heavy, kit.trees(min_child_weight=0.0)).predict(rows).mean() > 9


def test_binary_scores_are_chances_and_ranking_groups_by_trace(kit) -> None:
    rows = kit.samples(800).with_columns(label=(pl.col("label") > 5).cast(pl.Float64))
    chances = TRAINER.fit(rows, kit.trees("binary")).predict(rows)
    assert 0 <= chances.min() <= chances.max() <= 1
    ranks = TRAINER.fit(rows, kit.trees("rank")).predict(rows)
    assert measure(rows["label"], ranks, threshold=0.5).auc > 0.8


def test_rows_without_a_label_are_left_out(kit) -> None:
    rows = kit.samples(300).with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then("label"))
    halves = TRAINER.fit(rows, kit.trees())
    np.testing.assert_array_equal(
        halves.predict(rows), TRAINER.fit(rows.filter(pl.col("label").is_not_null()), kit.trees()).predict(rows)
    )


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda kit: TRAINER.fit(kit.samples(10).drop("speed"), kit.trees()), "lack speed"),
        (
            lambda kit: TRAINER.fit(kit.samples(10).with_columns(label=pl.lit(None)), kit.trees()),
            "none of the 10 samples has a label",
        ),
        (
            lambda kit: TRAINER.fit(kit.samples(10), kit.trees(round=3)),
            r"unknown setting 'round' \(did you mean 'rounds'\?\)",
        ),
        (
            lambda kit: TRAINER.fit(kit.samples(10), kit.trees(), TRAINER.fit(kit.samples(10), renamed(kit))),
            "its features have changed",
        ),
        (lambda kit: trainer("xgbost"), "did you mean 'xgboost'"),
    ],
)
def test_errors_name_the_thing(kit, broken, words: str) -> None:
    with pytest.raises(SaimaError, match=words):
        broken(kit)


def renamed(kit):
    spec = kit.trees()
    narrow = spec.declaration.model_copy(update={"inputs": ["speed"]})
    return type(spec)("trees", narrow, spec.dtypes, 3, {"rounds": 2})


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"model\.ubj is missing"):
        TRAINER.load(tmp_path)
    (tmp_path / "model.ubj").write_bytes(b"torn")
    with pytest.raises(SaimaError, match=r"model\.ubj cannot be read"):
        TRAINER.load(tmp_path)


def test_another_kind_of_model_cannot_be_continued(kit) -> None:
    with pytest.raises(SaimaError, match="only afresh"):
        TRAINER.fit(kit.samples(50), kit.trees(), trainer("tensorflow").fit(kit.samples(50), kit.network(epochs=1)))
