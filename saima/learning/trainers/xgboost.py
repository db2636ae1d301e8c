"""Gradient-boosted trees: UBJSON on disk, missing values as NaN, one thread when serving."""

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

    from saima.learning.trainers.forest import Forest

FILE = "model.ubj"
OBJECTIVES = {"regression": "reg:squarederror", "binary": "binary:logistic", "rank": "rank:ndcg"}
DEFAULTS: dict[str, Setting] = {
    "rounds": 150,
    "depth": 6,
    "eta": 0.08,
    "min_child_weight": 20.0,
    "subsample": 0.8,
    "colsample": 0.5,
    "reg_lambda": 5.0,
    "bins": 64,
    "objective": "",
    "threads": 1,
    "increment_rounds": 10,
    "increment_eta": 0.02,
    "increment": "add",
}
"""Settings; `increment` says what an incremental training does: `add` trees or `refresh` leaves."""


@dataclass(frozen=True)
class XGBoostModel:
    """A booster and the columns that fill its matrix, in order.

    forest: its trees, compiled; absent after training, and of a booster that they do not answer for.
    """

    booster: Any
    features: tuple[str, ...]
    kind: str = "xgboost"
    forest: Forest | None = None

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Score rows, float64 [n]; a single row takes about 0.02 ms."""
        rows = matrix(columns, self.features)  # of as many columns as the booster has: they are its own names
        if self.forest is not None:
            return self.forest.predict(rows).astype(np.float64)
        scores = self.booster.inplace_predict(rows, missing=np.nan, validate_features=False)
        return np.asarray(scores, dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write `model.ubj`, which holds the names of the features."""
        directory.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(directory / FILE)


@dataclass(frozen=True)
class XGBoostTrainer:
    """Trains boosted trees; incrementally by more trees, or by refreshing the leaves of those there are."""

    kind: str = "xgboost"

    def fit(self, samples: pl.DataFrame, spec: ModelSpec, previous: Model | None = None) -> XGBoostModel:
        """Train on labelled samples; `rank` groups rows by their trace. See Trainer.fit."""
        import xgboost

        if spec.declaration.file:
            return opened(made_elsewhere(spec), spec.features)
        options = spec.options(DEFAULTS)
        rows, traces = learned_rows(samples, spec)
        refreshing = previous is not None and options["increment"] == "refresh"
        binned = {} if refreshing else {"max_bin": int(options["bins"])}
        data = (xgboost.DMatrix if refreshing else xgboost.QuantileDMatrix)(
            matrix(rows, spec.features),
            label=rows[spec.label].to_numpy(),
            weight=rows[spec.weight].to_numpy() if traces is None else None,
            qid=None if traces is None else traces.rle_id().to_numpy(),
            feature_names=list(spec.features),
            nthread=int(options["threads"]),
            **binned,
        )
        params = parameters(options, spec)
        if previous is None:
            booster = xgboost.train(params, data, num_boost_round=int(options["rounds"]))
        else:
            booster = continued(params, data, options, spec, previous)
        booster.set_param({"nthread": 1})
        return XGBoostModel(booster, spec.features)

    def load(self, directory: Path) -> XGBoostModel:
        """Open `model.ubj`. Raises SaimaError if it is missing or unreadable."""
        return opened(Path(directory) / FILE, None)


def opened(path: Path, features: tuple[str, ...] | None) -> XGBoostModel:
    """A booster of a file; `features` are the columns that the declaration names for it.

    Raises SaimaError if the file is missing or unreadable, or if its own names are other ones.
    """
    import xgboost

    if not path.is_file():
        raise SaimaError(f"model file {path} is missing")
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError as error:
        raise SaimaError(f"model file {path} cannot be read: {str(error).splitlines()[0]}") from error
    columns = named(path, booster.feature_names or (), booster.num_features(), features)
    booster.feature_names = list(columns)
    from saima.learning.trainers.forest import forest

    return XGBoostModel(booster, columns, forest=forest(booster))


def parameters(options: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """The booster's parameters under XGBoost's own names."""
    return {
        "objective": options["objective"] or OBJECTIVES[spec.declaration.objective],
        "tree_method": "hist",
        "max_depth": int(options["depth"]),
        "eta": float(options["eta"]),
        "min_child_weight": float(options["min_child_weight"]),
        "subsample": float(options["subsample"]),
        "colsample_bytree": float(options["colsample"]),
        "lambda": float(options["reg_lambda"]),
        "max_bin": int(options["bins"]),
        "nthread": int(options["threads"]),
        "seed": spec.seed,
    }


def continued(params: dict[str, Any], data: Any, options: dict[str, Any], spec: ModelSpec, previous: Model) -> Any:
    """A booster that goes on from `previous`, whose features must be the same."""
    import xgboost

    if not isinstance(previous, XGBoostModel) or previous.features != spec.features:
        raise SaimaError(
            f"model '{spec.name}': its features have changed; it cannot go on from the previous one, only afresh"
        )
    if options["increment"] == "add":
        params = {**params, "eta": float(options["increment_eta"])}
        return xgboost.train(params, data, num_boost_round=int(options["increment_rounds"]), xgb_model=previous.booster)
    if options["increment"] != "refresh":
        raise SaimaError(f"model '{spec.name}': setting increment is '{options['increment']}'; it is add or refresh")
    params = {**params, "process_type": "update", "updater": "refresh", "refresh_leaf": True, "subsample": 1.0}
    del params["tree_method"]
    rounds = previous.booster.num_boosted_rounds()
    with xgboost.config_context(verbosity=0):  # it warns that `updater` overrides the booster's tree_method, as it must
        return xgboost.train(params, data, num_boost_round=rounds, xgb_model=previous.booster)
