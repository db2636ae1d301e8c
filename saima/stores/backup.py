"""All state of a home in one file, and back: databases as of one commit each, everything held against its digest."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import lmdb

from saima.errors import StoreError

MANIFEST = "MANIFEST.json"
_SQLITE = b"SQLite format 3\x00"
_LEFT_OUT = (".lock", "-wal", "-shm", "-journal")
"""Endings of files that belong to running processes, or are part of a database that is copied whole."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds: the home it came from, when (ms UTC), and the SHA-256 of every file by its path."""

    home: str
    created: int
    files: dict[str, str]


def back_up(home: Path, target: Path, now: int) -> Manifest:
    """Write the state of a home that nobody writes to as a tar file; a gzipped one where the name ends in .gz.

    Raises StoreError if there is nothing, the target is there, or a database cannot be read.
    """
    if target.exists():
        raise StoreError(f"{target} is there already; name another file")
    if home.resolve() in target.resolve().parents:
        raise StoreError(f"{target} lies inside {home}, which is to be backed up; name a place outside")
    files = sorted(path for path in home.rglob("*") if path.is_file() and not path.name.endswith(_LEFT_OUT))
    files = [path for path in files if path.name != "lock.mdb"]
    if not files:
        raise StoreError(f"there is no state in {home}")
    partial = target.with_name(f"{target.name}.partial")
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as text:
        try:
            with tarfile.open(partial, "w:gz" if target.suffix == ".gz" else "w") as archive:
                for path in files:
                    name = path.relative_to(home).as_posix()
                    source = _still(path, Path(text))
                    digests[name] = _digest(source)
                    archive.add(source, f"home/{name}", recursive=False)
                manifest = Manifest(str(home.resolve()), now, digests)
                listed = Path(text) / MANIFEST
                listed.write_text(json.dumps(asdict(manifest)), "utf-8")
                archive.add(listed, MANIFEST)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    return manifest


def restore(source: Path, home: Path) -> Manifest:
    """Put a backup's state into a home that is not there or empty; bundles are found under the new home.

    Nothing appears in the home before every file is there and has its digest. Raises StoreError otherwise.
    """
    if home.exists() and any(home.iterdir()):
        raise StoreError(f"{home} is not empty; set it aside, or restore into another SAIMA_HOME")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".restore-") as text:
        folder = Path(text)
        try:
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
            manifest = Manifest(**json.loads((folder / MANIFEST).read_text("utf-8")))
        except (tarfile.TarError, OSError, EOFError, ValueError, TypeError) as error:
            raise StoreError(f"{source} is no whole backup: {error}") from error
        _verify(source, folder / "home", manifest)
        _relocate(folder / "home" / "registry.db", manifest.home, home)
        if home.exists():
            home.rmdir()
        (folder / "home").rename(home)
    return manifest


def _still(path: Path, folder: Path) -> Path:
    """The file itself, or a copy of the database that it is as of its last commit."""
    copy = folder / "copy"
    if path.name == "data.mdb":
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        try:
            with closing(lmdb.open(str(path.parent), readonly=True, create=False)) as environment:
                environment.copy(str(copy), compact=True)
        except lmdb.Error as error:
            raise StoreError(f"{path.parent} cannot be copied: {error}; `saima rebuild` makes it anew") from error
        return copy / "data.mdb"
    with path.open("rb") as opened:
        if opened.read(len(_SQLITE)) != _SQLITE:
            return path
    single = folder / "copy.db"
    single.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(single)) as into:
            database.backup(into)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be copied: {error}") from error
    return single


def _verify(source: Path, folder: Path, manifest: Manifest) -> None:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    missing, more = sorted(set(manifest.files) - there), sorted(there - set(manifest.files))
    if missing or more:
        raise StoreError(f"{source}: '{(missing or more)[0]}' {'is missing' if missing else 'is not in its manifest'}")
    for name, digest in manifest.files.items():
        if _digest(folder / name) != digest:
            raise StoreError(f"{source}: '{name}' is not what was backed up; take another backup")


def _relocate(registry: Path, before: str, home: Path) -> None:
    """Bundles are registered by absolute path."""
    if not registry.is_file() or before == str(home.resolve()):
        return
    with closing(sqlite3.connect(registry)) as database, database:
        database.execute(
            "update bundles set path = ? || substr(path, ?) where substr(path, 1, ?) = ?",
            (f"{home.resolve()}/", len(before) + 2, len(before) + 1, f"{before}/"),
        )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
