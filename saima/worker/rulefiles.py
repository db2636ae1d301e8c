"""Rules that users keep beside their algorithms, watched while the worker runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from saima.errors import SaimaError
from saima.streams.matching.orders import RuleFile, read_rules
from saima.streams.ordering import ENVELOPE

LOG = logging.getLogger("saima.worker")


class RuleFiles:
    """Files `<algorithm>/rules/*.json` of a folder: a rule, a list of rules, or {"rules": [...], "in_flight": how}.

    errors: by path what is wrong with a file now; its rules stay as they were. known: fields that rules may read.
    """

    def __init__(self, folder: Path, known: Iterable[str]) -> None:
        self.errors: dict[str, str] = {}
        self._folder = folder
        self._known = {*known, *ENVELOPE}
        self._stamps: dict[str, tuple[int, int]] | None = None

    def look(self) -> dict[str, RuleFile] | None:
        """What the files say, by path from the folder on; None if none has changed since the last look."""
        stamps = {}
        for path in sorted(self._folder.glob("*/rules/*.json")):
            try:
                found = path.stat()
            except OSError:
                continue  # it went while we looked
            stamps[path.relative_to(self._folder).as_posix()] = (found.st_mtime_ns, found.st_size)
        if stamps == (self._stamps or {}):
            return None
        self._stamps = stamps
        errors: dict[str, str] = {}
        owners: dict[str, str] = {}
        files = {name: self._file(name, owners, errors) for name in stamps}
        for name, error in errors.items():
            if self.errors.get(name) != error:
                LOG.warning("%s: %s; the rules deployed from it stay", name, error)
        self.errors = errors
        return files

    def _file(self, name: str, owners: dict[str, str], errors: dict[str, str]) -> RuleFile:
        try:
            file = read_rules((self._folder / name).read_text(), self._known)
            for document in file.rules or ():
                other = owners.setdefault(str(document["id"]), name)
                if other != name:
                    raise SaimaError(f"rule '{document['id']}' is in {other}, too; give one of them another id")
        except (OSError, ValueError, RecursionError, SaimaError) as error:
            errors[name] = str(error)
            return RuleFile(None)
        return file
