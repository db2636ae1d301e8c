"""Models in an algorithm's own Python: learned arrays, kept beside a copy of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features.declaration import Model
from saima.learning.trainers import ModelSpec, trainer

TRAINER = trainer("python")
CODE = '''
"""Mean label of each id, drawn to the overall mean."""
import numpy as np

SETTINGS = {"rows": 1.0}


def fit(tensors, label, weight, settings, previous):
    ids = tensors["id"]
    count = np.zeros(4) if previous is None else previous["count"]
    total = np.zeros(4) if previous is None else previous["total"]
    count = count + np.bincount(ids, weight, minlength=4)
    total = total + np.bincount(ids, weight * label, minlength=4)
    return {"count": count, "total": total, "rows": np.float64(settings["rows"])}


def predict(state, tensors):
    return state["total"][tensors["id"]] / (state["count"][tensors["id"]] + state["rows"])
'''
ROWS = pl.DataFrame({"id": [0, 1, 1, 3], "label": [1.0, 2.0, 4.0, None], "weight": [1.0, 1.0, 3.0, 1.0]})


def spec(place: Path, code: str = CODE, **settings: Any) -> ModelSpec:
    (place / "means.py").write_text(code)
    inputs = {"id": {"tensor": "int64", "shape": []}}
    declared = Model(kind="python", file="means.py", inputs=inputs, output="mean", settings=settings)
    return ModelSpec("means", declared, {"id": "int64"}, directory=place)


def test_it_learns_goes_on_and_is_kept_with_its_code(tmp_path: Path) -> None:
    learned = TRAINER.fit(ROWS, spec(tmp_path, rows=0.0))
    assert learned.predict(ROWS[:3]).tolist() == [1.0, 3.5, 3.5]
    learned.save(tmp_path / "kept")
    (tmp_path / "means.py").write_text("raise RuntimeError('the model has its own copy')")
    loaded = TRAINER.load(tmp_path / "kept")
    assert loaded.features == ("id",)
    assert loaded.predict(ROWS[:3]).tolist() == [1.0, 3.5, 3.5]
    more = TRAINER.fit(ROWS.with_columns(pl.lit(8.0).alias("label")), spec(tmp_path, rows=0.0), loaded)
    assert more.predict(ROWS[:1]).tolist() == [4.5]
    more.save(tmp_path / "kept")
    np.testing.assert_array_equal(TRAINER.load(tmp_path / "kept").predict(ROWS), more.predict(ROWS))


def test_a_rule_needs_no_training(tmp_path: Path) -> None:
    rule = "def predict(state, tensors):\n    return tensors['id'] * 2 + len(state)\n"
    assert TRAINER.fit(ROWS, spec(tmp_path, rule)).predict(ROWS).tolist() == [0.0, 2.0, 2.0, 6.0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\n", r"means\.py: defines no predict\(state, tensors\)"),
        ("def predict(:\n", r"means\.py:1: SyntaxError"),
        ("1 / 0\n", r"means\.py: ZeroDivisionError"),
        ("import nothing_of_that_name\n", r"means\.py: ModuleNotFoundError"),
        ("def predict(s, t):\n    return [1.0]\n", r"predict gave float64 \[1\] for 4 rows"),
        ("def predict(s, t):\n    return ['a'] * 4\n", r"predict gave <U1 \[4\] for 4 rows"),
        ("def predict(s, t):\n    return 0\ndef fit(*a):\n    return 3\n", "fit gave int; it must give arrays by name"),
        ("def predict(s, t):\n    return 0\ndef fit(*a):\n    return {'a': {}}\n", "no array of numbers or texts"),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(code: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=words):
        TRAINER.fit(ROWS, spec(tmp_path, code)).predict(ROWS)


def test_settings_inputs_and_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"unknown setting 'row' \(did you mean 'rows'\?\)"):
        TRAINER.fit(ROWS, spec(tmp_path, row=1.0))
    learned = TRAINER.fit(ROWS, spec(tmp_path))
    other = spec(tmp_path)
    inputs = {"id": {"tensor": "int64", "shape": [1]}}
    wider = ModelSpec("means", Model.model_validate({**other.declaration.model_dump(), "inputs": inputs}), other.dtypes,
                      directory=tmp_path)  # fmt: skip
    with pytest.raises(SaimaError, match="only afresh"):
        TRAINER.fit(ROWS, wider, learned)
    with pytest.raises(SaimaError, match=r"model\.py is missing"):
        TRAINER.load(tmp_path)
    learned.save(tmp_path / "kept")
    (tmp_path / "kept" / "state.npz").write_bytes(b"torn")
    with pytest.raises(SaimaError, match="cannot be read"):
        TRAINER.load(tmp_path / "kept")
