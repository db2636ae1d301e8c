"""Declared models against the features: what does not fit is refused at its place when the declaration is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from saima.errors import DeclarationError
from saima.features import load

GOOD = """algorithm: shop
request: {fields: {n: int64, x: float64, word: string, ids: "list<int64>", path: "list<vector<float32,2>>"}}
features:
  n: {value: request.n, dtype: int64}
  x: {value: request.x, dtype: float32}
  word: {value: request.word, dtype: string}
  ids: {value: request.ids, dtype: "list<int64>"}
  path: {value: request.path, dtype: "list<vector<float32,2>>"}
models:
  net: MODEL
"""
TENSORS = "{kind: tensorflow, output: o, inputs: {dense: [x, n], ids: {tensor: int64, shape: [-1]}}}"
EXAMPLES = "{kind: tensorflow, output: o, file: models/net, takes: examples, inputs: {dense: [x, n]}}"
FOREIGN = "{kind: tensorflow, output: o, file: models/net, inputs: {dense: [x, n]}}"


def loaded(folder: Path, model: str) -> object:
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "algorithm.yaml").write_text(GOOD.replace("MODEL", model))
    return load(folder / "shop").declaration.models["net"]


@pytest.mark.parametrize(
    "model",
    [
        TENSORS,
        FOREIGN,
        "{kind: tensorflow, output: o, inputs: {path: {tensor: float32, shape: [-1, 2], lengths: true}}}",
        "{kind: tensorflow, output: o, inputs: {ids: {tensor: int64, shape: [-1], ragged: true}}}",
        "{kind: tensorflow, output: o, file: a.pb, outputs: {o: 'x:0[1]', p: y}, inputs: [x]}",
        "{kind: tensorflow, output: o, file: a, takes: examples, inputs: [x, word, ids]}",
        "{kind: tensorflow, output: o, file: a, takes: examples, inputs: {serialized: [x, word]}}",
        "{kind: python, output: o, file: a.py, settings: {rate: 0.5}, inputs: {word: {tensor: string, shape: []}}}",
        "{kind: lightgbm, output: o, inputs: [x, n]}",
        "{kind: lightgbm, output: o, file: models/a.txt, inputs: [x, n]}",
        "{kind: xgboost, output: o, file: models/a.ubj, inputs: [x, n]}",
    ],
)
def test_what_fits_is_taken(model: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, model).output == "o"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "at", "words"),
    [
        (TENSORS.replace("[x, n]", "[x, ids]"), "ids], ids", "a list needs a tensor of its own"),
        (TENSORS.replace("[x, n]", "[x, word]"), "word]", r"'word' is string and the tensor is float32; cast"),
        (TENSORS.replace("int64", "float16"), "float16", "should be 'float32', 'float64'"),
        (TENSORS.replace("[-1]", "[0]"), "[0]", "sizes are positive, or -1"),
        (TENSORS.replace("[-1]", "[]"), "[]", r"the shape of 'ids' is \[-1\] or \[n\], not \[\]"),
        (TENSORS.replace("[-1]", "[-1], pad: x"), "x}", "pad 'x' is not int64"),
        (TENSORS.replace("ids: {tensor: int64", "x: {tensor: int64"), "{tensor", "'x' is float32 and the"),
        (TENSORS.replace("[-1]", "[1], features: [n], lengths: true"), "true", "holds no list whose length"),
        (TENSORS.replace("kind: tensorflow", "kind: lightgbm"), "{dense", "lightgbm takes one list of features"),
        (FOREIGN.replace("models/net", "../net"), "../net", "lies outside the algorithm's folder"),
        (FOREIGN.replace("models/net", "/net"), "/net", "lies outside the algorithm's folder"),
        (FOREIGN.replace("models/net", "net.h5"), "net.h5", "is no file of kind tensorflow: .pb or a folder"),
        (FOREIGN.replace("output: o", "output: o, settings: {rate: 1.0}"), "settings", "has no settings"),
        (FOREIGN.replace("output: o", "output: o, outputs: {p: q}"), "o, outputs", r"unknown output 'o'"),
        (FOREIGN.replace("output: o", "output: o, outputs: {o-p: q}"), "o-p", "'o-p' is not a name"),
        (TENSORS.replace("output: o", "output: o, outputs: {o: q}"), "outputs", "only a tensorflow model with a file"),
        (TENSORS.replace("output: o", "output: o, takes: examples"), "examples", "are for a tensorflow model"),
        (EXAMPLES.replace("n]", "n], b: [n]"), "{dense", "one tensor"),
        (EXAMPLES.replace("n]", "path]"), "path]", "numbers and texts"),
        ("{kind: python, output: o, inputs: [x]}", "net:", "needs 'file: <code>.py'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_its_place(model: str, at: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=words) as caught:
        loaded(tmp_path, model)
    text = GOOD.replace("MODEL", model)
    before = text[: text.index(at, text.index("models:"))]
    place = caught.value.place
    assert place is not None
    assert (place.line, place.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
