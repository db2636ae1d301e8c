"""Models made elsewhere: where their files lie, and whether what they say of themselves fits the declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.errors import SaimaError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from saima.learning.model import ModelSpec


def made_elsewhere(spec: ModelSpec) -> Path:
    """File or folder of a model that is taken as it is. Raises SaimaError if it is not there."""
    declared = spec.declaration.file or ""
    if spec.directory is None:
        raise SaimaError(f"model '{spec.name}' lies in '{declared}' of the algorithm's folder, which was not given")
    path = spec.directory / declared
    if not path.exists():
        raise SaimaError(
            f"model '{spec.name}': '{declared}' does not exist in {spec.directory}; "
            "put the model there, or mend models." + f"{spec.name}.file"
        )
    return path


def named(path: Path, own: Sequence[str], count: int, declared: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of a booster: the declared ones, held against the names that its file carries, if it carries any.

    Raises SaimaError naming the first that differs.
    """
    if declared is None:
        if len(own) != count:
            raise SaimaError(f"model file {path} does not name its {count} features")
        return tuple(own)
    if len(declared) != count:
        raise SaimaError(f"model file {path} takes {count} features, and the declaration names {len(declared)}")
    for place, (known, wanted) in enumerate(zip(own, declared, strict=False)):
        if known != wanted:
            raise SaimaError(f"model file {path}: feature {place} is '{known}', and the declaration says '{wanted}'")
    return tuple(declared)
