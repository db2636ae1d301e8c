"""Suites from YAML, with file, line and column in every error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from saima.errors import DeclarationError, Place
from saima.quality.checks import AnyCheck
from saima.settings import ROOT, settings

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where there is one: every run of the orchestrator reads all suites."""

SHARED = ROOT / "expectations" / "suites"
"""Folder of the suites that every algorithm may extend."""


class Suite(BaseModel):
    """Checks of the tables it names; those of the suites it extends come first and are already in `checks`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    tables: list[str] = []
    extends: list[str] = []
    checks: list[AnyCheck] = []


def load_suites(algorithm: str, root: Path | None = None) -> dict[str, Suite]:
    """The suites of an algorithm by name, those in its own folder first to last by name.

    `root` is the folder of algorithms. Raises DeclarationError with file, line and column.
    """
    folder = (root or settings().algorithms) / algorithm / "expectations"
    return {path.stem: load_suite(path) for path in sorted(folder.glob("*.yaml"))}


def load_suite(path: Path) -> Suite:
    """One suite from its file, with the checks of the suites that it extends (in its folder, then the shared one)."""
    return _load(path, ())


def _load(path: Path, above: tuple[Path, ...]) -> Suite:
    node = _compose(path)
    place = _placer(path, node)
    try:
        document = yaml.constructor.SafeConstructor().construct_document(node)
        suite = Suite.model_validate({"name": path.stem, **document})
    except ValidationError as error:
        first = error.errors()[0]
        # Below `checks` pydantic puts the kind between a check's number and its field.
        location = tuple(step for i, step in enumerate(first["loc"]) if first["loc"][0] != "checks" or i != 2)
        message = first["msg"].removeprefix("Value error, ")
        raise DeclarationError(f"{'.'.join(map(str, location))}: {message}", place(location)) from error
    checks: list[AnyCheck] = []
    for number, name in enumerate(suite.extends):
        found = [folder / f"{name}.yaml" for folder in (path.parent, SHARED) if (folder / f"{name}.yaml").exists()]
        if not found or found[0] in (*above, path):
            why = "extends itself" if found else "is no suite"
            raise DeclarationError(f"'{name}' {why}", place(("extends", number)))
        checks += _load(found[0], (*above, path)).checks
    return suite.model_copy(update={"checks": [*checks, *suite.checks]})


def _compose(path: Path) -> yaml.Node:
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=LOADER)
    except OSError as error:
        raise DeclarationError(f"cannot read the suite {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else None
        raise DeclarationError(error.problem or "no YAML", place) from error
    if not isinstance(node, yaml.MappingNode):
        raise DeclarationError("a suite is a mapping with checks:", Place(str(path), 1, 1))
    return node


def _placer(path: Path, root: yaml.Node) -> Callable[[tuple[int | str, ...]], Place]:
    """A function from a location in the document to the place in the file."""

    def place(location: tuple[int | str, ...]) -> Place:
        node = root
        for step in location:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
            elif isinstance(node, yaml.MappingNode):
                node = next((value for key, value in node.value if key.value == step), node)
        return Place(str(path), node.start_mark.line + 1, node.start_mark.column + 1)

    return place
