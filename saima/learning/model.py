"""What trainers of every kind share: the recipe of one model, a trained model, and who makes one from the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.layouts import Layout, layouts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from saima.features.declaration import Declaration
    from saima.features.declaration import Model as ModelDeclaration
    from saima.learning.tensors import Features

Setting = int | float | str | bool | list[int]


@dataclass(frozen=True)
class ModelSpec:
    """The recipe of one model: its declaration, the dtypes of its features, the seed, the settings.

    `settings` go over those of the declaration, which go over the trainer's defaults. `label` and `weight` name columns
    of the samples; a missing weight column weighs every row 1. `directory` is the algorithm's folder, in which the file
    of a model lies that was made elsewhere.
    """

    name: str
    declaration: ModelDeclaration
    dtypes: Mapping[str, str]
    seed: int = 0
    settings: Mapping[str, Setting] = field(default_factory=dict)
    label: str = "label"
    weight: str = "weight"
    directory: Path | None = None

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """How the input tensors are filled, in declared order."""
        return layouts(self.declaration, self.dtypes)

    @property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        """Features by input tensor, in declared order; an undivided list of inputs is the tensor `dense`."""
        inputs = self.declaration.inputs
        if isinstance(inputs, list):
            return {"dense": tuple(inputs)}
        return {
            tensor: tuple(names) if isinstance(names, list) else tuple(names.features or [tensor])
            for tensor, names in inputs.items()
        }

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature that the model reads, once each, in declared order."""
        return tuple(dict.fromkeys(name for names in self.tensors.values() for name in names))

    def options(self, defaults: Mapping[str, Setting]) -> dict[str, Any]:
        """The trainer's defaults under the declaration's settings under this spec's; an unknown name is refused."""
        chosen = {**self.declaration.settings, **self.settings}
        for name in chosen:
            if name not in defaults:
                raise SaimaError(
                    f"model '{self.name}' ({self.declaration.kind}): unknown setting '{name}'"
                    f"{suggest(name, defaults)}; known: {', '.join(sorted(defaults))}"
                )
        return {**defaults, **chosen}


def spec_of(
    declaration: Declaration,
    model: str,
    seed: int = 0,
    settings: Mapping[str, Setting] | None = None,
    directory: Path | None = None,
) -> ModelSpec:
    """The recipe of a declared model; `directory` is the algorithm's folder, which a model with a file needs.

    Raises SaimaError if the declaration has no such model.
    """
    if model not in declaration.models:
        raise SaimaError(
            f"algorithm '{declaration.algorithm}' has no model '{model}'{suggest(model, declaration.models)}"
        )
    dtypes = {name: feature.dtype for name, feature in declaration.features.items()}
    return ModelSpec(model, declaration.models[model], dtypes, seed, settings or {}, directory=directory)


class Model(Protocol):
    """A trained model; any number of threads may predict at once."""

    @property
    def kind(self) -> str:
        """Kind of the trainer that made it."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that `predict` reads."""
        ...

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Score the rows of a frame or of an extraction: float64 [n], in their order; null and NaN are missing."""
        ...

    def save(self, directory: Path) -> None:
        """Write the model's native files into a folder, which is made if need be; no pickle."""
        ...


def outputs(model: Model, declared: ModelDeclaration, columns: Features) -> dict[str, NDArray[np.float64]]:
    """What a model says of each row, by the names that the declaration gives, float64 [n] each.

    A model with several outputs has `outputs(columns)`, which gives every one by name.
    """
    several: Callable[[Features], dict[str, NDArray[np.float64]]] | None = getattr(model, "outputs", None)
    return {declared.output: model.predict(columns)} if several is None else several(columns)


class Trainer(Protocol):
    """Makes models of one kind."""

    @property
    def kind(self) -> str: ...

    def fit(self, samples: pl.DataFrame, spec: ModelSpec, previous: Model | None = None) -> Model:
        """Train on samples (feature columns, label, weight if there is one); rows without a label are left out.

        With `previous` the training is incremental: it continues from that model. The same samples, spec and previous
        give the same model. Raises SaimaError if a column is missing or no row is left.
        """
        ...

    def load(self, directory: Path) -> Model:
        """Open what `save` wrote. Raises SaimaError naming the file that is missing or unreadable."""
        ...


def labelled(samples: pl.DataFrame, spec: ModelSpec, extra: tuple[str, ...] = ()) -> pl.DataFrame:
    """Rows that can be learned from: features, `extra` columns, label and weight as float32, no label missing.

    Raises SaimaError naming the missing columns, or when no labelled row is left.
    """
    needed = [*spec.features, spec.label, *extra]
    missing = [name for name in needed if name not in samples.columns]
    if missing:
        raise SaimaError(f"model '{spec.name}': the samples lack {', '.join(missing[:5])} ({len(missing)} columns)")
    weight = pl.col(spec.weight) if spec.weight in samples.columns else pl.lit(1.0)
    label = pl.col(spec.label).cast(pl.Float32)
    rows = samples.filter(label.is_finite()).select(
        *spec.features,
        *(name for name in extra if name not in spec.features),
        label.alias(spec.label),
        weight.cast(pl.Float32).fill_null(1.0).alias(spec.weight),
    )
    if rows.is_empty():
        raise SaimaError(f"model '{spec.name}': none of the {samples.height} samples has a label in '{spec.label}'")
    return rows


def learned_rows(samples: pl.DataFrame, spec: ModelSpec) -> tuple[pl.DataFrame, pl.Series | None]:
    """Labelled rows for trees, and the trace of each where the model ranks: rows of one trace then lie together.

    Raises what `labelled` raises.
    """
    if spec.declaration.objective != "rank":
        return labelled(samples, spec), None
    rows = labelled(samples, spec, ("trace",)).sort("trace", maintain_order=True)
    return rows, rows["trace"]
