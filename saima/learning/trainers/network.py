"""The graph of the network: tensors in, standardisation, missing indicators and embeddings inside, one score out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Dense:
    """A tensor of numbers, float32 [n, len(features)]; `middle` and `scale` standardise it,
    `middle` fills its gaps."""

    name: str
    features: tuple[str, ...]
    middle: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Ids:
    """A tensor of identifiers, int64 [n, len(features)]: an embedding of `size` rows; others count as 0."""

    name: str
    features: tuple[str, ...]
    size: int
    width: int


@dataclass(frozen=True)
class Architecture:
    """All that the graph is built from; the weights apart."""

    dense: tuple[Dense, ...]
    ids: tuple[Ids, ...]
    hidden: tuple[int, ...]
    dropout: float
    objective: str
    offset: float
    spread: float

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature read, once each."""
        return tuple(dict.fromkeys(name for names in self.tensors.values() for name in names))

    @property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        """Features by input tensor."""
        return {d.name: d.features for d in self.dense} | {i.name: i.features for i in self.ids}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Architecture:
        """What `to_json` wrote."""
        return cls(
            tuple(
                Dense(d["name"], *(tuple(d[part]) for part in ("features", "middle", "scale")))
                for d in document["dense"]
            ),
            tuple(Ids(d["name"], tuple(d["features"]), d["size"], d["width"]) for d in document["ids"]),
            tuple(document["hidden"]),
            document["dropout"],
            document["objective"],
            document["offset"],
            document["spread"],
        )


def standardise(name: str, features: tuple[str, ...], values: NDArray[np.float32]) -> Dense:
    """Measure a tensor [n, k] for its standardisation, on the scale on which the graph sees it.

    Gaps take the median; heavy tails are folded by asinh around the median in units of the interquartile range.
    """
    middle = np.zeros(values.shape[1])
    reach = np.ones(values.shape[1])
    for column in range(values.shape[1]):
        known = values[:, column][np.isfinite(values[:, column])]
        if known.size:
            low, middle[column], high = np.percentile(known, (25, 50, 75))
            reach[column] = high - low if high > low else max(float(known.std()), 1e-6)
    return Dense(name, features, *(tuple(float(x) for x in v) for v in (middle, reach)))


def build(architecture: Architecture, seed: int) -> Any:
    """The untrained Keras functional model; its last layer speaks in units of `spread` around `offset`."""
    import tensorflow as tf

    keras, layers, ops = tf.keras, tf.keras.layers, tf.keras.ops
    inputs: dict[str, Any] = {}
    parts: list[Any] = []
    for dense in architecture.dense:
        tensor = inputs[dense.name] = keras.Input((len(dense.features),), name=dense.name, dtype="float32")
        missing = ops.isnan(tensor)
        middle, scale = np.array(dense.middle, np.float32), np.array(dense.scale, np.float32)
        scaled = ops.arcsinh((ops.where(missing, middle, tensor) - middle) / scale)
        parts += [scaled, ops.cast(missing, "float32")]
    for order, ids in enumerate(architecture.ids):
        tensor = inputs[ids.name] = keras.Input((len(ids.features),), name=ids.name, dtype="int64")
        known = ops.where(ops.logical_and(tensor >= 0, tensor < ids.size), tensor, ops.zeros_like(tensor))
        start = keras.initializers.RandomUniform(seed=seed * 101 + 50 + order)
        embedded = layers.Embedding(ids.size, ids.width, start, name=f"{ids.name}_embedding")(known)
        parts.append(layers.Flatten()(embedded))
    flow = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for depth, units in enumerate(architecture.hidden):
        start = keras.initializers.GlorotUniform(seed=seed * 101 + depth)
        flow = layers.Dense(units, activation="relu", kernel_initializer=start, name=f"hidden_{depth}")(flow)
        if architecture.dropout:
            flow = layers.Dropout(architecture.dropout, seed=seed * 101 + depth)(flow)
    start = keras.initializers.GlorotUniform(seed=seed * 101 + 97)
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=start, name="standard_score")(flow))
