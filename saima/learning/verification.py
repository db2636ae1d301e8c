"""Models made elsewhere, opened before anything runs: do they take what the declaration feeds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from saima.errors import SaimaError
from saima.features.origins import read_declaration
from saima.learning.trainers import spec_of, trainer

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm


def verify(algorithm: Algorithm) -> list[str]:
    """Open every model that has a file and hold it against the declaration; returns the files that are not there.

    Raises DeclarationError at `models.<name>.file`. Imports a model's library only if there is such a model.
    """
    missing = []
    for name, declared in algorithm.declaration.models.items():
        if declared.file is None:
            continue
        if not (algorithm.directory / declared.file).exists():
            missing.append(declared.file)
            continue
        spec = spec_of(algorithm.declaration, name, directory=algorithm.directory)
        try:
            if declared.kind == "python":
                from saima.learning.trainers.python import imported

                imported(algorithm.directory / declared.file)
            else:
                trainer(declared.kind).fit(pl.DataFrame(), spec)
        except SaimaError as error:
            file, folder = algorithm.directory / "algorithm.yaml", algorithm.directory.name
            _, origins = read_declaration(file, file.parent.parent / "shared", f"algorithms/{folder}/algorithm.yaml")
            raise origins.error(str(error), ("models", name, "file")) from None
    return missing
