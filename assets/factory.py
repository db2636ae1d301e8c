"""All assets of an algorithm, from its folder alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import dagster as dg

from assets import ab_reports, bundles, checks, deployments, evaluations, events, keys, samples
from assets.features import tiles
from assets.features.backfilled import backfilled_features
from assets.features.history import history_features
from assets.models.model import model
from assets.recordings import Recording, recording
from saima.errors import DeclarationError
from saima.features import Algorithm, load
from saima.routing.experiments import Experiment


@dataclass(frozen=True)
class Assets:
    """An algorithm's assets and checks; without a recording, only its live tables as external assets.

    backfills: assets that nothing waits for and a person materializes by partitions.
    """

    algorithm: Algorithm
    recording: Recording | None
    specs: Sequence[dg.AssetSpec]
    definitions: Sequence[dg.AssetsDefinition] = ()
    backfills: Sequence[dg.AssetsDefinition] = ()
    checks: Sequence[dg.AssetChecksDefinition] = ()
    experiments: Sequence[Experiment] = field(default=())

    @property
    def lineages(self) -> list[str]:
        """Lineages that can be retrained."""
        return list(self.algorithm.declaration.lineages) if self.definitions else []

    def retrained(self, lineage: str) -> list[dg.AssetKey]:
        """Assets of a lineage's retrain, in order: its models, evaluation, bundle, deployment."""
        declared = self.algorithm.declaration.lineages[lineage]
        stages = [f"{stage}_{lineage}" for stage in ("evaluation", "bundle", "deployment")]
        return [keys.key(self.algorithm.name, name) for name in (*declared.train, *stages)]

    @cached_property
    def reports(self) -> list[dg.AssetKey]:
        """Reports of the experiments."""
        return [keys.key(self.algorithm.name, f"ab_report_{each.experiment}") for each in self.experiments]


def assets_of(directory: Path) -> Assets:
    """The assets of the algorithm in a folder. Raises DeclarationError with file, line and column."""
    with warnings.catch_warnings():
        # Backfill policies and partition mappings are beta in Dagster; they are pinned with it, and tested here.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _assets_of(directory)


def _assets_of(directory: Path) -> Assets:
    algorithm = load(directory.name, root=directory.parent)
    declaration = algorithm.declaration
    recorded = recording(directory, declaration)
    specs = events.lives(algorithm, recorded is not None)
    if recorded is None or declaration.label is None:
        return Assets(algorithm, None, specs)
    experiments = evaluations.experiments(algorithm)
    return Assets(
        algorithm,
        recorded,
        specs,
        [
            *events.histories(algorithm, recorded),
            history_features(algorithm, recorded),
            samples.samples(algorithm, declaration.label, recorded),
            *(model(algorithm, name) for name in declaration.models),
            *_serving(algorithm, recorded),
            *(ab_reports.ab_report(algorithm, each) for each in experiments),
        ],
        [*tiles.history_tiles(algorithm, recorded), backfilled_features(algorithm, recorded)],
        [
            *checks.validations(algorithm),
            checks.parity(algorithm),
            checks.handover(algorithm),
            *tiles.handovers(algorithm, recorded),
        ],
        experiments,
    )


def _serving(algorithm: Algorithm, recorded: Recording) -> Iterator[dg.AssetsDefinition]:
    for lineage in algorithm.declaration.lineages:
        yield evaluations.evaluation(algorithm, lineage)
        yield bundles.bundle(algorithm, lineage, recorded)
        yield deployments.deployment(algorithm, lineage)


def all_assets(root: Path) -> list[Assets]:
    """The assets of every algorithm under a folder, by name.

    Raises DeclarationError of the first declaration that cannot be accepted.
    """
    folders = sorted(path.parent for path in root.glob("*/algorithm.yaml"))
    if not folders:
        raise DeclarationError(f"{root} holds no <name>/algorithm.yaml; `saima new <name>` makes one")
    return [assets_of(folder) for folder in folders]
