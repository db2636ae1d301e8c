"""Where the desired state comes from: the registry, or one bundle that serves alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from saima.errors import StoreError
from saima.routing.deployment import AlgorithmState, Deployment, LaneSettings, LineageState
from saima.stores.interfaces import BundleRow, DeploymentRow, Registry


class Source(Protocol):
    """Desired state in, facts out."""

    def deployment(self) -> DeploymentRow: ...

    def deployments(self) -> list[DeploymentRow]: ...

    def bundle(self, publication: int) -> BundleRow: ...

    def publish(self, name: str, document: Mapping[str, Any]) -> None: ...

    def fact(self, name: str, value: Mapping[str, Any]) -> None: ...

    def statuses(self, prefix: str) -> dict[str, dict[str, Any]]: ...

    def mark(self, kind: str, document: Mapping[str, Any]) -> None: ...


class RegistrySource:
    """The registry, polled."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def deployment(self) -> DeploymentRow:
        """The newest document."""
        return self._registry.deployment()

    def deployments(self) -> list[DeploymentRow]:
        """Whole documents, newest first."""
        return self._registry.deployments()

    def bundle(self, publication: int) -> BundleRow:
        """A published bundle."""
        return self._registry.bundle(publication)

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """Publish a process status."""
        self._registry.set_status(name, document)

    def fact(self, name: str, value: Mapping[str, Any]) -> None:
        """Put a small named value that outlives this process."""
        self._registry.put_fact(name, value)

    def statuses(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Statuses of processes."""
        return self._registry.statuses(prefix)

    def mark(self, kind: str, document: Mapping[str, Any]) -> None:
        """Append to a history."""
        self._registry.append_mark(kind, document)


class SandboxSource(RegistrySource):
    """The registry's bundles under another deployment, a file; nothing is published."""

    def __init__(self, registry: Registry, path: Path) -> None:
        """path: a deployment document, such as `saima status --json` shows, edited at will: its digest is made anew.

        Raises StoreError naming the field that is wrong, or the file.
        """
        super().__init__(registry)
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: no deployment document: {error}") from error
        if not isinstance(document, dict):
            raise StoreError(f"{path}: no deployment document: it is no JSON object")
        self._row = DeploymentRow(1, _sealed(path, document), "sandbox", str(path), time.time_ns() // 1_000_000)

    def deployment(self) -> DeploymentRow:
        """The one document."""
        return self._row

    def deployments(self) -> list[DeploymentRow]:
        """The one document."""
        return [self._row]

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """Nothing: others would take it for a host that people use."""

    def mark(self, kind: str, document: Mapping[str, Any]) -> None:
        """Nothing."""


class BundleSource:
    """One bundle, routed for ever: what `bentoml serve <algorithm>:<version>` runs, with no registry."""

    def __init__(self, path: Path, algorithm: str, lineage: str, digest: str, lane: LaneSettings | None = None) -> None:
        now = time.time_ns() // 1_000_000
        state = AlgorithmState(
            lineages={lineage: LineageState(routed=1)},
            default_lineage=lineage,
            lane=lane or LaneSettings(),
            allow_request_time=True,
        )
        document = Deployment(algorithms={algorithm: state}).sealed()
        self._row = DeploymentRow(1, document, "bundle", "serves alone", now)
        self._bundle = BundleRow(1, algorithm, lineage, digest, f"{algorithm}:{digest[:12]}", str(path), {}, now)
        self._statuses: dict[str, dict[str, Any]] = {}

    def deployment(self) -> DeploymentRow:
        """The one document."""
        return self._row

    def deployments(self) -> list[DeploymentRow]:
        """The one document."""
        return [self._row]

    def bundle(self, publication: int) -> BundleRow:
        """The one bundle, publication 1."""
        if publication != self._bundle.publication:
            raise StoreError(f"this process serves one bundle, publication 1, not {publication}")
        return self._bundle

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep the status for this process's own pages."""
        self._statuses[name] = {**document, "updated": time.time_ns() // 1_000_000}

    def fact(self, name: str, value: Mapping[str, Any]) -> None:
        """Nothing: there is no registry that would keep it."""

    def statuses(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Status of this process."""
        return {name: status for name, status in self._statuses.items() if name.startswith(prefix)}

    def mark(self, kind: str, document: Mapping[str, Any]) -> None:
        """Nothing remembers a history here."""


def _sealed(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return Deployment.model_validate(dict(document)).sealed()
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
