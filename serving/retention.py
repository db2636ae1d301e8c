"""Removing bundles that nobody can route any more: a loop that retrains every minute would fill the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from saima.errors import BundleError
from saima.host.manifest import read_manifest
from saima.routing.deployment import read_document
from saima.settings import Settings
from saima.settings import settings as process_settings
from saima.stores.interfaces import BundleRow, Registry

GRACE = 3_600_000
"""What is younger stays: somebody may be building, deploying or loading it. ms."""


def prunable(rows: list[BundleRow], wanted: set[int], keep: int, now: int, grace: int = GRACE) -> list[BundleRow]:
    """Bundles that may go: not wanted by a deployment, not among the `keep` newest of their lineage, past the grace."""
    newest: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        newest.setdefault((row.algorithm, row.lineage), []).append(row.publication)
    kept = {number for numbers in newest.values() for number in sorted(numbers)[-keep:]} if keep else set()
    return [row for row in rows if row.publication not in wanted | kept and row.created < now - grace]


def prune(
    registry: Registry,
    algorithm: str,
    *,
    keep: int = 10,
    now: int,
    grace: int = GRACE,
    settings: Settings | None = None,
) -> list[int]:
    """Delete Bentos that may go, and models that no Bento names any more; returns the publications.

    The registry keeps their rows. What any deployment still wants, with its standbys, and the `keep` newest of each
    lineage stay.
    """
    home = ((settings or process_settings()).home / "bentoml").resolve()
    rows = [row for row in registry.bundles(algorithm) if Path(row.path).is_dir()]
    deployed = read_document(registry.deployment().document).algorithms.get(algorithm)
    wanted = {number for state in deployed.lineages.values() for number in state.wanted} if deployed else set()
    gone = prunable(rows, wanted, keep, now, grace)
    for row in gone:
        shutil.rmtree(row.path)
    _prune_models(home, now - grace)
    return [row.publication for row in gone]


def _prune_models(home: Path, before: int) -> None:
    """Delete models, older than `before` (ms), that no Bento of the store names."""
    named: set[str] = set()
    for manifest in (home / "bentos").glob("*/*/src/manifest.json"):
        try:
            named |= {entry.tag for entry in read_manifest(manifest.parent).models.values()}
        except BundleError:  # a spoilt bundle cannot say what it holds: nothing is deleted that it might
            return
    for folder in (home / "models").glob("*/*"):
        old = folder.stat().st_mtime * 1000 < before
        if folder.is_dir() and old and f"{folder.parent.name}:{folder.name}" not in named:
            shutil.rmtree(folder)
