"""Publishing an algorithm whose models were all made elsewhere: no training, no recording, one bundle."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from saima.errors import BundleError
from saima.features.algorithm import Algorithm
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.settings import Settings
from saima.settings import settings as process_settings
from saima.stores import open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel, build

LINEAGE = "imported"


def publish_models(
    algorithm: Algorithm, settings: Settings | None = None, golden: pl.DataFrame | None = None
) -> BundleRow:
    """Bundle the models of an algorithm as they lie in its folder, and publish the bundle as lineage `imported`.

    golden: rows of the plan's inputs to be answered again by every host; one row without any value if absent. Raises
    BundleError for a model that has to be trained, SaimaError for one that is missing or does not fit.
    """
    chosen = settings or process_settings()
    with tempfile.TemporaryDirectory() as work:
        models = {}
        for name, declared in algorithm.declaration.models.items():
            if declared.file is None:
                raise BundleError(f"model '{name}' of '{algorithm.name}' has no file; it is made by a training")
            spec = spec_of(algorithm.declaration, name, directory=algorithm.directory)
            place = Path(work) / name
            trainer(declared.kind).fit(pl.DataFrame(), spec).save(place)
            facts: Mapping[str, Any] = {"kind": declared.kind, "file": declared.file}
            models[name] = TrainedModel(declared.kind, place, facts)
        return build(
            algorithm,
            LINEAGE,
            models,
            DataState({0: 0}, 0, 0),
            open_registry(chosen),
            trained_at=time.time_ns() // 1_000_000,
            golden=golden,
            settings=chosen,
        )
