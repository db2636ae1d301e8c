"""`saima bundle`: models from files and from the newest bundle, signed where a key is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import SaimaError
from saima.features import load
from saima.host.bundle import Bundle
from saima.learning.increments import DataState
from saima.settings import settings
from saima.stores import open_registry
from serving.bundles import TrainedModel, build

YAML = """
algorithm: small
request: {fields: {x: float64}}
features: {z: {value: "x", dtype: float32, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: [z], output: y}}
"""
RULE = "def predict(state, tensors):\n    return tensors['dense'][:, 0]\n"
LEARNS = RULE + "def fit(tensors, label, weight, settings, previous):\n    return {}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "algorithms" / "small"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(YAML)
    (folder / "rule.py").write_text(RULE)
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def run(*arguments: str) -> dict[str, Any]:
    ran = CliRunner().invoke(saima, arguments, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(ran.output)
    return found


def test_a_bundle_is_built_signed_and_published(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = run("bundle", "--new-key", str(home / "key"), "--json")
    plain = run("bundle", "small", "--json")
    assert (plain["publication"], plain["signed"]) == (1, False)
    monkeypatch.setenv("SAIMA_SIGNING_KEY", str(home / "key"))
    settings.cache_clear()
    signed = run("bundle", "small", "--json")
    assert signed["signed"]
    Bundle.open(signed["path"], trusted=[key["public"]]).close()


def test_the_newest_bundles_models_are_taken_where_they_have_no_files(home: Path) -> None:
    folder = home / "algorithms" / "small"
    (folder / "algorithm.yaml").write_text(YAML.replace("kind: python, file: rule.py", "kind: xgboost"))
    with pytest.raises(SaimaError, match="has no published bundle"):
        run("bundle", "small", "--json")
    import polars as pl

    from saima.learning.trainers import spec_of, trainer

    algorithm = load(folder)
    samples = pl.DataFrame({"z": [1.0, 2.0, 3.0] * 20, "label": [2.0, 4.0, 6.0] * 20})
    trainer("xgboost").fit(samples, spec_of(algorithm.declaration, "rule", 1)).save(home / "tree")
    models = {"rule": TrainedModel("xgboost", home / "tree", {"seed": 1})}
    first = build(algorithm, "main", models, DataState({0: 7}, 9, 60), open_registry(settings()), trained_at=5,
                  settings=settings())  # fmt: skip
    (folder / "algorithm.py").write_text("def postprocess(body, answer):\n    return {**answer, 'new': True}\n")
    second = run("bundle", "small", "--json")
    assert second["publication"] > first.publication
    one, other = Bundle.open(first.path), Bundle.open(second["path"])
    assert one.models["rule"] is other.models["rule"]
    assert (one.postprocess, other.manifest.data_position) == (None, {"0": 7})
    assert other.postprocess is not None
