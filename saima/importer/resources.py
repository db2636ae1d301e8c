"""What a configuration refers to and does not hold: buckets, vocabularies, types of columns, models.

In the folder: `buckets/<name>` and `vocabularies/<name>` as text, CSV, JSON or YAML (or one `buckets.yaml` of all),
`types.yaml` with `<table alias, user, item or request>: {<column>: <type>}`, and `models/<name>` or `models/<name>.pb`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from saima.errors import SaimaError, suggest

_SUFFIXES = ("", ".txt", ".csv", ".json", ".yaml", ".yml")
_PARSED = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Resources:
    """The folder given by `--resources`; None where none was given."""

    folder: Path | None

    def bucket(self, name: str) -> list[float]:
        """Boundaries of a bucket, as they stand. Raises SaimaError naming the places looked at."""
        found = self._find(name, ("buckets", "bucket"))
        if isinstance(found, str):
            words = found.replace(",", " ").replace(";", " ").split()
        else:
            words = found if isinstance(found, list) else []
        try:
            return [float(word) for word in words] or self._none(name)
        except (TypeError, ValueError):
            raise SaimaError(f"bucket '{name}' holds something that is no number") from None

    def vocabulary(self, name: str) -> list[str]:
        """Lines of a vocabulary: a term, or a term, a tab and its id. Raises SaimaError."""
        found = self._find(name, ("vocabularies", "vocabulary", "vocab"))
        if isinstance(found, dict):
            return [f"{term}\t{number}" for term, number in found.items()] or self._none(name)
        lines = found.splitlines() if isinstance(found, str) else [str(term) for term in found]
        return lines or self._none(name)

    def types(self) -> dict[str, dict[str, Any]]:
        """Types, as fields declare them, by table alias (or user, item, request) and column. Raises SaimaError."""
        path = next((path for path in self._places(("",), "types") if path.suffix in _PARSED), None)
        if path is None:
            return {}
        found = _load(path)
        if not isinstance(found, dict) or not all(isinstance(columns, dict) for columns in found.values()):
            raise SaimaError(f"{path} is a mapping of tables to their columns' types")
        return found

    def model(self, name: str, suffix: str) -> Path | None:
        """File or folder of a model, if it is there."""
        if self.folder is None:
            return None
        places = (self.folder / "models" / f"{name}{suffix}", self.folder / f"{name}{suffix}")
        return next((path for path in places if (path.is_file() if suffix else path.is_dir())), None)

    def _find(self, name: str, folders: tuple[str, ...]) -> Any:
        if self.folder is None:
            raise SaimaError(f"{folders[0]} '{name}' is not in the configuration: give its folder by --resources DIR")
        for path in self._places(folders, name):
            return _load(path) if path.suffix in _PARSED else path.read_text("utf-8")
        known: list[str] = []
        for folder in folders:
            for whole in self._places(("",), folder):
                table = _load(whole) if whole.suffix in _PARSED else {}
                if isinstance(table, dict) and name in table:
                    return table[name]
                known += list(table) if isinstance(table, dict) else []
        known += [path.stem for folder in folders for path in (self.folder / folder).glob("*")]
        raise SaimaError(
            f"there is no {folders[0]}/{name} (.txt, .csv, .json, .yaml) in {self.folder}{suggest(name, known)}"
        )

    def _places(self, folders: tuple[str, ...], name: str) -> Iterator[Path]:
        if self.folder is not None and Path(name).name == name:
            for folder in folders:
                yield from (
                    path for suffix in _SUFFIXES if (path := self.folder / folder / f"{name}{suffix}").is_file()
                )

    def _none(self, name: str) -> Any:
        raise SaimaError(f"'{name}' in {self.folder} is empty")


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SaimaError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
