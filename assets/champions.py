"""The champion of a lineage: the bundle that is routed, its data state, and its models on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from saima.host.bundle import Manifest, bundle_root
from saima.host.manifest import model_directory, read_manifest
from saima.learning.increments import DataState
from saima.learning.trainers import Model, trainer
from saima.routing.deployment import read_document
from saima.stores.interfaces import Registry


@dataclass(frozen=True)
class Champion:
    """A published bundle: where it is and what it says of itself."""

    lineage: str
    publication: int
    root: Path
    manifest: Manifest

    @property
    def state(self) -> DataState:
        """What its models have learned."""
        position = {int(partition): offset for partition, offset in self.manifest.data_position.items()}
        return DataState(position, self.manifest.label_epoch, 0)

    def increments(self, model: str) -> int:
        """Incremental trainings of a model since it was last trained in full."""
        return int(self.manifest.models[model].facts.get("increments", 0))

    def directory(self, model: str) -> Path:
        """Folder of one of its models."""
        return model_directory(self.root, self.manifest.models[model])

    def load(self, model: str) -> Model:
        """One of its models, loaded."""
        return trainer(self.manifest.models[model].kind).load(self.directory(model))


def champion(registry: Registry, algorithm: str, lineage: str) -> Champion | None:
    """The routed bundle of a lineage; None before its first deployment."""
    routed = read_document(registry.deployment().document).lineage(algorithm, lineage).routed
    if routed is None:
        return None
    row = registry.bundle(routed)
    root = bundle_root(Path(row.path))
    return Champion(lineage, routed, root, read_manifest(root))


def holder(registry: Registry, algorithm: str, model: str) -> Champion | None:
    """The newest published bundle of the algorithm, of any lineage, that holds a model."""
    for row in sorted(registry.bundles(algorithm), key=lambda row: -row.publication):
        if model in row.manifest.get("models", {}):
            root = bundle_root(Path(row.path))
            return Champion(row.lineage, row.publication, root, read_manifest(root))
    return None
