"""The network: it learns through its own preprocessing, repeats itself, keeps what it knows, goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features.declaration import Model
from saima.learning.evaluation import measure
from saima.learning.trainers import ModelSpec, trainer

TRAINER = trainer("tensorflow")


@pytest.fixture(scope="module")
def learned(kit) -> object:
    return TRAINER.fit(kit.samples(2000), kit.network())


@pytest.fixture(scope="module")
def folder(learned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("network") / "model"
    learned.save(place)
    return place


def test_learns_the_function_missing_values_and_ids_included(kit, learned) -> None:
    test = kit.samples(500, seed=2)
    assert measure(test["label"], learned.predict(test)).r2 > 0.9
    gone = test.with_columns(load=pl.lit(None, dtype=pl.Float64))
    full = test.with_columns(load=pl.lit(0.0))
    assert 15 < (learned.predict(gone) - learned.predict(full)).mean() < 25


def test_same_samples_and_seed_give_the_same_model(kit) -> None:
    test, spec = kit.samples(50, seed=2), kit.network(epochs=2)
    first, again = (TRAINER.fit(kit.samples(500), spec).predict(test) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_saved_model_has_named_tensors_and_scores_alike(kit, learned, folder: Path) -> None:
    import tensorflow as tf

    loaded = TRAINER.load(folder)
    test = kit.samples(200, seed=2)
    np.testing.assert_array_equal(loaded.predict(test), learned.predict(test))
    signature = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    tensors = signature.structured_input_signature[1]
    assert {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in tensors.items()} == {
        "dense": ("float32", (None, 3)),
        "carrier_id": ("int64", (None, 1)),
    }
    assert list(signature.structured_outputs) == ["score"]
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_one_row_scores_as_it_does_among_many(kit, folder: Path) -> None:
    model = TRAINER.load(folder)
    test = kit.samples(40, seed=2)
    alone = [model.predict(test[row])[0] for row in range(test.height)]
    np.testing.assert_allclose(alone, model.predict(test), rtol=1e-5, atol=1e-5)


def test_unknown_identifiers_share_the_place_of_zero(kit, folder: Path) -> None:
    model = TRAINER.load(folder)
    test = kit.samples(20, seed=2)
    unknown = [
        model.predict(test.with_columns(carrier_id=pl.lit(value, dtype=pl.Int64))) for value in (0, 99, -5, None)
    ]
    for scores in unknown[1:]:
        np.testing.assert_array_equal(scores, unknown[0])


def test_an_increment_goes_on_from_the_loaded_weights(kit, folder: Path) -> None:
    shifted = kit.samples(1000, seed=4).with_columns(pl.col("label") + 8)
    previous = TRAINER.load(folder)
    before = measure(shifted["label"], previous.predict(shifted)).mae
    after = TRAINER.fit(shifted, kit.network(increment_epochs=10, increment_rate=0.01), previous)
    assert measure(shifted["label"], after.predict(shifted)).mae < before / 2
    assert after.architecture == previous.architecture


def test_binary_scores_are_chances(kit) -> None:
    rows = kit.samples(800).with_columns(label=(pl.col("label") > 5).cast(pl.Float64))
    chances = TRAINER.fit(rows, kit.network("binary", epochs=10)).predict(rows)
    assert 0 <= chances.min() <= chances.max() <= 1
    assert measure(rows["label"], chances, threshold=0.5).auc > 0.85


def test_errors_name_the_thing(kit, learned, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"architecture\.json is missing"):
        TRAINER.load(tmp_path)
    with pytest.raises(SaimaError, match="setting loss is 'cubic'"):
        TRAINER.fit(kit.samples(50), kit.network(loss="cubic"))
    other = kit.network(epochs=1)
    inputs = {**other.declaration.inputs, "dense": ["speed"]}
    changed = type(other)("network", other.declaration.model_copy(update={"inputs": inputs}), other.dtypes)
    with pytest.raises(SaimaError, match="only afresh"):
        TRAINER.fit(kit.samples(50), changed, learned)


LISTS = {"ids": "list<int64>", "levels": "list<float64>", "path": "list<vector<float32,2>>", "flag": "bool"}


def sequences(rows: int, seed: int) -> pl.DataFrame:
    """Label = 10 where the ids hold a 3, plus the mean of the levels, plus the mean of the path's first places."""
    draw = np.random.default_rng(seed)
    ids = [draw.integers(1, 6, draw.integers(0, 4)).tolist() for _ in range(rows)]
    levels = [draw.normal(size=draw.integers(0, 5)).round(3).tolist() for _ in range(rows)]
    path = [draw.normal(size=(draw.integers(0, 3), 2)).round(3).tolist() for _ in range(rows)]
    label = [
        10.0 * (3 in i) + (sum(x) / len(x) if x else 0.0) + (sum(p for p, _ in s) / len(s) if s else 0.0)
        for i, x, s in zip(ids, levels, path, strict=True)
    ]
    flag = draw.random(rows) < 0.5
    schema = {
        "ids": pl.List(pl.Int64), "levels": pl.List(pl.Float64), "path": pl.List(pl.List(pl.Float32)),
        "flag": pl.Boolean, "label": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame({"ids": ids, "levels": levels, "path": path, "flag": flag, "label": label}, schema=schema)


def listed(**inputs: object) -> ModelSpec:
    given = {
        "dense": ["flag"],
        "ids": {"tensor": "int64", "shape": [-1]},
        "levels": {"tensor": "float32", "shape": [4], "lengths": True},
        "path": {"tensor": "float32", "shape": [-1, 2], "lengths": True},
        **inputs,
    }
    declared = Model(kind="tensorflow", inputs=given, output="o")  # type: ignore[arg-type]
    settings = {"epochs": 40, "batch": 64, "rate": 0.01, "dropout": 0.0, "loss": "squared"}
    return ModelSpec("lists", declared, LISTS, 3, settings)


def test_lists_and_steps_are_pooled(tmp_path: Path) -> None:
    learned = TRAINER.fit(sequences(1500, 1), listed())
    test = sequences(300, 2)
    assert measure(test["label"], learned.predict(test)).r2 > 0.9
    learned.save(tmp_path)
    loaded = TRAINER.load(tmp_path)
    assert loaded.architecture == learned.architecture
    np.testing.assert_array_equal(loaded.predict(test), learned.predict(test))
    alone = [loaded.predict(test[row])[0] for row in range(20)]  # a batch's longest list is of no concern to a row
    np.testing.assert_allclose(alone, loaded.predict(test)[:20], rtol=1e-4, atol=1e-4)
    empty = test.with_columns(ids=pl.lit([], dtype=pl.List(pl.Int64)), levels=None, path=None)
    assert np.isfinite(loaded.predict(empty.cast(test.schema))).all()


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"tensor": "float32", "shape": [-1]}, "add 'lengths: true'"),
        ({"tensor": "float32", "shape": [-1], "ragged": True}, "does not learn from ragged tensors"),
    ],
)
def test_what_the_network_cannot_learn_from_is_named(tensor: dict[str, object], words: str) -> None:
    with pytest.raises(SaimaError, match=words):
        TRAINER.fit(sequences(20, 1), listed(levels=tensor))
