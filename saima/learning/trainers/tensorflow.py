"""A deep network: one named input tensor per kind of feature, exported as a SavedModel that holds its preprocessing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.learning.model import Model, ModelSpec, Setting, labelled
from saima.learning.tensors import Features, tensors
from saima.learning.trainers import foreign
from saima.learning.trainers.network import Architecture, Dense, Ids, Pooled, build, standardise
from saima.learning.trainers.runtime import tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARCHITECTURE, WEIGHTS, SAVED = "architecture.json", "weights.npz", "saved_model"
DEFAULTS: dict[str, Setting] = {
    "hidden": [128, 64],
    "embedding": 8,
    "dropout": 0.1,
    "epochs": 10,
    "batch": 512,
    "rate": 0.002,
    "decay": 0.0001,
    "loss": "huber",
    "huber": 2.0,
    "increment_epochs": 2,
    "increment_rate": 0.0001,
}
"""Settings; `huber` is where the loss turns linear, in standard deviations of the label; loss: huber, squared."""


@dataclass(frozen=True)
class TensorFlowModel:
    """A network: its architecture and weights, and the function that scores tensors by name."""

    architecture: Architecture
    weights: tuple[NDArray[np.float32], ...]
    serve: Any = field(repr=False)
    holder: Any = field(repr=False)
    kind: str = "tensorflow"

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that `predict` reads."""
        return self.architecture.features

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Score rows, float64 [n]; a single row takes about 1 ms."""
        tf = tensorflow()
        given = {name: tf.constant(values) for name, values in tensors(self.architecture.layouts, columns).items()}
        return np.asarray(self.serve(**given)["score"], dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write `saved_model/` (named tensors in, `score` out), the architecture and the weights."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ARCHITECTURE).write_text(json.dumps(self.architecture.to_json()))
        np.savez(directory / WEIGHTS, *self.weights)
        tensorflow().saved_model.save(self.holder, str(directory / SAVED), signatures={"serving_default": self.serve})


@dataclass(frozen=True)
class TensorFlowTrainer:
    """Trains networks; incrementally by going on from the previous weights at a lower rate."""

    kind: str = "tensorflow"

    def fit(self, samples: pl.DataFrame, spec: ModelSpec, previous: Model | None = None) -> Model:
        """Train on labelled samples with Adam and a falling rate; a model with a file is opened. See Trainer.fit."""
        if spec.declaration.file:
            return foreign.bring(spec)
        options = spec.options(DEFAULTS)
        rows = labelled(samples, spec)
        labels = rows[spec.label].to_numpy().astype(np.float32)
        if previous is None:
            architecture = designed(rows, labels, spec, options)
            epochs, rate = int(options["epochs"]), float(options["rate"])
        else:
            architecture = continued(spec, previous)
            epochs, rate = int(options["increment_epochs"]), float(options["increment_rate"])
        tensorflow()
        network = build(architecture, spec.seed)
        if isinstance(previous, TensorFlowModel):
            network.set_weights(list(previous.weights))
        descend(network, architecture, rows, labels, rows[spec.weight].to_numpy(), spec.seed, epochs, rate, options)
        return served(network, architecture)

    def load(self, directory: Path) -> Model:
        """Open what `save` wrote. Raises SaimaError if a file is missing or unreadable."""
        directory = Path(directory)
        if (directory / foreign.FILE).is_file():
            return foreign.load(directory)
        tf = tensorflow()
        for name in (ARCHITECTURE, WEIGHTS, SAVED):
            if not (directory / name).exists():
                raise SaimaError(f"model file {directory / name} is missing")
        try:
            architecture = Architecture.from_json(json.loads((directory / ARCHITECTURE).read_text()))
            with np.load(directory / WEIGHTS, allow_pickle=False) as stored:
                weights = tuple(stored[name] for name in stored.files)
            holder = tf.saved_model.load(str(directory / SAVED))
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise SaimaError(f"model in {directory} cannot be read: {str(error).splitlines()[0]}") from error
        return TensorFlowModel(architecture, weights, holder.signatures["serving_default"], holder)


def designed(rows: pl.DataFrame, labels: NDArray[np.float32], spec: ModelSpec, options: dict[str, Any]) -> Architecture:
    """The architecture that fits a declaration and its samples: integer tensors become embeddings, lists are pooled.

    Raises SaimaError for a tensor that the network cannot learn from.
    """
    dense: list[Dense] = []
    ids: list[Ids] = []
    pooled: list[Pooled] = []
    filled = tensors(spec.layouts, rows)
    for layout in spec.layouts:
        if layout.dtype == "string" or layout.form == "ragged":
            what = "texts" if layout.dtype == "string" else "ragged tensors"
            raise SaimaError(
                f"model '{spec.name}': the network does not learn from {what} ('{layout.name}'); "
                "use lookup_id or hash_bucket, and padded lists"
            )
        values = filled[layout.name]
        whole = layout.dtype in ("int64", "int32")
        top = max(int(values.max(initial=0)), 0) if whole else 0
        width = min(int(options["embedding"]), (top + 2) // 2)
        if layout.form == "flat" and whole:
            ids.append(Ids(layout.name, layout.features, top + 1, width))
        elif layout.form == "flat":
            flat = values.reshape(len(values), -1).astype(np.float32)
            dense.append(standardise(layout.name, layout.features, flat))
        elif whole and layout.form == "list":
            pooled.append(Pooled(layout.name, top + 1, width))
        elif not layout.lengths:
            raise SaimaError(
                f"model '{spec.name}': '{layout.name}' holds numbers in lists of unknown length; add 'lengths: true'"
            )
        else:
            steps = values.reshape(*values.shape[:2], -1).astype(np.float32)
            held = np.arange(steps.shape[1]) < filled[layout.names[-1]][:, None]
            scaled = standardise(layout.name, layout.features, steps[held])
            pooled.append(Pooled(layout.name, 0, 0, scaled.middle, scaled.scale))
    regression = spec.declaration.objective == "regression"
    return Architecture(
        spec.layouts,
        tuple(dense),
        tuple(ids),
        tuple(pooled),
        tuple(int(units) for units in options["hidden"]),
        float(options["dropout"]),
        spec.declaration.objective,
        float(labels.mean()) if regression else 0.0,
        max(float(labels.std()), 1e-6) if regression else 1.0,
    )


def continued(spec: ModelSpec, previous: Model) -> Architecture:
    """The previous model's architecture, if it fits the declaration still."""
    if isinstance(previous, TensorFlowModel) and previous.architecture.layouts == spec.layouts:
        return previous.architecture
    raise SaimaError(
        f"model '{spec.name}': its inputs have changed; it cannot go on from the previous one, only afresh"
    )


