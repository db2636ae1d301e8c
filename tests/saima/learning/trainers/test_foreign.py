"""TensorFlow models made elsewhere: brought, checked against the declaration, kept, run as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features.declaration import Model
from saima.learning.trainers import ModelSpec, trainer
from saima.learning.trainers.runtime import tensorflow

TRAINER = trainer("tensorflow")
DTYPES = {
    "x": "float32",
    "y": "float64",
    "n": "int64",
    "ids": "list<int64>",
    "word": "string",
    "v": "vector<float32,2>",
}
FRAME = pl.DataFrame(
    {
        "x": pl.Series([1.0, 2.0, None], dtype=pl.Float32), "y": [0.5, 0.25, 4.0], "n": [1, 2, 3],
        "ids": [[1, 2], [], [5, 6, 7]], "word": ["a", "bb", None],
        "v": pl.Series([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=pl.List(pl.Float32)),
    }
)  # fmt: skip


def saved(place: Path, function: Callable[..., Any], **inputs: tuple[Any, str]) -> Path:
    """A SavedModel of a function over named tensors."""
    tf = tensorflow()
    holder = tf.Module()
    holder.offset = tf.Variable(10.0)
    specs = {name: tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()}
    serve = tf.function(lambda **given: function(holder, **given)).get_concrete_function(**specs)
    tf.saved_model.save(holder, str(place), signatures={"serving_default": serve})
    return place


def frozen(path: Path) -> Path:
    """A frozen graph, as TensorFlow 1 wrote it: two placeholders, two outputs."""
    v1 = tensorflow().compat.v1
    with v1.Graph().as_default() as graph:
        dense = v1.placeholder("float32", (None, 2), name="dense")
        ids = v1.placeholder("int64", (None, None), name="ids")
        total = v1.add(v1.reduce_sum(dense, axis=1), v1.cast(v1.reduce_sum(ids, axis=1), "float32"), name="amount")
        v1.multiply(v1.stack([total, 2 * total], axis=1), 1.0, name="confidence")
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def spec(place: Path, file: str, **declared: Any) -> ModelSpec:
    model = Model(kind="tensorflow", file=file, **{"output": "score", **declared})
    return ModelSpec("foreign", model, DTYPES, directory=place)


def kept(taken: Any, place: Path) -> Any:
    """The model after it has been saved and loaded, which scores alike."""
    taken.save(place)
    loaded = TRAINER.load(place)
    assert loaded.features == taken.features
    for name, values in taken.outputs(FRAME).items():
        np.testing.assert_array_equal(loaded.outputs(FRAME)[name], values)
    return loaded


def test_a_saved_model_over_tensors_of_every_kind(tmp_path: Path) -> None:
    tf = tensorflow()

    def score(holder: Any, dense: Any, n: Any, ids: Any, ids_row_splits: Any, word: Any) -> Any:
        ragged = tf.RaggedTensor.from_row_splits(ids, ids_row_splits)
        sums = tf.cast(tf.reduce_sum(ragged, axis=1), tf.float32)
        filled = tf.reduce_sum(tf.where(tf.math.is_nan(dense), 100.0, dense), axis=1)
        lengths = tf.cast(tf.strings.length(word), tf.float32)
        return {"logits": filled + tf.cast(n, tf.float32) * 1000.0 + sums * 0.5 + lengths * 1e4 + holder.offset}

    saved(
        tmp_path / "net", score, dense=((None, 3), "float32"), n=((None,), "int64"), ids=((None,), "int64"),
        ids_row_splits=((None,), "int64"), word=((None,), "string"),
    )  # fmt: skip
    inputs = {
        "dense": ["x", "v"],
        "n": {"tensor": "int64", "shape": []},
        "ids": {"tensor": "int64", "shape": [-1], "ragged": True},
        "word": {"tensor": "string", "shape": []},
    }
    taken = TRAINER.fit(FRAME, spec(tmp_path, "net", inputs=inputs))
    assert taken.features == ("x", "v", "n", "ids", "word")
    expected = [1 + 3 + 1000 + 1.5 + 1e4 + 10, 2 + 7 + 2000 + 0 + 2e4 + 10, 100 + 11 + 3000 + 9 + 0 + 10]
    assert taken.predict(FRAME).tolist() == expected
    loaded = kept(taken, tmp_path / "kept")
    alone = [loaded.predict(FRAME[row])[0] for row in range(3)]
    assert alone == expected


def test_a_frozen_graph_with_several_outputs(tmp_path: Path) -> None:
    frozen(tmp_path / "gift.pb")
    inputs = {"dense": ["y", "n"], "ids": {"tensor": "int64", "shape": [-1]}}
    outputs = {"amount": "amount", "sure": "confidence:0[1]"}
    taken = TRAINER.fit(FRAME, spec(tmp_path, "gift.pb", inputs=inputs, output="amount", outputs=outputs))
    found = kept(taken, tmp_path / "kept").outputs(FRAME)
    assert {name: values.tolist() for name, values in found.items()} == {
        "amount": [4.5, 2.25, 25.0], "sure": [9.0, 4.5, 50.0],
    }  # fmt: skip
    assert taken.predict(FRAME).dtype == np.float64
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["foreign.json", "graph.pb"]


@pytest.mark.parametrize("inputs", [["x", "ids", "word"], {"examples": ["x", "ids", "word"]}])
def test_a_saved_model_over_examples(inputs: Any, tmp_path: Path) -> None:
    tf = tensorflow()

    def score(_: Any, examples: Any) -> Any:
        parsed = tf.io.parse_example(
            examples,
            {
                "x": tf.io.FixedLenFeature([], tf.float32, -1.0),
                "ids": tf.io.RaggedFeature(tf.int64),
                "word": tf.io.FixedLenFeature([], tf.string, ""),
            },
        )
        sums = tf.cast(tf.reduce_sum(parsed["ids"], axis=1), tf.float32)
        return {"seconds": tf.expand_dims(parsed["x"] + sums + 100.0 * tf.cast(parsed["word"] == "a", tf.float32), 1)}

    saved(tmp_path / "stay", score, examples=((None,), "string"))
    taken = TRAINER.fit(FRAME, spec(tmp_path, "stay", takes="examples", inputs=inputs, output="seconds"))
    assert kept(taken, tmp_path / "kept").predict(FRAME).tolist() == [104.0, 2.0, 17.0]


BOTH = {"dense": ["y", "n"], "ids": {"tensor": "int64", "shape": [-1]}}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"inputs": {"dense": ["y", "n"]}}, r"takes 'ids' \(int64 \[any, any\]\), which no feature fills"),
        ({"inputs": {**BOTH, "dence": ["x"]}}, r"has no input 'dence' \(did you mean 'dense'\?\)"),
        ({"inputs": {**BOTH, "dense": ["x"]}},
         r"takes 'dense' as float32 \[any, 2\], and the declaration fills float32 \[any, 1\]"),
        ({"inputs": {**BOTH, "ids": {"tensor": "int32", "shape": [-1]}}}, r"takes 'ids' as int64"),
        ({"inputs": {**BOTH, "ids": {"tensor": "int64", "shape": [-1], "lengths": True}}},
         "has no input 'ids_lengths'"),
        ({"inputs": BOTH, "output": "amont"}, r"has no output 'amont' \(did you mean 'amount'\?\)"),
        ({"inputs": BOTH, "outputs": {"score": "amuont"}}, r"has no output 'amuont' \(did you mean 'amount'\?\)"),
        ({"inputs": ["x"], "takes": "examples"}, r"has 2 inputs \(dense, ids\); say which takes examples"),
        ({"inputs": {"ids": ["x"]}, "takes": "examples"}, r"takes 'ids' as int64 \[any, any\], and .* string \[any\]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_graph_is_named(declared: dict[str, Any], words: str, tmp_path: Path) -> None:
    frozen(tmp_path / "gift.pb")
    with pytest.raises(SaimaError, match=words):
        TRAINER.fit(FRAME, spec(tmp_path, "gift.pb", **declared))


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match="'net' does not exist"):
        TRAINER.fit(FRAME, spec(tmp_path, "net", inputs=["x"]))
    (tmp_path / "net").mkdir()
    with pytest.raises(SaimaError, match=r"net is no SavedModel: it holds no saved_model\.pb"):
        TRAINER.fit(FRAME, spec(tmp_path, "net", inputs=["x"]))
    (tmp_path / "net" / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(SaimaError, match=r"net cannot be read"):
        TRAINER.fit(FRAME, spec(tmp_path, "net", inputs=["x"]))
    (tmp_path / "torn.pb").write_bytes(b"torn")
    with pytest.raises(SaimaError, match=r"torn\.pb is no frozen graph"):
        TRAINER.fit(FRAME, spec(tmp_path, "torn.pb", inputs=["x"]))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "foreign.json").write_text("{}")
    with pytest.raises(SaimaError, match=r"foreign\.json cannot be read"):
        TRAINER.load(tmp_path / "kept")


def test_signatures_and_shapes_of_outputs(tmp_path: Path) -> None:
    saved(tmp_path / "net", lambda _, x: {"pair": x * [[1.0, 2.0]]}, x=((None, 1), "float32"))
    one = {"inputs": {"x": {"tensor": "float32", "shape": [1]}}, "output": "pair"}
    with pytest.raises(SaimaError, match="no signature 'serve'; it has serving_default"):
        TRAINER.fit(FRAME, spec(tmp_path, "net", **one, signature="serve"))
    with pytest.raises(SaimaError, match=r"output 'pair' has shape \[3, 2\] for 3 rows"):
        TRAINER.fit(FRAME, spec(tmp_path, "net", **one)).predict(FRAME)
    second = TRAINER.fit(FRAME, spec(tmp_path, "net", **one, outputs={"pair": "pair[1]"}))
    assert second.predict(FRAME)[:2].tolist() == [2.0, 4.0]
