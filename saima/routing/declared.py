"""Experiments and layout as their files declare them, with the place of every mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saima.errors import DeclarationError, SaimaError, suggest
from saima.features.origins import validate
from saima.features.source import Path_, Source, read
from saima.routing.conflicts import Clash, clashes
from saima.routing.experiments import Experiment
from saima.routing.layout import Layout

FOLDER, LAYOUT = "experiments", "layout.yaml"


@dataclass(frozen=True)
class Declared:
    """An experiment and its file."""

    experiment: Experiment
    source: Source

    def error(self, message: str, path: Path_ = (), column: int | None = None) -> DeclarationError:
        """Error at a path of the file, at a character of the value's text where `column` says which (from 1)."""
        return self.source.error(message, path, column=column)


@dataclass(frozen=True)
class Experiments:
    """Everything that a folder declares of experiments, in order of the files."""

    layout: Layout
    experiments: Sequence[Declared]

    def of(self, name: str, algorithm: str) -> Declared:
        """The experiment of a name. Raises SaimaError naming those that the algorithm declares."""
        known = {each.experiment.experiment: each for each in self.experiments}
        if name not in known:
            raise SaimaError(
                f"algorithm '{algorithm}' declares no experiment '{name}'{suggest(name, known)}; declared: "
                f"{', '.join(known) or 'none'}"
            )
        return known[name]


def read_experiments(directory: Path) -> Experiments:
    """`<directory>/experiments/*.yaml`, of which `layout.yaml` is the layout.

    Raises DeclarationError with file, line and column for a wrong field, and for experiments that do not go together:
    one name twice, overlapping buckets, a parameter or a lineage of two layers, a unit that a joint layer does not
    have.
    """
    layout, found = Layout(), []
    for path in sorted((directory / FOLDER).glob("*.yaml")):
        source = read(path, f"algorithms/{directory.name}/{FOLDER}/{path.name}")
        if path.name == LAYOUT:
            layout = validate(Layout, source, strict=False)
        else:
            found.append(Declared(validate(Experiment, source, strict=False), source))
    clash = next(clashes([each.experiment for each in found], layout), None)
    if clash is not None:
        raise _at(clash, found)
    return Experiments(layout, found)


def _at(clash: Clash, found: Sequence[Declared]) -> DeclarationError:
    other = f" ({found[clash.other].source.file})" if clash.other is not None else ""
    return found[clash.index].error(f"{clash.message}{other}", clash.path)