def descend(
    network: Any,
    architecture: Architecture,
    rows: pl.DataFrame,
    labels: NDArray[np.float32],
    weights: NDArray[np.float32],
    seed: int,
    epochs: int,
    rate: float,
    options: dict[str, Any],
) -> None:
    """Minimise the loss in place: Adam with decay, the rate falling along a cosine, rows shuffled by the seed."""
    tf = tensorflow()
    batch = min(int(options["batch"]), labels.size)
    steps = labels.size // batch
    schedule = tf.keras.optimizers.schedules.CosineDecay(rate, epochs * steps, alpha=0.02)
    optimizer = tf.keras.optimizers.AdamW(schedule, weight_decay=float(options["decay"]))
    optimizer.build(network.trainable_variables)
    given = {name: tf.constant(values) for name, values in tensors(architecture.layouts, rows).items()}
    targets = tf.constant((labels - architecture.offset) / architecture.spread)
    importance = tf.constant(weights)
    corner = float(options["huber"])
    kind = "log" if architecture.objective == "binary" else str(options["loss"])
    if kind not in ("log", "huber", "squared"):
        raise SaimaError(f"setting loss is '{kind}'; it is huber or squared")

    def loss(target: Any, output: Any) -> Any:
        if kind == "log":
            return tf.nn.sigmoid_cross_entropy_with_logits(target, output)
        error = tf.abs(target - output)
        if kind == "squared":
            return 0.5 * error * error
        return tf.where(error <= corner, 0.5 * error * error, corner * (error - 0.5 * corner))

    def epoch(order: Any) -> None:
        for index in tf.range(steps):
            chosen = order[index * batch : (index + 1) * batch]
            with tf.GradientTape() as tape:
                output = network({name: tf.gather(value, chosen) for name, value in given.items()}, training=True)
                row_loss = loss(tf.gather(targets, chosen), output[:, 0])
                total = tf.reduce_mean(row_loss * tf.gather(importance, chosen))
            gradients = tape.gradient(total, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    compiled = tf.function(epoch)
    shuffle = np.random.default_rng(seed)
    for _ in range(epochs):
        compiled(tf.constant(shuffle.permutation(labels.size).astype(np.int32)))


def served(network: Any, architecture: Architecture) -> TensorFlowModel:
    """The network with its signature: named tensors in, `score` in the label's unit (or a chance) out."""
    tf = tensorflow()
    shapes = {}
    for layout in architecture.layouts:
        sizes = (None if size == -1 else size for size in layout.shape)
        shapes[layout.name] = tf.TensorSpec((None, *sizes), layout.dtype, name=layout.name)
        shapes |= {beside: tf.TensorSpec((None,), tf.int64, name=beside) for beside in layout.names[1:]}

    def score(**given: Any) -> dict[str, Any]:
        output = network(given, training=False)[:, 0]
        if architecture.objective == "binary":
            return {"score": tf.sigmoid(output)}
        return {"score": output * architecture.spread + architecture.offset}

    holder = tf.Module()
    holder.network = network
    serve = tf.function(score, autograph=False).get_concrete_function(**shapes)
    weights = tuple(np.asarray(value, dtype=np.float32) for value in network.get_weights())
    return TensorFlowModel(architecture, weights, serve, holder)
