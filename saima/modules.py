"""Modules from their source alone: compiled Python beside it is neither read nor written, since no digest covers it."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time; a `__pycache__` that somebody has put there does nothing."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is now."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def module_of(name: str, path: Path) -> ModuleType:
    """A new module of a file, known under its name while its code runs and not afterwards.

    It lives as long as somebody holds it. Raises what the code raises, ImportError if it cannot be read.
    """
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    return module


class Folder:
    """A folder as a package that no other folder's modules can be mistaken for; relative imports stay inside it.

    name: begins the package's name; a number makes it one of its own.
    """

    _numbers = itertools.count(1)

    def __init__(self, name: str, directory: Path) -> None:
        self.name = f"{name}_{next(self._numbers)}"
        _FOLDERS.roots[self.name] = directory
        if _FOLDERS not in sys.meta_path:
            sys.meta_path.insert(0, _FOLDERS)

    def load(self, module: str) -> ModuleType:
        """A module of the folder. Raises what its code raises."""
        return importlib.import_module(f"{self.name}.{module}")

    def forget(self) -> None:
        """Take the package's modules out of the process's table; they go with the last reference."""
        _FOLDERS.roots.pop(self.name, None)
        for name in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds the modules of folders."""

    def __init__(self) -> None:
        self.roots: dict[str, Path] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib gives it
        target: ModuleType | None = None,  # noqa: ARG002 - importlib gives it
    ) -> importlib.machinery.ModuleSpec | None:
        """A package for a folder, a module for a file; None for what is not below a known folder."""
        first, *rest = fullname.split(".")
        root = self.roots.get(first)
        if root is None:
            return None
        place = root.joinpath(*rest)
        for file, inside in ((place / "__init__.py", [str(place)]), (place.with_name(f"{place.name}.py"), None)):
            if rest and file.is_file():
                return importlib.util.spec_from_file_location(
                    fullname, file, loader=SourceLoader(fullname, str(file)), submodule_search_locations=inside
                )
        if not place.is_dir():
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(place)]
        return spec


_FOLDERS = _Finder()
