"""An algorithm's recorded events: `algorithms/<name>/sources.py`, which tests, `make up` and `make demo` replay."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import polars as pl

from saima.errors import SaimaError
from saima.events import ARROW, Topic
from saima.features.declaration import Declaration


@dataclass(frozen=True)
class Recording:
    """Events by topic (key, type, time in ms UTC, seq, id, fields), and where history ends and the stream begins."""

    events: dict[str, pl.LazyFrame]
    history_end: int


def load_recording(folder: Path, datasets: Path) -> Recording:
    """Run `recorded_events(datasets)` of the folder's `sources.py`.

    Raises SaimaError naming the file where it, or the dataset that it reads, is missing.
    """
    path = folder / "sources.py"
    if not path.exists():
        raise SaimaError(
            f"{path} is missing: an algorithm with recorded events has recorded_events() and HISTORY_END there"
        )
    module = load_private(path, f"saima_recording_{folder.name}")
    try:
        events = module.recorded_events(datasets)
    except FileNotFoundError as error:
        raise SaimaError(str(error)) from error
    return Recording(events, int(module.HISTORY_END))


def load_private(path: Path, name: str) -> ModuleType:
    """Import a file under a name of its own, outside `sys.modules`."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SaimaError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def topics(declaration: Declaration) -> dict[str, Topic]:
    """The topics of a declaration's sources, with the Arrow types of their fields."""
    return {
        name: Topic(name, {field: ARROW[dtype] for field, dtype in source.fields.items()})
        for name, source in declaration.sources.items()
    }
