"""The algorithms' folder, watched while the worker runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saima.errors import SaimaError
from saima.features import load
from saima.streams.declarations import Book, Document, Order, document
from saima.worker.catalog import catalog
from saima.worker.linking import of_algorithm

LOG = logging.getLogger("saima.worker")

Stamps = dict[str, tuple[int, int]]
_IGNORED = {"__pycache__", "rules", "experiments", "expectations", "tests"}


class DeclarationFiles(threading.Thread):
    """Loads every algorithm of a folder again when one of its files has changed and lain still for `interval` seconds.

    An algorithm is loaded as everywhere else: compiled and checked, its own operators imported. That is done on this
    thread, so that code of users holds no event back. `errors` says by algorithm what is wrong with it now.
    """

    def __init__(self, folder: Path, interval: float = 0.5) -> None:
        super().__init__(name="declarations", daemon=True)
        self.errors: dict[str, str] = {}
        self._folder = folder
        self._interval = interval
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._found: dict[str, Document | None] | None = None
        self._stamps: Stamps = {}

    def run(self) -> None:
        """Watch until stopped."""
        before = self._stamps
        while not self._halt.wait(self._interval):
            now = self._look()
            if now == before and now != self._stamps:
                self._load(now)
            before = now

    def stop(self) -> None:
        """Stop watching; what is being loaded is not waited for."""
        self._halt.set()

    def look(self) -> None:
        """Load what is there now."""
        self._load(self._look())

    def take(self) -> dict[str, Document | None] | None:
        """Algorithms as last loaded, None for a wrong one; None if nothing was loaded since the last call."""
        with self._lock:
            found, self._found = self._found, None
        return found

    def refuse(self, name: str, error: str) -> None:
        """Note what is wrong with an algorithm beside the others."""
        if self.errors.get(name) != error:
            LOG.warning("%s: %s; what is in force of it stays", name, error)
        self.errors = {**self.errors, name: error}

    def _look(self) -> Stamps:
        stamps: Stamps = {}
        for path in sorted(self._folder.rglob("*")):
            if not _IGNORED.isdisjoint(path.relative_to(self._folder).parts):
                continue
            try:
                found = path.stat()
            except OSError:
                continue  # it went while we looked
            if path.is_file():
                stamps[str(path)] = (found.st_mtime_ns, found.st_size)
        return stamps

    def _load(self, stamps: Stamps) -> None:
        found: dict[str, Document | None] = {}
        errors: dict[str, str] = {}
        for path in sorted(self._folder.glob("*/algorithm.yaml")):
            name = path.parent.name
            try:
                loaded = load(path.parent)
                found[name] = document(loaded.declaration, loaded.digest, of_algorithm(path.parent))
            except SaimaError as error:
                errors[name], found[name] = str(error), None
            except Exception as error:  # noqa: BLE001  # an algorithm's own code may raise whatever it likes
                errors[name], found[name] = f"{type(error).__name__}: {error}", None
        self.errors, known = {}, self.errors
        for name, text in errors.items():
            if known.get(name) != text:
                LOG.warning("%s: %s; what is in force of it stays", name, text)
        self.errors = errors
        with self._lock:
            self._found, self._stamps = found, stamps


def wanted(found: Mapping[str, Document | None], book: Book) -> tuple[Order | None, dict[str, str]]:
    """The order that brings what is in force to what a folder says, None if they agree; and what is refused of it.

    An algorithm that is wrong, or does not go with the others, stays as it is. Where the folder holds no algorithm at
    all nothing is dropped: it has been moved, or is being written.
    """
    if not found:
        return None, {}
    new = {name: one for name, one in found.items() if one is not None and book.algorithms.get(name) != one}
    drop = sorted(set(book.algorithms) - set(found))
    errors: dict[str, str] = {}
    fitting = dict(new)
    if _misfit(book, Order(fitting, drop)):  # each by itself, then: those that go with what is in force
        fitting = {}
        for name, one in sorted(new.items()):
            error = _misfit(book, Order({**fitting, name: one}, drop))
            if error:
                errors[name] = error
            else:
                fitting[name] = one
    if not fitting and not drop:
        return None, errors
    return Order(fitting, drop), errors


def _misfit(book: Book, order: Order) -> str:
    try:
        catalog(book.after(order).declarations())
    except (SaimaError, ValueError) as error:
        return str(error)
    return ""


def declared(folder: Path) -> dict[str, Any]:
    """Documents of all algorithms in a folder; raises DeclarationError for the first that is wrong."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*/algorithm.yaml")):
        loaded = load(path.parent)
        found[loaded.name] = document(loaded.declaration, loaded.digest, of_algorithm(path.parent))
    return found
