"""Building bundles: one Bento per version, models by reference in BentoML's model store, published in the registry."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.errors import BundleError
from saima.host.manifest import (
    MANIFEST,
    Lane,
    Manifest,
    ModelEntry,
    folder_digests,
    model_digest,
)
from saima.host.signature import SIGNATURE, sign
from saima.learning.trainers import trainer
from saima.settings import ROOT, Settings
from saima.settings import settings as process_settings
from saima.stores.interfaces import BundleRow, Registry
from serving.composition import check_calls
from serving.staging import stage_golden, stage_sources

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm
    from saima.learning.increments import DataState

RUNTIME = (
    "polars",
    "polars-hash",
    "numpy",
    "pyarrow",
    "pydantic",
    "pydantic-settings",
    "pyyaml",
    "xxhash",
    "lmdb",
    "sqlalchemy",
    "deltalake",
    "starlette",
    "httpx",
    "cryptography",
    "xgboost-cpu",
    "xgboost",
    "lightgbm",
    "tensorflow-cpu",
    "tensorflow",
)
"""Distributions that a Bento's image installs, each in the version that is installed here, if it is."""

_building = threading.Lock()


@dataclass(frozen=True)
class TrainedModel:
    """A model's folder, as `Model.save` wrote it, and where it came from (position, seed, settings; JSON values)."""

    kind: str
    directory: Path
    facts: Mapping[str, Any] = field(default_factory=dict)


def build(
    algorithm: Algorithm,
    lineage: str,
    models: Mapping[str, TrainedModel],
    learned: DataState,
    registry: Registry,
    *,
    trained_at: int,
    golden: pl.DataFrame | None = None,
    parameters: Sequence[Mapping[str, Any]] = ({},),
    warm_up: Sequence[Mapping[str, Any]] = (),
    lane: Lane | None = None,
    evaluation: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> BundleRow:
    """Build, seal and publish one version; takes a second or two and no network.

    algorithm: as `saima.features.load` gave it; models: by declared name, all that the fusion may need under any
    parameters in use; learned: the data state of the newest model; golden: a few rows of recorded inputs (columns of
    `algorithm.plan.input_schema()`; None: one row without any reading), answered here under each of `parameters` and
    again by every host before it routes; warm_up: request bodies; trained_at: wall clock, ms. The same bundle again
    returns the publication that it has.
    Raises BundleError if the models or the golden rows do not fit the declaration, or algorithms call each other in a
    circle.
    """
    chosen = settings or process_settings()
    check_calls(algorithm)
    for name in models:
        if name not in algorithm.declaration.models:
            raise BundleError(f"algorithm '{algorithm.name}' declares no model '{name}'")
    with (
        _building,
        bentoml_home(chosen.home / "bentoml") as home,
        tempfile.TemporaryDirectory(dir=home / "tmp") as work,
    ):
        stage = Path(work)
        entries = {name: _store_model(algorithm, name, model, home) for name, model in models.items()}
        stage_sources(stage, algorithm)
        loaded = {name: trainer(model.kind).load(model.directory) for name, model in models.items()}
        answers = stage_golden(stage, algorithm, loaded, golden, parameters)
        manifest = Manifest(
            algorithm=algorithm.name,
            lineage=lineage,
            declaration_digest=algorithm.digest,
            plan_hash=algorithm.plan.hash,
            code_version=code_version(),
            data_position=learned.to_json()["position"],
            label_epoch=learned.label_epoch,
            trained_at=trained_at,
            parameters={name: p.model_dump() for name, p in algorithm.declaration.parameters.items()},
            request=algorithm.declaration.request,
            models=entries,
            files=folder_digests(stage),
            golden=answers,
            warm_up=[dict(body) for body in warm_up],
            lane=lane,
            calls=algorithm.declaration.calls,
            evaluation=dict(evaluation or {}),
        ).sealed()
        (stage / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        if chosen.signing_key is not None:
            (stage / SIGNATURE).write_text(sign(manifest.digest, chosen.signing_key))
        version = f"{lineage}-{manifest.digest[:12]}".lower()
        path = home / "bentos" / algorithm.name / version
        if not path.is_dir():
            _build_bento(stage, algorithm, version, entries)
        elif chosen.signing_key is not None:
            _put(path / "src" / SIGNATURE, (stage / SIGNATURE).read_text())
    document = manifest.model_dump(mode="json", exclude={"files"})
    tag = f"{algorithm.name}:{version}"
    publication = registry.publish(algorithm.name, lineage, manifest.digest, tag, str(path), document)
    return registry.bundle(publication)


@contextlib.contextmanager
def bentoml_home(home: Path) -> Iterator[Path]:
    """BentoML's stores under a folder, for the block; its usage tracking stays off for good."""
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    home = home.resolve()
    for part in ("bentos", "models", "envs", "tmp"):
        (home / part).mkdir(parents=True, exist_ok=True)
    providers = {
        BentoMLContainer.bentoml_home: str(home),
        BentoMLContainer.tmp_bento_store_dir: str(home / "tmp"),
        BentoMLContainer.bento_store: BentoStore(str(home / "bentos")),
        BentoMLContainer.model_store: ModelStore(str(home / "models")),
    }
    for provider, value in providers.items():
        provider.set(value)
    try:
        yield home
    finally:
        for provider in providers:
            provider.reset()


def code_version() -> str:
    """Version of the engine's code: a digest of its sources, 16 hexadecimal digits."""
    sources = [f"{name}:{digest};" for name, digest in folder_digests(ROOT / "saima").items() if name.endswith(".py")]
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:16]


def _store_model(algorithm: Algorithm, name: str, model: TrainedModel, home: Path) -> ModelEntry:
    """Put a model's folder into BentoML's model store under a tag made of its digest."""
    import bentoml

    digest = model_digest(model.directory)
    tag = f"{algorithm.name}-{name}:{digest[:16]}".lower().replace("_", "-")
    store_name, _, version = tag.partition(":")
    place = home / "models" / store_name / version
    if not place.is_dir():
        labels = {"algorithm": algorithm.name, "model": name, "kind": model.kind}
        with bentoml.models.create(tag, labels=labels) as created:
            shutil.copytree(model.directory, created.path, dirs_exist_ok=True)
    remote = algorithm.declaration.models[name].remote
    return ModelEntry(kind=model.kind, tag=tag, digest=digest, facts=dict(model.facts), remote=remote)


def _build_bento(stage: Path, algorithm: Algorithm, version: str, entries: Mapping[str, ModelEntry]) -> None:
    """Run `bentoml.build` on the staged folder; the module of the service is forgotten afterwards."""
    import bentoml

    known = sys.modules.pop("service", None)
    try:
        bentoml.build(
            "service:service",
            name=algorithm.name,
            version=version,
            description=algorithm.declaration.description or algorithm.name,
            labels={"algorithm": algorithm.name, "lineage": version.rpartition("-")[0]},
            include=["**"],
            python={"packages": _requirements(), "lock_packages": False},
            models=[*sorted({entry.tag for entry in entries.values()})],
            build_ctx=str(stage),
        )
    except bentoml.exceptions.BentoMLException as error:
        raise BundleError(f"building {algorithm.name}:{version}: {error}") from error
    finally:
        sys.modules.pop("service", None)
        if known is not None:
            sys.modules["service"] = known


def _put(path: Path, text: str) -> None:
    """Write a file beside one that hosts may be reading: whole or not at all."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(path)


def _requirements() -> list[str]:
    pinned = []
    for name in RUNTIME:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            pinned.append(f"{name}=={importlib.metadata.version(name)}")
    return pinned
