"""Hyper-parameters as Dagster `Config`: the Launchpad is the form, and the declaration's settings are its defaults."""

from __future__ import annotations

from typing import Any

import dagster as dg
from pydantic import Field, create_model

from saima.errors import DeclarationError
from saima.features.declaration import Model
from saima.learning.trainers import Setting

_OWN = {"mode", "full_after", "finish", "hold_out", "seed", "replay"}


class TrainingConfig(dg.Config):
    """What every training takes, whatever the model's kind."""

    mode: str = Field(
        "incremental",
        description="incremental: go on from the routed model with the new samples; full: anew on all samples.",
    )
    full_after: int = Field(
        0, ge=0, description="Increments in a row after which a training is full whatever the mode says; 0: never."
    )
    finish: str = Field(
        "further",
        description="How the held-out rows are learned after validation: further (go on from the candidate) or again "
        "(repeat the training with them).",
    )
    hold_out: int = Field(
        500, ge=0, description="Newest samples to predict before they are learned; at most a third of the new ones."
    )
    seed: int = Field(7, description="Seed; the same samples, settings and seed give the same model.")
    replay: float = Field(2.0, ge=0, description="Old samples drawn for each new one in incremental training.")

    def settings(self) -> dict[str, Setting]:
        """The trainer's settings among the fields."""
        return {name: value for name, value in self.model_dump().items() if name not in _OWN}


class TreesConfig(TrainingConfig):
    """Boosted trees of either kind; increments make them grow, so that every so often they are grown anew."""

    full_after: int = Field(12, ge=0, description="Increments in a row after which a training is full; 0: never.")
    finish: str = Field(
        "again", description="After validation: again (repeat the training with the held-out rows) or further."
    )
    replay: float = Field(5.0, ge=0, description="Old samples drawn for each new one in incremental training.")


class XGBoostConfig(TreesConfig):
    """Boosted trees; increments make them grow, so that every so often they are grown anew."""

    rounds: int = Field(150, ge=1, description="Trees of a full training.")
    depth: int = Field(6, ge=1, description="Greatest depth of a tree.")
    eta: float = Field(0.08, gt=0, le=1, description="Learning rate of a full training.")
    min_child_weight: float = Field(20.0, ge=0, description="Least weight of the rows in a leaf.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of rows that each tree sees.")
    colsample: float = Field(0.5, gt=0, le=1, description="Share of features that each tree sees.")
    reg_lambda: float = Field(5.0, ge=0, description="L2 penalty on leaf values.")
    bins: int = Field(64, ge=2, description="Histogram bins of a feature.")
    objective: str = Field("", description="XGBoost's objective; empty: as the declared objective says.")
    threads: int = Field(1, ge=1, description="Threads of the training.")
    increment_rounds: int = Field(10, ge=1, description="Trees that an increment adds.")
    increment_eta: float = Field(0.02, gt=0, le=1, description="Learning rate of an increment.")
    increment: str = Field("add", description="What an increment does: add trees, or refresh the leaves there are.")


class LightGBMConfig(TreesConfig):
    """Trees grown leaf by leaf; increments make them grow, so that every so often they are grown anew."""

    rounds: int = Field(150, ge=1, description="Trees of a full training.")
    leaves: int = Field(31, ge=2, description="Greatest number of leaves of a tree.")
    eta: float = Field(0.08, gt=0, le=1, description="Learning rate of a full training.")
    min_child_weight: float = Field(20.0, ge=0, description="Least weight of the rows in a leaf.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of rows that each tree sees.")
    colsample: float = Field(0.5, gt=0, le=1, description="Share of features that each tree sees.")
    reg_lambda: float = Field(5.0, ge=0, description="L2 penalty on leaf values.")
    bins: int = Field(63, ge=2, description="Histogram bins of a feature.")
    objective: str = Field("", description="LightGBM's objective; empty: as the declared objective says.")
    threads: int = Field(1, ge=1, description="Threads of the training.")
    increment_rounds: int = Field(10, ge=1, description="Trees that an increment adds.")
    increment_eta: float = Field(0.02, gt=0, le=1, description="Learning rate of an increment.")
    increment_reg_lambda: float = Field(0.0, ge=0, description="L2 penalty on the leaf values of an increment.")
    increment: str = Field("add", description="What an increment does: add trees, or refit the leaves there are.")
    decay: float = Field(0.5, ge=0, le=1, description="Share of a leaf's old value that a refit keeps.")


class TensorFlowConfig(TrainingConfig):
    """A deep network."""

    hidden: list[int] = Field([128, 64], description="Units of the hidden layers.")
    embedding: int = Field(8, ge=1, description="Width of the embeddings.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of units dropped in training.")
    epochs: int = Field(10, ge=1, description="Passes of a full training.")
    batch: int = Field(512, ge=1, description="Rows of a step.")
    rate: float = Field(0.002, gt=0, description="Learning rate of a full training, falling.")
    decay: float = Field(0.0001, ge=0, description="Weight decay.")
    loss: str = Field("huber", description="huber or squared.")
    huber: float = Field(
        2.0, gt=0, description="Where the Huber loss turns linear, in standard deviations of the label."
    )
    increment_epochs: int = Field(2, ge=1, description="Passes of an increment.")
    increment_rate: float = Field(0.0001, gt=0, description="Learning rate of an increment.")


class TakenConfig(TrainingConfig):
    """A model made elsewhere: it predicts the newest samples, so that it can be judged, and learns nothing."""

    def settings(self) -> dict[str, Setting]:
        """None: it is taken as it is."""
        return {}


_KINDS: dict[str, type[TrainingConfig]] = {
    "xgboost": XGBoostConfig,
    "lightgbm": LightGBMConfig,
    "tensorflow": TensorFlowConfig,
    "python": TrainingConfig,
}


def config_of(name: str, model: Model) -> type[TrainingConfig]:
    """The config class of a declared model, its declared settings as defaults.

    A python model's settings are its own: the declared ones are the form's. Raises DeclarationError for a setting that
    the kind does not have.
    """
    base = TakenConfig if model.file and model.kind != "python" else _KINDS[model.kind]
    known = set(model.settings) if model.kind == "python" else set(base.model_fields)
    unknown = sorted(set(model.settings) - known | _OWN & set(model.settings))
    if unknown:
        raise DeclarationError(f"model '{name}': {', '.join(unknown)} is no setting of kind {model.kind}")
    fields: dict[str, Any] = {}
    for key, value in model.settings.items():
        declared = base.model_fields.get(key)
        annotation = declared.annotation if declared else list[int] if isinstance(value, list) else type(value)
        described = declared.description if declared else f"As models.{name}.settings says."
        fields[key] = (annotation, Field(value, description=described))
    return create_model(f"{name}_config", __base__=base, **fields)
