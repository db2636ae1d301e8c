"""Which features a name means, and who looks at them beside models and other features."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from saima.errors import SaimaError, suggest
from saima.settings import settings

if TYPE_CHECKING:
    from saima.features import Algorithm
    from saima.features.entries import Entry


def load_all(names: tuple[str, ...]) -> dict[str, Algorithm]:
    """Algorithms by name: the named ones, or all. Raises SaimaError for one that is not there."""
    from saima.features import load

    root = settings().algorithms
    found = names or tuple(sorted(path.parent.name for path in root.glob("*/algorithm.yaml")))
    if not found:
        raise SaimaError(f"there is no algorithm in {root}; `saima new <name>` makes one")
    return {name: load(name, root) for name in found}


def known(loaded: dict[str, Algorithm]) -> list[Entry]:
    """Entries of all features."""
    from saima.features.entries import entries

    return entries(loaded.values())


def chosen(found: list[Entry], name: str) -> list[Entry]:
    """The features that a name means; SaimaError with the nearest one where there is none."""
    wanted = [entry for entry in found if name in (entry.name, entry.full_name)]
    wanted += [
        entry for entry in found if entry.shared and name in {f"{each}.{entry.name}" for each in entry.algorithms}
    ]
    if not wanted:
        names = [entry.full_name if "." in name else entry.name for entry in found]
        raise SaimaError(f"no feature '{name}'{suggest(name, names)}; `saima feature list` shows all")
    return wanted


def document(entry: Entry) -> dict[str, Any]:
    """An entry as JSON data."""
    found = asdict(entry) | {"name": entry.name, "full_name": entry.full_name, "lineage": dict(entry.lineage)}
    return found | {"place": None if entry.place is None else str(entry.place)}


def monitors(entry: Entry) -> list[str]:
    """Data suites that look at the feature: of the shared folder where it is shared, and of its readers."""
    from saima.features.shared import FOLDER
    from saima.quality import load_suites

    root = settings().algorithms
    folders = [*([FOLDER] if entry.shared else []), *entry.algorithms]
    return [
        f"{folder}/{suite.name}"
        for folder in folders
        for suite in load_suites(folder, root).values()
        if any(entry.name in check.columns_read for check in suite.checks)
    ]


def metrics(loaded: dict[str, Algorithm], entry: Entry) -> list[str]:
    """Metrics of experiments that name the feature."""
    from saima.routing.experiments import load_experiments

    word = re.compile(rf"(?<![\w.]){re.escape(entry.name)}(?![\w])")
    return [
        f"{each.experiment}.{metric}"
        for name in entry.algorithms
        for each in load_experiments(loaded[name].directory)
        for metric, declared in each.metrics.items()
        if word.search(" ".join(str(text) for text in declared.model_dump(mode="json").values()))
    ]
