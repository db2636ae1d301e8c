"""What a bundle says of itself: `manifest.json`, and the digests that everything in it is held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from saima.errors import BundleError
from saima.features.declaration import Request

MANIFEST = "manifest.json"
GOLDEN_INPUTS, GOLDEN_FEATURES = "golden/inputs.arrow", "golden/features.arrow"
CLOSED = ("algorithms", "golden", "saima", "serving")
"""Folders in which no file may stand that the manifest does not name; beside them, BentoML writes its own."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Strict):
    """A model: its kind, its tag in BentoML's model store, the digest of its files, and where it came from.

    remote: the name under which the host's settings say where it runs; None: in the host.
    """

    kind: str
    tag: str
    digest: str
    facts: dict[str, Any] = {}
    remote: str | None = None


class Golden(_Strict):
    """One recorded answer: rows `start .. start + rows` of the golden frames, scored under `parameters`.

    A score that is no finite number is null.
    """

    start: int
    rows: int
    parameters: dict[str, Any] = {}
    scores: list[float | None]


class Lane(_Strict):
    """Threads and queue that the algorithm asks for, and the deadline of a request, ms."""

    threads: int = 1
    queue: int = 64
    deadline_ms: int = 1000


class Manifest(_Strict):
    """One immutable version of an algorithm.

    digest: of this document without itself, hence of everything in the bundle; data_position: log position that the
    training data covers, by partition; label_epoch: event time of the newest label learned, ms UTC; files: sha256 by
    path relative to the bundle's root.
    """

    format: Literal[1] = 1
    digest: str = ""
    algorithm: str
    lineage: str
    declaration_digest: str
    plan_hash: str
    code_version: str
    data_position: dict[str, int]
    label_epoch: int
    trained_at: int
    parameters: dict[str, dict[str, Any]]
    request: Request
    models: dict[str, ModelEntry]
    files: dict[str, str]
    golden: list[Golden]
    warm_up: list[dict[str, Any]] = []
    lane: Lane | None = None
    calls: list[str] = []
    evaluation: dict[str, Any] = {}

    def sealed(self) -> Manifest:
        """The same with its digest filled in."""
        return self.model_copy(update={"digest": document_digest(self.model_dump(mode="json"))})


def document_digest(document: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of everything but the digest."""
    body = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(root: Path) -> Manifest:
    """The manifest of a bundle's root, its own digest checked. Raises BundleError naming file and field."""
    path = root / MANIFEST
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); the bundle is incomplete") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path}: {place or 'document'}: {first['msg']}") from error
    # Of the document as it is written, not as this process understands it: an older bundle has fewer fields.
    if document_digest(json.loads(content)) != manifest.digest:
        raise BundleError(f"{path}: its digest does not fit its contents; it has been changed since it was built")
    return manifest


def file_digest(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digests(root: Path, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """sha256 by relative POSIX path of every file under a folder; compiled Python and `skip` are left out."""
    return {
        path.relative_to(root).as_posix(): file_digest(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.relative_to(root).as_posix() not in skip
    }


def model_digest(directory: Path) -> str:
    """Digest of a model's folder, BentoML's own `model.yaml` left out; the identity under which processes share it."""
    digests = folder_digests(directory, skip=("model.yaml",))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def verify_files(root: Path, manifest: Manifest) -> None:
    """Hold every file against the manifest. Raises BundleError naming the first missing, changed or foreign file."""
    found = folder_digests(root)
    for name, digest in manifest.files.items():
        if name not in found:
            raise BundleError(f"{root / name}: missing from bundle {manifest.digest[:12]}")
        if found[name] != digest:
            raise BundleError(f"{root / name}: its digest differs; it has been changed since it was built")
    foreign = sorted(name for name in set(found) - set(manifest.files) if name.split("/")[0] in CLOSED)
    if foreign:
        raise BundleError(f"{root / foreign[0]}: not in the manifest of bundle {manifest.digest[:12]}")


def model_directory(root: Path, entry: ModelEntry) -> Path:
    """Where a model's files are: inside an exported Bento, else in the model store beside the Bento store.

    Raises BundleError naming the model's tag and the places looked at.
    """
    name, _, version = entry.tag.partition(":")
    bento = root.parent
    places = [bento / "models" / name / version]
    if len(bento.parents) >= 3:
        places.append(bento.parents[2] / "models" / name / version)
    for place in places:
        if place.is_dir():
            return place
    raise BundleError(f"model {entry.tag} is missing; looked in {' and '.join(map(str, places))}")
