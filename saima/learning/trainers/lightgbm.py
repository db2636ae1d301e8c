"""Gradient-boosted trees grown leaf by leaf: LightGBM's own text on disk, missing values as NaN, one thread serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.learning.elsewhere import made_elsewhere, named
from saima.learning.model import Model, ModelSpec, Setting, learned_rows
from saima.learning.tensors import Features, matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "model.txt"
OBJECTIVES = {"regression": "regression", "binary": "binary", "rank": "lambdarank"}
DEFAULTS: dict[str, Setting] = {
    "rounds": 150,
    "leaves": 31,
    "eta": 0.08,
    "min_child_weight": 20.0,
    "subsample": 0.8,
    "colsample": 0.5,
    "reg_lambda": 5.0,
    "bins": 63,
    "objective": "",
    "threads": 1,
    "increment_rounds": 10,
    "increment_eta": 0.02,
    "increment_reg_lambda": 0.0,
    "increment": "add",
    "decay": 0.5,
}
"""Settings; `increment` says what an incremental training does: `add` trees or `refit` leaves, of which `decay` keeps
so much of the old value. A penalty on leaves forbids every split where all labels have moved alike, and LightGBM grows
no tree of one leaf: an increment has none unless `increment_reg_lambda` says so."""


@dataclass(frozen=True)
class LightGBMModel:
    """A booster and the columns that fill its matrix, in order."""

    booster: Any
    features: tuple[str, ...]
    kind: str = "lightgbm"

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Score rows, float64 [n]; a single row takes about 0.2 ms."""
        scores = self.booster.predict(matrix(columns, self.features), num_threads=1, validate_features=False)
        return np.asarray(scores, dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write `model.txt`, which holds the names of the features."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE).write_text(self.booster.model_to_string(), encoding="utf-8")


@dataclass(frozen=True)
class LightGBMTrainer:
    """Trains boosted trees; incrementally by more trees, or by refitting the leaves of those there are."""

    kind: str = "lightgbm"

    def fit(self, samples: pl.DataFrame, spec: ModelSpec, previous: Model | None = None) -> LightGBMModel:
        """Train on labelled samples; `rank` groups rows by their trace, its labels are grades. See Trainer.fit."""

        if spec.declaration.file:
            return opened(made_elsewhere(spec), spec.features)
        options = spec.options(DEFAULTS)
        rows, traces = learned_rows(samples, spec)
        label = rows[spec.label].to_numpy()
        data = {
            "data": matrix(rows, spec.features),
            "label": label if traces is None else label.astype(np.int32),
            "weight": rows[spec.weight].to_numpy() if traces is None else None,
            "group": None if traces is None else traces.rle().struct.field("len").to_numpy(),
        }
        params = parameters(options, spec)
        if previous is not None:
            return continued(params, data, options, spec, previous)
        return settled(grown(params, data, int(options["rounds"]), spec), spec.features)

    def load(self, directory: Path) -> LightGBMModel:
        """Open `model.txt`. Raises SaimaError if it is missing or unreadable."""
        return opened(Path(directory) / FILE, None)


def opened(path: Path, features: tuple[str, ...] | None) -> LightGBMModel:
    """A booster of a file; `features` are the columns that the declaration names for it.

    Raises SaimaError if the file is missing or unreadable, or if its own names are other ones.
    """
    import lightgbm

    if not path.is_file():
        raise SaimaError(f"model file {path} is missing")
    try:
        text = path.read_text(encoding="utf-8")
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise SaimaError(f"model file {path} cannot be read: {str(error).splitlines()[0]}") from error
    own, count = booster.feature_name(), booster.num_feature()
    if own == [f"Column_{number}" for number in range(count)]:  # LightGBM's words for columns without names
        columns = named(path, (), count, features)
        text = text.replace(f"\nfeature_names={' '.join(own)}\n", f"\nfeature_names={' '.join(columns)}\n", 1)
        return LightGBMModel(lightgbm.Booster(model_str=text), columns)
    return LightGBMModel(booster, named(path, own, count, features))


def parameters(options: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """The booster's parameters under LightGBM's own names."""
    share = float(options["subsample"])
    return {
        "objective": options["objective"] or OBJECTIVES[spec.declaration.objective],
        "num_leaves": int(options["leaves"]),
        "learning_rate": float(options["eta"]),
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": float(options["min_child_weight"]),
        "bagging_fraction": share,
        "bagging_freq": 1 if share < 1 else 0,
        "feature_fraction": float(options["colsample"]),
        "lambda_l2": float(options["reg_lambda"]),
        "max_bin": int(options["bins"]),
        "num_threads": int(options["threads"]),
        "seed": spec.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def grown(params: dict[str, Any], data: dict[str, Any], rounds: int, spec: ModelSpec, start: Any = None) -> Any:
    """A booster of so many rounds more than `start` has."""
    import lightgbm

    rows = lightgbm.Dataset(**data, feature_name=list(spec.features), params=params)
    return lightgbm.train(params, rows, num_boost_round=rounds, init_model=start)


def continued(
    params: dict[str, Any], data: dict[str, Any], options: dict[str, Any], spec: ModelSpec, previous: Model
) -> LightGBMModel:
    """A booster that goes on from `previous`, whose features must be the same."""
    if not isinstance(previous, LightGBMModel) or previous.features != spec.features:
        raise SaimaError(
            f"model '{spec.name}': its features have changed; it cannot go on from the previous one, only afresh"
        )
    if options["increment"] == "refit":
        booster = previous.booster.refit(**data, decay_rate=float(options["decay"]), dataset_params=params)
        return settled(booster, spec.features)
    if options["increment"] != "add":
        raise SaimaError(f"model '{spec.name}': setting increment is '{options['increment']}'; it is add or refit")
    changes = {"learning_rate": options["increment_eta"], "lambda_l2": options["increment_reg_lambda"]}
    params = {**params, **{name: float(value) for name, value in changes.items()}}
    return settled(grown(params, data, int(options["increment_rounds"]), spec, previous.booster), spec.features)


def settled(booster: Any, features: tuple[str, ...]) -> LightGBMModel:
    """The booster without its training data, as it is after it has been saved and opened."""
    import lightgbm

    alone = lightgbm.Booster(model_str=booster.model_to_string())
    return LightGBMModel(alone, features)
