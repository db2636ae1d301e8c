"""Which cluster answers which algorithm: a small map that callers never see."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT = "default"
"""The cluster of an algorithm that the map does not name."""


@dataclass(frozen=True)
class Clusters:
    """Addresses by cluster, clusters by algorithm."""

    urls: Mapping[str, str]
    algorithms: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for an algorithm of a cluster that has no address."""
        for algorithm, cluster in self.algorithms.items():
            if cluster not in self.urls:
                known = ", ".join(sorted(self.urls)) or "none"
                raise ValueError(f"algorithm '{algorithm}' is mapped to cluster '{cluster}'; there are {known}")

    def of(self, algorithm: str) -> str:
        """Name of the algorithm's cluster. Raises LookupError where there is neither one nor a default."""
        name = self.algorithms.get(algorithm, DEFAULT)
        if name not in self.urls:
            raise LookupError(f"no cluster answers '{algorithm}': the map has no '{DEFAULT}'")
        return name


def read_clusters(path: Path) -> Clusters:
    """The map of a TOML file with the tables `urls` and `algorithms`. Raises ValueError naming what is wrong."""
    found = tomllib.loads(path.read_text())
    tables = {name: found.pop(name, {}) for name in ("urls", "algorithms")}
    if found:
        raise ValueError(f"{path}: unknown '{next(iter(found))}'; there are urls and algorithms")
    for name, table in tables.items():
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise ValueError(f"{path}: {name} is not a table of texts")
    try:
        return Clusters(tables["urls"], tables["algorithms"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
