"""TensorFlow models made elsewhere: a SavedModel or a frozen graph, fed by tensors or by tf.Examples, as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saima.errors import SaimaError
from saima.features.layouts import Layout
from saima.learning.elsewhere import made_elsewhere
from saima.learning.examples import examples
from saima.learning.tensors import Features, rows, tensors
from saima.learning.trainers.runtime import tensorflow
from saima.learning.trainers.schema import Port, Ports, check, frozen_ports, output_of, saved_ports

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.learning.model import ModelSpec

FILE, GRAPH, SAVED = "foreign.json", "graph.pb", "saved_model"
Run = Callable[[Mapping[str, "NDArray[Any]"]], Mapping[str, "NDArray[Any]"]]


@dataclass(frozen=True)
class Feed:
    """How the declaration feeds a model and reads it.

    features: what it reads; layouts: its tensors, empty where it takes examples; tensor: the input that takes them,
    empty for the only one; outputs: what each output is called in the model, perhaps with a place, `scores[1]`; output:
    the one that stands for the model.
    """

    features: tuple[str, ...]
    layouts: tuple[Layout, ...]
    tensor: str
    signature: str
    outputs: dict[str, str]
    output: str

    @classmethod
    def of(cls, spec: ModelSpec) -> Feed:
        """As a model is declared."""
        declared = spec.declaration
        by_example = declared.takes == "examples"
        tensor = next(iter(declared.inputs)) if by_example and isinstance(declared.inputs, dict) else ""
        outputs = declared.outputs or {declared.output: ""}
        layouts = () if by_example else spec.layouts
        return cls(spec.features, layouts, tensor, declared.signature, dict(outputs), declared.output)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Feed:
        """What `asdict` gave."""
        layouts = tuple(Layout.from_json(each) for each in document["layouts"])
        return cls(**{**document, "features": tuple(document["features"]), "layouts": layouts})


@dataclass(frozen=True)
class ForeignModel:
    """A model that is only run, never trained."""

    path: Path
    feed: Feed
    run: Run = field(repr=False)
    kind: str = "tensorflow"

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that `predict` reads."""
        return self.feed.features

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Its declared output, float64 [n]."""
        return self.outputs(columns)[self.feed.output]

    def outputs(self, columns: Features) -> dict[str, NDArray[np.float64]]:
        """All outputs by name, float64 [n] each. Raises SaimaError for one that has not one value a row."""
        given: Mapping[str, NDArray[Any]]
        if self.feed.layouts:
            given = tensors(self.feed.layouts, columns)
            count = rows(self.feed.layouts, given)
        else:
            given = {self.feed.tensor: examples(columns, self.feed.features)}
            count = len(given[self.feed.tensor])
        return {name: _column(name, values, count) for name, values in self.run(given).items()}

    def save(self, directory: Path) -> None:
        """Copy the model as it was brought, and write `foreign.json`."""
        directory.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            shutil.copytree(self.path, directory / SAVED, dirs_exist_ok=True)
        else:
            shutil.copyfile(self.path, directory / GRAPH)
        (directory / FILE).write_text(json.dumps(asdict(self.feed)), encoding="utf-8")


def bring(spec: ModelSpec) -> ForeignModel:
    """Open the declared file or folder and hold its inputs and outputs against the declaration.

    Raises SaimaError naming the input, its dtype or its shape that differs.
    """
    return opened(made_elsewhere(spec), Feed.of(spec), spec.name)


def load(directory: Path) -> ForeignModel:
    """Open what `save` wrote. Raises SaimaError if it is missing or unreadable."""
    try:
        feed = Feed.from_json(json.loads((directory / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SaimaError(f"model file {directory / FILE} cannot be read: {error}") from error
    path = directory / GRAPH
    return opened(path if path.is_file() else directory / SAVED, feed, directory.name)


def ports_of(path: Path, signature: str) -> Ports:
    """Inputs and outputs of a frozen graph (a file) or of a SavedModel's signature (a folder)."""
    return (_frozen(path) if path.is_file() else _saved(path, signature))[0]


def opened(path: Path, feed: Feed, name: str) -> ForeignModel:
    """A model of a file (frozen graph) or a folder (SavedModel)."""
    tensor = feed.tensor
    ports, run_of = _frozen(path) if path.is_file() else _saved(path, feed.signature)
    if not feed.layouts and not tensor:
        if len(ports.inputs) != 1:
            raise SaimaError(
                f"model '{name}' has {len(ports.inputs)} inputs ({', '.join(ports.inputs)}); say which takes examples: "
                "inputs: {<input>: [...]}"
            )
        tensor = next(iter(ports.inputs))
    feed = Feed(feed.features, feed.layouts, tensor, feed.signature, feed.outputs, feed.output)
    wanted = {port.name: port for layout in feed.layouts for port in Port.of(layout)} or {
        tensor: Port(tensor, "string", (None,))
    }
    check(name, path, ports.inputs, wanted)
    targets = {output: output_of(name, output, target, ports.outputs) for output, target in feed.outputs.items()}
    return ForeignModel(path, feed, run_of(list(wanted), targets))


def _saved(path: Path, signature: str) -> tuple[Ports, Callable[[list[str], dict[str, tuple[str, int]]], Run]]:
    """Ports of a SavedModel's signature, and how to run it."""
    tf = tensorflow()
    if not (path / "saved_model.pb").is_file():
        raise SaimaError(f"{path} is no SavedModel: it holds no saved_model.pb")
    try:
        holder = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise SaimaError(f"model in {path} cannot be read: {str(error).splitlines()[0]}") from error
    ports = saved_ports(path, holder, signature)

    def run_of(_: list[str], targets: dict[str, tuple[str, int]]) -> Run:
        function = holder.signatures[signature]

        def run(given: Mapping[str, NDArray[Any]], holder: Any = holder) -> Mapping[str, NDArray[Any]]:  # noqa: ARG001  keeps its variables alive
            found = function(**{name: tf.constant(values) for name, values in given.items()})
            return {name: _picked(found[target].numpy(), place) for name, (target, place) in targets.items()}

        return run

    return ports, run_of


def _frozen(path: Path) -> tuple[Ports, Callable[[list[str], dict[str, tuple[str, int]]], Run]]:
    """Ports of a frozen graph, and how to run it."""
    tf = tensorflow()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
        wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    except (OSError, DecodeError, ValueError, KeyError, tf.errors.OpError) as error:
        raise SaimaError(f"model file {path} is no frozen graph: {str(error).splitlines()[0]}") from error
    ports = frozen_ports(wrapped.graph)

    def run_of(feeds: list[str], targets: dict[str, tuple[str, int]]) -> Run:
        names = list(targets)
        fetches = [wrapped.graph.get_tensor_by_name(f"{targets[name][0]}") for name in names]
        function = wrapped.prune([wrapped.graph.get_tensor_by_name(f"{feed}:0") for feed in feeds], fetches)

        def run(given: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
            found = function(*(tf.constant(given[feed]) for feed in feeds))
            values = zip(names, found, strict=True)
            return {name: _picked(value.numpy(), targets[name][1]) for name, value in values}

        return run

    return ports, run_of


def _picked(values: NDArray[Any], place: int) -> NDArray[Any]:
    return values if place < 0 else values[..., place]


def _column(name: str, values: NDArray[Any], count: int) -> NDArray[np.float64]:
    if values.size != count:
        raise SaimaError(
            f"output '{name}' has shape {list(values.shape)} for {count} rows; it must be one value a row: "
            "choose one by its place, such as 'scores[1]'"
        )
    return values.reshape(count).astype(np.float64)
