"""`model_list`: models made elsewhere, their inputs and their outputs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saima.errors import SaimaError, suggest
from saima.importer.features import Extracted
from saima.importer.markup import Attribute, Element
from saima.importer.resources import Resources

ATTRIBUTES = (
    "model_name", "model_type", "input_type", "out_names", "out_aliases", "separator", "signature",
)  # fmt: skip
SUFFIXES = {"mdl": "", "pb": ".pb"}
"""Values of `model_type`: the folder of a SavedModel, a frozen graph."""

TAKES = {"tensor": "tensors", "example": "examples"}
TENSORS = {"float32": "float32", "float64": "float64", "int64": "int64", "bool": "bool", "string": "string"}

_NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Brought:
    """A model's entry under `models`, where it stands, and its file, if it was given."""

    element: Element
    entry: dict[str, Any]
    file: Path | None

    def copy(self, folder: Path) -> None:
        """Put the given file into the algorithm's folder."""
        if self.file is None:
            return
        target = folder / str(self.entry["file"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.file.is_dir():
            shutil.copytree(self.file, target)
        else:
            shutil.copyfile(self.file, target)


def read_models(section: Element | None, features: Mapping[str, Extracted], resources: Resources) -> dict[str, Brought]:
    """The models of a configuration. Raises DeclarationError at the attribute."""
    models: dict[str, Brought] = {}
    for element in section.each("id") if section else ():
        element.only(ATTRIBUTES)
        name = element.require("model_name")
        if not _NAME.fullmatch(name.value):
            raise name.error(f"'{name.value}' is not a name: letters, digits and _, a letter first")
        if name.value in models:
            raise name.error(f"the model '{name.value}' stands twice")
        models[name.value] = _brought(element, name.value, features, resources)
    return models


def _brought(element: Element, name: str, features: Mapping[str, Extracted], resources: Resources) -> Brought:
    kind = _one_of(element.require("model_type"), SUFFIXES)
    given = element.get("input_type")
    takes = TAKES[_one_of(given, TAKES)] if given else "tensors"
    suffix = SUFFIXES[kind]
    file = resources.model(name, suffix)
    outputs = _outputs(element)
    signature = element.get("signature")
    entry: dict[str, Any] = {"kind": "tensorflow", "file": f"models/{name}{suffix}"}
    if takes == "examples":
        entry["takes"] = takes
    if signature is not None and not suffix:
        entry["signature"] = signature.value
    entry["output"] = next(iter(outputs))
    if outputs not in ({entry["output"]: entry["output"]}, {entry["output"]: ""}):
        entry["outputs"] = outputs
    inputs: Any = list(features)
    if takes == "tensors":
        inputs = {feature: _tensor(found) for feature, found in features.items()}
        if file is not None:
            inputs = _read(element, file, entry.get("signature", "serving_default"), features)
    return Brought(element, {**entry, "inputs": inputs}, file)


def _outputs(element: Element) -> dict[str, str]:
    """The model's own names of its outputs, by the names that we give them; empty for the only one."""
    separator = element.get("separator")
    names, aliases = (
        [part.strip() for part in found.value.split(separator.value if separator else ";") if part.strip()]
        if (found := element.get(attribute))
        else []
        for attribute in ("out_names", "out_aliases")
    )
    if not names and not aliases:
        raise element.error("<id> needs 'out_names' or 'out_aliases'")
    if names and aliases and len(names) != len(aliases):
        raise element.require("out_aliases").error(f"{len(aliases)} out_aliases for {len(names)} out_names")
    if not names and len(aliases) > 1:
        raise element.require("out_aliases").error("several out_aliases need the model's own 'out_names'")
    own = aliases or [name.split(":")[0].rsplit("/", 1)[-1] for name in names]
    for name in own:
        if not _NAME.fullmatch(name):
            attribute = element.require("out_aliases" if aliases else "out_names")
            raise attribute.error(f"'{name}' is not a name; give the output one by 'out_aliases'")
    if len(set(own)) < len(own):
        raise element.require("out_names").error("two outputs have one name; give them names by 'out_aliases'")
    return dict(zip(own, names or [""], strict=True))


def _tensor(found: Extracted) -> dict[str, Any]:
    inner = found.dtype.of if found.dtype.is_list else found.dtype
    return {"tensor": TENSORS[str(inner)], "shape": [-1] if found.dtype.is_list else [1]}


def _read(element: Element, file: Path, signature: str, features: Mapping[str, Extracted]) -> dict[str, Any]:
    """Inputs as the model itself declares them, each a feature of its name. Raises DeclarationError at the model."""
    from saima.learning.trainers.foreign import ports_of

    name = element.require("model_name")
    try:
        ports = ports_of(file, signature)
    except SaimaError as error:
        raise name.error(str(error)) from None
    inputs: dict[str, Any] = {}
    for port in ports.inputs.values():
        if port.name not in features:
            hint = suggest(port.name, features)
            raise name.error(f"the model takes '{port.name}' ({port}), and no feature has this name{hint}")
        sizes = [-1] if features[port.name].dtype.is_list else [1]
        if port.shape is not None:
            sizes = [-1 if size is None else size for size in port.shape[1:]]
        if not features[port.name].dtype.is_list:
            sizes = [1 if size == -1 else size for size in sizes]
        inputs[port.name] = {"tensor": port.dtype, "shape": sizes}
    if not inputs:
        raise name.error("the model takes nothing")
    return inputs


def _one_of(attribute: Attribute, known: Mapping[str, str]) -> str:
    text = attribute.value.strip()
    if text not in known:
        hint = suggest(text, known)
        raise attribute.error(f"unknown {attribute.name} '{text}'{hint}; known: {', '.join(known)}")
    return text
