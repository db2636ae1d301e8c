"""One immutable version of an algorithm, opened: verified, loaded, able to score and to check itself."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saima.errors import BundleError, RequestError, SaimaError, suggest
from saima.features.algorithm import load
from saima.features.plan import compile_fuse
from saima.host.manifest import (
    GOLDEN_FEATURES,
    GOLDEN_INPUTS,
    MANIFEST,
    Manifest,
    ModelEntry,
    model_digest,
    model_directory,
    read_manifest,
    verify_files,
)
from saima.host.owncode import OwnCode
from saima.host.remote import Remote, RemoteModel, Remotes
from saima.host.signature import check_signature
from saima.learning.model import outputs, spec_of
from saima.learning.trainers import Model, trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.algorithm import Algorithm
    from saima.host.channel import Channel
    from saima.learning.tensors import Features

__all__ = ["Bundle", "Manifest", "Scores", "Scoring"]

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""How far a score may be from its golden one: processors differ. Features must be equal to the bit."""


@dataclass(frozen=True)
class Scores:
    """Outputs of every model that ran, by `model.output`, and the fused score; all float64 [n]."""

    outputs: dict[str, NDArray[np.float64]]
    score: NDArray[np.float64]


class Scoring:
    """Models and their fusion: features and parameters in, scores out. Any number of threads may score."""

    def __init__(self, algorithm: Algorithm, models: Mapping[str, Model]) -> None:
        """Raises BundleError if a model that the default parameters need is not there, or nothing tells the score."""
        declaration = algorithm.declaration
        self.models = dict(models)
        self._declared = declaration.models
        self._defaults = {name: parameter.default for name, parameter in declaration.parameters.items()}
        self._fuse = compile_fuse(declaration) if declaration.fuse else None
        if self._fuse is None and len(declaration.models) != 1:
            raise BundleError(f"algorithm '{declaration.algorithm}' has {len(declaration.models)} models and no fuse")
        self._require(self._needed(self._defaults))

    def score(self, features: Features, parameters: Mapping[str, Any] | None = None) -> Scores:
        """Score the rows of a frame or of an extraction; only models that the fusion needs under these parameters run.

        Raises RequestError for an unknown parameter, BundleError for a model that this bundle does not hold.
        """
        chosen = self.parameters(parameters or {})
        needed = self._needed(chosen)
        self._require(needed)
        found = {
            f"{name}.{output}": values
            for name in needed
            for output, values in outputs(self.models[name], self._declared[name], features).items()
        }
        if self._fuse is not None:
            return Scores(found, self._fuse.evaluate(found, chosen))
        only = needed[0]
        return Scores(found, found[f"{only}.{self._declared[only].output}"])

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The given parameters over the declared defaults."""
        for name in given:
            if name not in self._defaults:
                raise RequestError(f"unknown parameter{suggest(name, self._defaults)}", f"parameters.{name}")
        return {**self._defaults, **given}

    def _needed(self, parameters: Mapping[str, Any]) -> list[str]:
        return list(self._declared) if self._fuse is None else list(self._fuse.models_needed(parameters))

    def _require(self, needed: list[str]) -> None:
        for name in needed:
            if name not in self.models:
                raise BundleError(f"model '{name}' is needed under these parameters and is not in the bundle")


class Bundle:
    """A version of an algorithm, ready to score."""

    def __init__(self, path: Path, manifest: Manifest, algorithm: Algorithm, models: Mapping[str, Model]) -> None:
        """Made by `open`."""
        self.path = path
        self.manifest = manifest
        self.algorithm = algorithm
        self._scoring: Scoring | None = Scoring(algorithm, models)
        self._own: OwnCode | None = OwnCode(algorithm.directory, manifest.digest)

    @classmethod
    def open(
        cls,
        path: str | Path,
        verify: bool = True,
        digest: str | None = None,
        remotes: Remotes | None = None,
        trusted: Sequence[str] = (),
    ) -> Bundle:
        """Open a Bento's folder, or the folder that holds its manifest.

        With `verify` every file is held against its digest before anything is loaded; with `digest` the bundle must be
        that one. remotes: where models run that the bundle says are remote; absent: every model is loaded here.
        trusted: public keys of which one must have signed the bundle, if there are any. Raises BundleError naming the
        file, the signature or the remote.
        """
        root = bundle_root(Path(path))
        manifest = read_manifest(root)
        if digest is not None and digest != manifest.digest:
            raise BundleError(f"{root}: is bundle {manifest.digest[:12]}, and {digest[:12]} was asked for")
        if trusted:
            check_signature(root, manifest.digest, trusted)
        here = {name: entry for name, entry in manifest.models.items() if entry.remote is None or remotes is None}
        directories = {name: model_directory(root, entry) for name, entry in here.items()}
        if verify:
            verify_files(root, manifest)
            for name, entry in here.items():
                if model_digest(directories[name]) != entry.digest:
                    raise BundleError(f"{directories[name]}: model '{name}' has been changed since it was built")
        algorithm = load(root / "algorithms" / manifest.algorithm, root=root / "algorithms")
        if algorithm.plan.hash != manifest.plan_hash:
            raise BundleError(f"{root}: this process compiles another feature plan than the bundle was built with")
        models: dict[str, Model] = {name: _shared(entry, directories[name]) for name, entry in here.items()}
        for name, entry in manifest.models.items():
            if remotes is not None and entry.remote is not None:
                models[name] = _elsewhere(algorithm, name, entry, remotes.get(entry.remote))
        return cls(root, manifest, algorithm, models)

    @property
    def models(self) -> Mapping[str, Model]:
        """Its models by name, those that other bundles of the process share included; none once it is closed."""
        return self._scoring.models if self._scoring else {}

    @property
    def preprocess(self) -> Callable[[dict[str, Any], Channel], dict[str, Any]] | None:
        """The algorithm's own `preprocess`, from the validated request body to the one that is answered."""
        return self._own.preprocess if self._own else None

    @property
    def postprocess(self) -> Callable[[dict[str, Any], dict[str, Any], Channel], dict[str, Any]] | None:
        """The algorithm's own `postprocess`, from request and answer to the answer that is sent."""
        return self._own.postprocess if self._own else None

    def score(self, features: Features, parameters: Mapping[str, Any] | None = None) -> Scores:
        """Score rows of features, in their order. See Scoring.score."""
        if self._scoring is None:
            raise BundleError(f"bundle {self.manifest.digest[:12]} of '{self.manifest.algorithm}' has been closed")
        return self._scoring.score(features, parameters)

    def check_golden(self) -> None:
        """Answer the golden requests again from their recorded reads; this warms the models up, too.

        Raises BundleError naming the feature or the request that differs: features exactly, scores by a relative 1e-5.
        """
        inputs, recorded = _frame(self.path / GOLDEN_INPUTS), _frame(self.path / GOLDEN_FEATURES)
        features = self.algorithm.plan.evaluate(inputs)
        differing = first_difference(features, recorded)
        if differing:
            raise BundleError(f"bundle {self.manifest.digest[:12]}: golden {differing}")
        for number, golden in enumerate(self.manifest.golden):
            scores = self.score(features.slice(golden.start, golden.rows), golden.parameters).score
            expected = np.array([np.nan if one is None else one for one in golden.scores])
            found = np.where(np.isfinite(scores), scores, np.nan)
            if not np.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
                raise BundleError(
                    f"bundle {self.manifest.digest[:12]}: golden request {number} is answered {scores.tolist()[:3]} "
                    f"and was {golden.scores[:3]}"
                )

    def close(self) -> None:
        """Let models and own code go; models that another bundle shares stay."""
        self._scoring = None
        own, self._own = self._own, None
        if own is not None:
            own.forget()


