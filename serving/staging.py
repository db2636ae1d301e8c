"""What goes into a bundle beside its models: the code it runs on, and golden rows with their answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.errors import BundleError
from saima.host.bundle import Scoring
from saima.host.journal import numbers
from saima.host.manifest import GOLDEN_FEATURES, GOLDEN_INPUTS, Golden
from saima.learning.trainers import Model
from saima.settings import ROOT

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm

SERVICE = '''"""The service of one bundle: what `bentoml serve` runs."""

from serving.service import make_service

service = make_service("{algorithm}")
'''

_SOURCES = (".py", ".yaml", ".yml", ".json", ".txt", ".csv", ".typed")


def stage_sources(stage: Path, algorithm: Algorithm) -> None:
    """Copy what the version runs on: the engine, the service factory, the declaration and what it shares."""
    _copy(ROOT / "saima", stage / "saima")
    (stage / "serving").mkdir()
    for name in ("__init__.py", "service.py"):
        shutil.copyfile(ROOT / "serving" / name, stage / "serving" / name)
    folder = stage / "algorithms" / algorithm.name
    _copy(algorithm.directory, folder, skip=("experiments", "expectations"))
    shared = algorithm.directory.parent / "shared"
    if shared.is_dir():
        _copy(shared, stage / "algorithms" / "shared")
    (stage / "service.py").write_text(SERVICE.format(algorithm=algorithm.name))


def _copy(source: Path, target: Path, skip: tuple[str, ...] = ()) -> None:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and path.suffix in _SOURCES and relative.parts[0] not in skip:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)


def stage_golden(
    stage: Path,
    algorithm: Algorithm,
    models: Mapping[str, Model],
    inputs: pl.DataFrame | None,
    parameters: Sequence[Mapping[str, Any]],
) -> list[Golden]:
    """Answer the golden rows, all at once and the first one alone, from the models' own files."""
    schema = algorithm.plan.input_schema()
    if inputs is None:
        inputs = pl.DataFrame({name: [None] for name in schema}, schema=schema)
    missing = [name for name in schema if name not in inputs.columns]
    if missing:
        raise BundleError(f"golden rows lack {', '.join(missing[:5])} ({len(missing)} columns of the plan's inputs)")
    inputs = inputs.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    features = algorithm.plan.evaluate(inputs)
    (stage / GOLDEN_INPUTS).parent.mkdir()
    inputs.write_ipc(stage / GOLDEN_INPUTS)
    features.write_ipc(stage / GOLDEN_FEATURES)
    scoring = Scoring(algorithm, models)
    return [
        Golden(
            start=0,
            rows=rows,
            parameters=dict(chosen),
            scores=numbers(scoring.score(features.head(rows), chosen).score),
        )
        for chosen in parameters
        for rows in sorted({1, features.height})
    ]
