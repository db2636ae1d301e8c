"""What a TensorFlow model takes and gives, held against what the declaration feeds it and reads of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saima.errors import SaimaError, suggest

if TYPE_CHECKING:
    from saima.features.layouts import Layout

_PLACE = re.compile(r"(.+)\[(\d+)\]")


@dataclass(frozen=True)
class Port:
    """An input or output: element type, and shape with the rows first; None is any size, a shape of None any shape."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, layout: Layout) -> Iterator[Port]:
        """The tensors that a layout fills."""
        sizes = () if layout.form == "ragged" else tuple(None if size == -1 else size for size in layout.shape)
        yield cls(layout.name, layout.dtype, (None, *sizes))
        for beside in layout.names[1:]:
            yield cls(beside, "int64", (None,))

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} [{', '.join('any' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs by name; outputs of a frozen graph are all its tensors."""

    inputs: dict[str, Port]
    outputs: dict[str, Port]


def saved_ports(path: Path, holder: Any, signature: str) -> Ports:
    """Ports of a signature. Raises SaimaError if the model has none of that name."""
    known = list(holder.signatures)
    if signature not in known:
        there = f"; it has {', '.join(known)}" if known else "; it has none"
        raise SaimaError(f"model in {path} has no signature '{signature}'{suggest(signature, known)}{there}")
    function = holder.signatures[signature]
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    return Ports(
        {name: Port(name, spec.dtype.name, _shape(spec.shape)) for name, spec in inputs.items()},
        {name: Port(name, spec.dtype.name, _shape(spec.shape)) for name, spec in outputs.items()},
    )


def frozen_ports(graph: Any) -> Ports:
    """Placeholders of a graph, and the tensors of all its operations under `<operation>` and `<operation>:<n>`."""
    inputs, outputs = {}, {}
    for operation in graph.get_operations():
        for number, tensor in enumerate(operation.outputs):
            port = Port(tensor.name, tensor.dtype.name, _shape(tensor.shape))
            outputs[tensor.name] = port
            if number == 0:
                outputs[operation.name] = port
                if operation.type == "Placeholder":
                    inputs[operation.name] = replace(port, name=operation.name)
    return Ports(inputs, outputs)


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def check(model: str, path: Path, inputs: Mapping[str, Port], wanted: Mapping[str, Port]) -> None:
    """Refuse a model whose inputs are not those that the declaration fills.

    Raises SaimaError naming the input and both types and shapes.
    """
    for name, filled in wanted.items():
        taken = inputs.get(name)
        if taken is None:
            raise SaimaError(
                f"model '{model}' ({path.name}) has no input '{name}'{suggest(name, inputs)}; it takes "
                f"{', '.join(f'{one.name} {one}' for one in inputs.values()) or 'nothing'}"
            )
        if taken.dtype != filled.dtype or not _holds(taken.shape, filled.shape):
            raise SaimaError(
                f"model '{model}' ({path.name}) takes '{name}' as {taken}, and the declaration fills {filled}"
            )
    open_ = [name for name in inputs if name not in wanted]
    if open_:
        raise SaimaError(
            f"model '{model}' ({path.name}) takes '{open_[0]}' ({inputs[open_[0]]}), which no feature fills; "
            f"add it to models.{model}.inputs"
        )


def _holds(taken: tuple[int | None, ...] | None, filled: tuple[int | None, ...] | None) -> bool:
    if taken is None or filled is None:
        return True
    return len(taken) == len(filled) and all(
        ours == theirs or theirs is None for theirs, ours in zip(taken, filled, strict=True)
    )


def output_of(model: str, output: str, target: str, outputs: Mapping[str, Port]) -> tuple[str, int]:
    """Name of an output in the model, and the place in its last dimension, -1 for all of it.

    Without a target it is the output of that name, or the only one. Raises SaimaError for one that is not there.
    """
    place = _PLACE.fullmatch(target)
    name = place[1] if place else target or output
    if name not in outputs and not target and len(outputs) == 1:
        name = next(iter(outputs))
    if name not in outputs:
        raise SaimaError(f"model '{model}' has no output '{name}'{suggest(name, outputs)}")
    return outputs[name].name, int(place[2]) if place else -1
