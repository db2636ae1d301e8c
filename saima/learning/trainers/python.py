"""Models in an algorithm's own Python: two functions over tensors, and what they have learned as named arrays.

The file defines `predict(state, tensors)`, which gives one number a row, and, if it learns,
`fit(tensors, label, weight, settings, previous)`, which gives the state, a dictionary of arrays; `previous` is the
state to go on from, or None.
`SETTINGS`, a dictionary, names what may be set and its defaults; `seed` is always there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import SaimaError
from saima.features.layouts import Layout
from saima.learning.elsewhere import made_elsewhere
from saima.learning.model import Model, ModelSpec, labelled
from saima.learning.tensors import Features, rows, tensors
from saima.modules import module_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODE, LAYOUTS, STATE = "model.py", "layouts.json", "state.npz"

State = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True)
class PythonModel:
    """The module of a model, its input tensors, and what it has learned."""

    path: Path
    layouts: tuple[Layout, ...]
    state: State = field(repr=False)
    module: ModuleType = field(repr=False)
    kind: str = "python"

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that `predict` reads."""
        return tuple(dict.fromkeys(name for layout in self.layouts for name in layout.features))

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """What the file's `predict` says, float64 [n]. Raises SaimaError if it is not one number a row."""
        given = tensors(self.layouts, columns)
        count = rows(self.layouts, given)
        found = np.asarray(self.module.predict(self.state, given))
        if found.shape not in ((count,), (count, 1)) or found.dtype.kind not in "fiub":
            shown = f"{found.dtype} {list(found.shape)}"
            raise SaimaError(f"{self.path}: predict gave {shown} for {count} rows; it must be a number a row")
        return found.reshape(count).astype(np.float64)

    def save(self, directory: Path) -> None:
        """Copy the code, write the layouts and the state."""
        directory.mkdir(parents=True, exist_ok=True)
        if self.path != directory / CODE:
            shutil.copyfile(self.path, directory / CODE)
        (directory / LAYOUTS).write_text(json.dumps([asdict(layout) for layout in self.layouts]), encoding="utf-8")
        np.savez(directory / STATE, **dict(self.state))  # type: ignore[arg-type]  # its stubs know no names


@dataclass(frozen=True)
class PythonTrainer:
    """Runs the file's `fit`; without one there is nothing to learn."""

    kind: str = "python"

    def fit(self, samples: pl.DataFrame, spec: ModelSpec, previous: Model | None = None) -> PythonModel:
        """Train on labelled samples. See Trainer.fit. Raises SaimaError if the state is not arrays by name."""
        path = made_elsewhere(spec)
        module = imported(path)
        layouts = spec.layouts
        if previous is not None and (not isinstance(previous, PythonModel) or previous.layouts != layouts):
            raise SaimaError(
                f"model '{spec.name}': its inputs have changed; it cannot go on from the previous one, only afresh"
            )
        settings = spec.options({"seed": spec.seed, **getattr(module, "SETTINGS", {})})
        if not hasattr(module, "fit"):
            return PythonModel(path, layouts, {}, module)
        learned = labelled(samples, spec)
        label, weight = (learned[name].to_numpy().copy() for name in (spec.label, spec.weight))
        before = dict(previous.state) if isinstance(previous, PythonModel) else None
        found = module.fit(tensors(layouts, learned), label, weight, settings, before)
        if not isinstance(found, Mapping):
            raise SaimaError(f"{path}: fit gave {type(found).__name__}; it must give arrays by name")
        state = {str(name): np.asarray(values) for name, values in found.items()}
        objects = [name for name, values in state.items() if values.dtype.hasobject]
        if objects:
            raise SaimaError(f"{path}: fit gave '{objects[0]}', which is no array of numbers or texts")
        return PythonModel(path, layouts, state, module)

    def load(self, directory: Path) -> PythonModel:
        """Open what `save` wrote. Raises SaimaError if a file is missing or unreadable."""
        directory = Path(directory)
        for name in (CODE, LAYOUTS, STATE):
            if not (directory / name).is_file():
                raise SaimaError(f"model file {directory / name} is missing")
        try:
            layouts = tuple(Layout.from_json(each) for each in json.loads((directory / LAYOUTS).read_text("utf-8")))
            with np.load(directory / STATE, allow_pickle=False) as stored:
                state = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SaimaError(f"model in {directory} cannot be read: {str(error).splitlines()[0]}") from error
        return PythonModel(directory / CODE, layouts, state, imported(directory / CODE))


def imported(path: Path) -> ModuleType:
    """The module of a model's file, under a name that carries its digest, so that versions live side by side.

    Raises SaimaError naming the file, the line and what is wrong, or that it defines no `predict`.
    """
    name = f"saima_model_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    known = _modules.get(name)
    if known is not None:
        return known
    try:
        module = module_of(name, path)
    except Exception as error:  # whatever the user's code raises
        place = f"{path}:{error.lineno}" if isinstance(error, SyntaxError) else str(path)
        raise SaimaError(f"{place}: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "predict", None)):
        raise SaimaError(f"{path}: defines no predict(state, tensors)")
    _modules[name] = module
    return module


_modules: weakref.WeakValueDictionary[str, ModuleType] = weakref.WeakValueDictionary()
"""Modules of the models that the process holds: they go with the last of them."""
