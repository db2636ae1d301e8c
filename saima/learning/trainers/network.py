"""The graph of the network: tensors in; standardisation, missing indicators, embeddings and pooling; a score out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.features.layouts import Layout

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
class Pooled:
    """A tensor of lists or steps, [n, length] or [n, length, width]: the mean over what is there, for numbers the
    greatest too, and how many there are.

    size: rows of the embedding, 0 for numbers, which `middle` and `scale` standardise; width: of the embedding.
    """

    name: str
    size: int
    width: int
    middle: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """All that the graph is built from; the weights apart."""

    layouts: tuple[Layout, ...]
    dense: tuple[Dense, ...]
    ids: tuple[Ids, ...]
    pooled: tuple[Pooled, ...]
    hidden: tuple[int, ...]
    dropout: float
    objective: str
    offset: float
    spread: float

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature read, once each."""
        return tuple(dict.fromkeys(name for layout in self.layouts for name in layout.features))

    def layout(self, name: str) -> Layout:
        """How a tensor is filled."""
        return next(layout for layout in self.layouts if layout.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Architecture:
        """What `to_json` wrote."""
        return cls(
            tuple(Layout.from_json(each) for each in document["layouts"]),
            tuple(Dense(**_tuples(each)) for each in document["dense"]),
            tuple(Ids(**_tuples(each)) for each in document["ids"]),
            tuple(Pooled(**_tuples(each)) for each in document["pooled"]),
            tuple(document["hidden"]),
            document["dropout"],
            document["objective"],
            document["offset"],
            document["spread"],
        )


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}


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
    for layout in architecture.layouts:
        shape = tuple(None if size == -1 else size for size in layout.shape)
        inputs[layout.name] = keras.Input(shape, name=layout.name, dtype=layout.dtype)
        for beside in layout.names[1:]:
            inputs[beside] = keras.Input((), name=beside, dtype="int64")
    parts: list[Any] = []
    for dense in architecture.dense:
        tensor = layers.Reshape((len(dense.middle),))(ops.cast(inputs[dense.name], "float32"))
        missing = ops.isnan(tensor)
        parts += [_standard(tensor, missing, dense.middle, dense.scale), ops.cast(missing, "float32")]
    for order, ids in enumerate(architecture.ids):
        start = keras.initializers.RandomUniform(seed=seed * 101 + 50 + order)
        embedding = layers.Embedding(ids.size, ids.width, start, name=f"{ids.name}_embedding")
        parts.append(layers.Flatten()(embedding(_known(inputs[ids.name], ids.size))))
    for order, pooled in enumerate(architecture.pooled):
        start = keras.initializers.RandomUniform(seed=seed * 101 + 70 + order)
        parts += _pool(pooled, architecture.layout(pooled.name), inputs, start)
    flow = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for depth, units in enumerate(architecture.hidden):
        start = keras.initializers.GlorotUniform(seed=seed * 101 + depth)
        flow = layers.Dense(units, activation="relu", kernel_initializer=start, name=f"hidden_{depth}")(flow)
        if architecture.dropout:
            flow = layers.Dropout(architecture.dropout, seed=seed * 101 + depth)(flow)
    start = keras.initializers.GlorotUniform(seed=seed * 101 + 97)
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=start, name="standard_score")(flow))


def _standard(tensor: Any, missing: Any, middle: tuple[float, ...], scale: tuple[float, ...]) -> Any:
    from tensorflow.keras import ops

    centre, reach = np.array(middle, np.float32), np.array(scale, np.float32)
    return ops.arcsinh((ops.where(missing, centre, tensor) - centre) / reach)


def _known(tensor: Any, size: int) -> Any:
    from tensorflow.keras import ops

    return ops.where(ops.logical_and(tensor >= 0, tensor < size), tensor, ops.zeros_like(tensor))


def _pool(pooled: Pooled, layout: Layout, inputs: Mapping[str, Any], start: Any) -> list[Any]:
    """Mean, and for numbers maximum, of what each row holds; without lengths, what equals the pad is not there."""
    from tensorflow.keras import layers, ops

    tensor = inputs[pooled.name]
    if layout.lengths:
        length = ops.expand_dims(inputs[layout.names[-1]], 1)
        held = ops.cast(ops.cumsum(ops.ones_like(_first(tensor, layout), dtype="int64"), axis=1) <= length, "float32")
    else:
        held = ops.cast(tensor != layout.pad, "float32")
    if pooled.size:
        values = layers.Embedding(pooled.size, pooled.width, start, name=f"{pooled.name}_embedding")(
            _known(tensor, pooled.size)
        )
    else:
        numbers = ops.cast(tensor, "float32")
        numbers = ops.expand_dims(numbers, 2) if layout.form == "list" else numbers
        values = _standard(numbers, ops.isnan(numbers), pooled.middle, pooled.scale)
    weight = ops.expand_dims(held, 2)
    count = ops.sum(held, axis=1, keepdims=True)
    parts = [ops.sum(values * weight, axis=1) / ops.maximum(count, 1.0), ops.log1p(count)]
    if not pooled.size:
        greatest = ops.max(ops.where(weight > 0, values, ops.full_like(values, -1e9)), axis=1)
        parts.append(ops.where(count > 0, greatest, ops.zeros_like(greatest)))
    return parts


def _first(tensor: Any, layout: Layout) -> Any:
    return tensor if layout.form == "list" else tensor[:, :, 0]
