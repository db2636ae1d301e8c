"""Shared features: what several algorithms take in by `use:`, and who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saima.features.declaration import Shared
from saima.features.source import read

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm

FOLDER = "shared"
"""Folder beside the algorithms that holds what they share; no algorithm may bear this name."""


@dataclass(frozen=True)
class SharedFeatures:
    """A file of `algorithms/shared/features/`: its name, what it declares, the algorithms that use it, by name."""

    name: str
    file: Path
    declared: Shared
    readers: tuple[Algorithm, ...]

    @property
    def shown(self) -> str:
        """The file as errors and people name it."""
        return f"algorithms/{FOLDER}/features/{self.name}.yaml"


def shared_features(root: Path, algorithms: Iterable[Algorithm] = ()) -> list[SharedFeatures]:
    """Every file of shared features under the folder of algorithms, by name, with its readers among those given.

    Raises DeclarationError for a file that is not YAML, and pydantic's ValidationError for one that says something
    unknown; an algorithm that uses it has been refused with the place before.
    """
    loaded = sorted(algorithms, key=lambda algorithm: algorithm.name)
    found = []
    for file in sorted((root / FOLDER / "features").glob("*.yaml")):
        declared = Shared.model_validate(read(file, f"{FOLDER}/features/{file.name}").data, strict=True)
        readers = tuple(algorithm for algorithm in loaded if file.stem in algorithm.declaration.use)
        found.append(SharedFeatures(file.stem, file, declared, readers))
    return found
