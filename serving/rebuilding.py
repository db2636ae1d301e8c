"""Building a version anew from its declaration and code as they are now, with the models of an earlier bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from saima.errors import SaimaError
from saima.host.bundle import bundle_root
from saima.host.manifest import GOLDEN_INPUTS, Manifest, model_directory, read_manifest
from saima.learning.increments import DataState
from serving.bundles import TrainedModel, build

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm
    from saima.settings import Settings
    from saima.stores.interfaces import BundleRow, Registry


def rebuild(algorithm: Algorithm, lineage: str | None, registry: Registry, settings: Settings) -> BundleRow:
    """Build and publish with the newest bundle's models; golden rows are answered anew where the inputs are the same.

    Raises SaimaError where nothing has been published or several lineages have and none is named, BundleError where
    models do not fit the declaration any more.
    """
    rows = registry.bundles(algorithm.name, lineage)
    lineages = sorted({row.lineage for row in rows})
    if not rows:
        of = f" of lineage '{lineage}'" if lineage else ""
        raise SaimaError(f"'{algorithm.name}'{of} has no published bundle, and its models have no files: train them")
    if len(lineages) > 1:
        raise SaimaError(f"'{algorithm.name}' has the lineages {', '.join(lineages)}; say which with --lineage")
    root = bundle_root(Path(rows[-1].path))
    before = read_manifest(root)
    models = {
        name: TrainedModel(entry.kind, model_directory(root, entry), entry.facts)
        for name, entry in before.models.items()
    }
    golden = pl.read_ipc((root / GOLDEN_INPUTS).read_bytes())
    schema = algorithm.plan.input_schema()
    same = all(name in golden.columns for name in schema)
    return build(
        algorithm,
        rows[-1].lineage,
        models,
        DataState({int(p): offset for p, offset in before.data_position.items()}, before.label_epoch, 0),
        registry,
        trained_at=before.trained_at,
        golden=golden.select(list(schema)) if same else None,
        parameters=_parameters(before),
        warm_up=before.warm_up if same else (),
        lane=before.lane,
        evaluation=before.evaluation,
        settings=settings,
    )


def _parameters(before: Manifest) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for golden in before.golden:
        if golden.parameters not in found:
            found.append(golden.parameters)
    return found