def bundle_root(path: Path) -> Path:
    """The folder that holds the manifest: the given one, or `src` of a Bento. Raises BundleError naming the path."""
    for root in (path, path / "src"):
        if (root / MANIFEST).is_file():
            return root.resolve()
    raise BundleError(f"{path}: no {MANIFEST} in it or in its src; this is no bundle")


def first_difference(features: pl.DataFrame, expected: pl.DataFrame) -> str:
    """Where two frames of features first differ, in words; empty if they are equal to the bit (NaN equals NaN)."""
    if features.columns != expected.columns or features.height != expected.height:
        return f"features have shape {features.shape} and had {expected.shape}"
    for new, old in zip(features.iter_columns(), expected.iter_columns(), strict=True):
        if new.dtype != old.dtype:
            return f"feature '{new.name}' is {new.dtype} and was {old.dtype}"
        same = new.eq_missing(old)
        if not same.all():
            row = int((~same).arg_max() or 0)
            return f"feature '{new.name}' of row {row} is {new[row]!r} and was {old[row]!r}"
    return ""


_models: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_loading = threading.Lock()


def _shared(entry: ModelEntry, directory: Path) -> Model:
    """The process's one copy of a model."""
    with _loading:
        model = _models.get(entry.digest)
        if model is None:
            try:
                model = trainer(entry.kind).load(directory)
            except SaimaError as error:
                raise BundleError(f"model {entry.tag}: {error}") from error
            _models[entry.digest] = model
        return model


def _elsewhere(algorithm: Algorithm, name: str, entry: ModelEntry, remote: Remote) -> RemoteModel:
    spec = spec_of(algorithm.declaration, name, directory=algorithm.directory)
    return RemoteModel(entry.kind, entry.digest, spec.features, spec.declaration.output, remote)


def _frame(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ipc(path.read_bytes())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
