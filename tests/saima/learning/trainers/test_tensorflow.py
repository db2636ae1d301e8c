"""The network: it learns through its own preprocessing, repeats itself, keeps what it knows, goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.learning.evaluation import measure
from saima.learning.trainers import trainer

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
