"""Check a declared model against the features: names, types, the shapes of its tensors, where its file lies."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from saima.features.layouts import LayoutFault, layouts
from saima.features.types import BOOL, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saima.features.checks.declaration import Checker
    from saima.features.declaration import Model
    from saima.features.source import Path_

TREES = ("xgboost", "lightgbm")
FILES = {"xgboost": (".ubj", ".json"), "lightgbm": (".txt",), "python": (".py",), "tensorflow": (".pb", "")}
"""What a model's file may end in; a SavedModel is a folder."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_model(checker: Checker, name: str, model: Model) -> None:
    """Refuse a model whose inputs, outputs or file do not fit. Raises DeclarationError at the place."""
    if model.kind in TREES and not isinstance(model.inputs, list):
        raise checker.fault(f"{model.kind} takes one list of features", "models", name, "inputs")
    _inputs(checker, name, model)
    _tensors(checker, name, model)
    _outputs(checker, name, model)
    _file(checker, name, model)


def _inputs(checker: Checker, name: str, model: Model) -> None:
    features = checker.declaration.features
    seen: set[tuple[str, str | int]] = set()
    for feature, path in _named(model):
        checker.known("feature", feature, features, "models", name, *path)
        group = (feature, path[1] if isinstance(path[1], str) else "")
        if group in seen:
            raise checker.fault(f"the feature '{feature}' stands twice", "models", name, *path)
        seen.add(group)
        dtype = checker.dtype(features[feature].dtype, "features", feature, "dtype")
        if model.kind in TREES and not (dtype.is_number or dtype == BOOL):
            raise checker.fault(f"{model.kind} takes numbers; '{feature}' is {dtype}", "models", name, *path)
    if not seen:
        raise checker.fault(f"the model '{name}' has no input", "models", name, "inputs", key=True)


def _named(model: Model) -> Iterator[tuple[str, Path_]]:
    """Features that a model names, each with its place below the model."""
    if isinstance(model.inputs, list):
        yield from ((feature, ("inputs", place)) for place, feature in enumerate(model.inputs))
        return
    for tensor, given in model.inputs.items():
        if isinstance(given, list):
            yield from ((feature, ("inputs", tensor, place)) for place, feature in enumerate(given))
        elif given.features is None:
            yield tensor, ("inputs", tensor)
        else:
            yield from ((feature, ("inputs", tensor, "features", at)) for at, feature in enumerate(given.features))


def _tensors(checker: Checker, name: str, model: Model) -> None:
    dtypes = {feature: declared.dtype for feature, declared in checker.declaration.features.items()}
    if model.takes == "examples":
        _examples(checker, name, model, dtypes)
        return
    if isinstance(model.inputs, dict):
        for tensor, given in model.inputs.items():
            if not isinstance(given, list) and any(size < -1 or size == 0 for size in given.shape):
                raise checker.fault("sizes are positive, or -1 for any", "models", name, "inputs", tensor, "shape")
    try:
        layouts(model, dtypes)
    except LayoutFault as fault:
        raise checker.fault(fault.message, "models", name, *fault.path) from None


def _examples(checker: Checker, name: str, model: Model, dtypes: dict[str, str]) -> None:
    if model.kind != "tensorflow" or model.file is None:
        raise checker.fault("examples are for a tensorflow model with a file", "models", name, "takes")
    if isinstance(model.inputs, dict) and (
        len(model.inputs) > 1 or not isinstance(next(iter(model.inputs.values())), list)
    ):
        raise checker.fault(
            "examples fill one tensor: a list of features, or {tensor: [features]}", "models", name, "inputs"
        )
    for feature, path in _named(model):
        inner = parse_type(dtypes[feature])
        inner = inner.of if inner.is_list else inner
        if not (inner.is_number or inner.is_text):
            raise checker.fault(
                f"an example holds numbers and texts; '{feature}' is {dtypes[feature]}", "models", name, *path
            )


def _outputs(checker: Checker, name: str, model: Model) -> None:
    for output in model.outputs:
        if not _NAME.fullmatch(output):
            raise checker.fault(f"'{output}' is not a name", "models", name, "outputs", output, key=True)
    if not _NAME.fullmatch(model.output):
        raise checker.fault(f"'{model.output}' is not a name", "models", name, "output")
    if model.outputs:
        if model.kind != "tensorflow" or model.file is None:
            raise checker.fault(
                "only a tensorflow model with a file has several outputs", "models", name, "outputs", key=True
            )
        checker.known("output", model.output, model.outputs, "models", name, "output")


def _file(checker: Checker, name: str, model: Model) -> None:
    if model.file is None:
        if model.kind == "python":
            raise checker.fault(f"the python model '{name}' needs 'file: <code>.py'", "models", name, key=True)
        return
    path = PurePosixPath(model.file)
    if path.is_absolute() or ".." in path.parts or not model.file.strip():
        raise checker.fault(f"'{model.file}' lies outside the algorithm's folder", "models", name, "file")
    if path.suffix not in FILES[model.kind]:
        known = " or ".join(suffix or "a folder" for suffix in FILES[model.kind])
        raise checker.fault(f"'{model.file}' is no file of kind {model.kind}: {known}", "models", name, "file")
    if model.settings and model.kind != "python":
        raise checker.fault("a model that is taken as it is has no settings", "models", name, "settings", key=True)
