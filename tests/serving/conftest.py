"""A bundle of a small algorithm, built as a Bento."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from saima.features.algorithm import Algorithm, load
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel, build

DECLARATION = """
algorithm: small
sources:
  outcome: {key: trace, fields: {trace: string, value: float64}}
label: {from: outcome, join: [trace], value: value, attribution: 1h}
request: {fields: {x: float32, y: float32, colour: string}}
resources:
  vocabularies: {colours: {file: vocabularies/colours.txt}}
features:
  sum: {value: "x + y", dtype: float32, default: 0.0}
  big: {value: "1 if x > 3 else 0", dtype: int64, default: 0}
  colour_id: {value: "lookup_id(colour, vocabularies.colours)", dtype: int64, default: 0}
models:
  first: {kind: xgboost, inputs: [sum, big], output: value}
  second: {kind: xgboost, inputs: [big], output: value}
parameters:
  share: {dtype: float32, default: 0.0}
fuse:
  value: "first.value if parameters.share == 0
    else (1 - parameters.share) * first.value + parameters.share * second.value"
lineages:
  trees: {train: [first, second]}
"""
OWN = "def preprocess(body):\n    return {**body, 'seen': __name__}\n"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def settings(place: Path) -> Settings:
    return Settings(home=place / "home", algorithms=place / "algorithms")


@pytest.fixture(scope="session")
def algorithm(settings: Settings) -> Algorithm:
    folder = settings.algorithms / "small"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(DECLARATION)
    (folder / "algorithm.py").write_text(OWN)
    (folder / "vocabularies").mkdir()
    (folder / "vocabularies" / "colours.txt").write_text("red\nblue\n")
    return load(folder)


@pytest.fixture(scope="session")
def models(place: Path, algorithm: Algorithm) -> dict[str, TrainedModel]:
    rows = pl.DataFrame({"sum": [float(n) for n in range(40)], "big": [n % 2 for n in range(40)]})
    rows = rows.with_columns(label=pl.col("sum") * 2 + pl.col("big"))
    trained = {}
    for name in ("first", "second"):
        spec = spec_of(algorithm.declaration, name, settings={"rounds": 5, "min_child_weight": 1.0})
        trainer("xgboost").fit(rows, spec).save(place / name)
        trained[name] = TrainedModel("xgboost", place / name, {"seed": 0})
    return trained


def golden(algorithm: Algorithm) -> pl.DataFrame:
    schema = algorithm.plan.input_schema()
    values = {"request.x": [1.0, 5.0, None], "request.y": [2.0, None, float("nan")],
              "request.colour": ["blue", None, "pink"]}  # fmt: skip
    return pl.DataFrame({name: values.get(name, [None] * 3) for name in schema}, schema=schema, strict=False)


@pytest.fixture(scope="session")
def built(algorithm: Algorithm, settings: Settings) -> Callable[..., BundleRow]:
    """Builds a bundle of models, trained at a moment, and publishes it."""

    def build_of(models: dict[str, TrainedModel], trained_at: int = 77) -> BundleRow:
        return build(
            algorithm,
            "trees",
            models,
            DataState({0: 12}, 34, 56),
            open_registry(settings),
            trained_at=trained_at,
            golden=golden(algorithm),
            parameters=[{}, {"share": 0.5}],
            settings=settings,
        )

    return build_of


@pytest.fixture(scope="session")
def row(built: Callable[..., BundleRow], models: dict[str, TrainedModel]) -> BundleRow:
    return built(models)


@pytest.fixture
def copy(row: BundleRow, tmp_path: Path) -> Path:
    """The bundle in a store of its own, to be spoilt; the path of the Bento."""
    shutil.copytree(Path(row.path).parents[2], tmp_path / "bentoml", symlinks=True)
    return tmp_path / "bentoml" / Path(row.path).relative_to(Path(row.path).parents[2])
