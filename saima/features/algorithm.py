"""Load an algorithm: its declaration, vocabularies, own operators and plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saima.errors import DeclarationError, Place, SaimaError, suggest
from saima.features import vocabularies as vocabulary
from saima.features.checks.declaration import Checker
from saima.features.compiler import FeatureError, compile_plan
from saima.features.declaration import Declaration
from saima.features.operators import OPERATORS, operators_of
from saima.features.origins import Origins, read_declaration
from saima.modules import module_of
from saima.settings import settings

if TYPE_CHECKING:
    from saima.features.operators.base import Operator
    from saima.features.plan import Plan
    from saima.features.vocabularies import Vocabulary

CODE = ("operators.py", "algorithm.py")
"""An algorithm's own Python, part of its digest."""


@dataclass(frozen=True)
class Algorithm:
    """A loaded algorithm. digest: content hash of declaration, vocabularies and code."""

    name: str
    declaration: Declaration
    digest: str
    directory: Path
    plan: Plan = field(repr=False)
    vocabularies: dict[str, Vocabulary] = field(repr=False)
    operators: dict[str, Operator] = field(repr=False, default_factory=dict)


def load(name_or_dir: str | Path, root: Path | None = None) -> Algorithm:
    """Algorithm by name (a folder of `root`, by default the settings' algorithms) or by its folder.

    Raises DeclarationError with file, line and column.
    """
    base = root or settings().algorithms
    directory = Path(name_or_dir) if isinstance(name_or_dir, Path) or "/" in str(name_or_dir) else base / name_or_dir
    file = directory / "algorithm.yaml"
    shown = f"algorithms/{directory.name}/algorithm.yaml"
    if not file.is_file():
        known = sorted(found.parent.name for found in directory.parent.glob("*/algorithm.yaml"))
        there = f"; there are {', '.join(known)}" if known else ""
        raise DeclarationError(
            f"no algorithm '{directory.name}': '{shown}' does not exist{suggest(directory.name, known)}{there}"
        )
    declaration, origins = read_declaration(file, directory.parent / "shared", shown)
    if declaration.algorithm != directory.name:
        problem = (
            f"the algorithm '{declaration.algorithm}' stands in the folder '{directory.name}'; the names must agree"
        )
        raise origins.error(problem, ("algorithm",))
    Checker(declaration, origins).run()
    vocabularies = _vocabularies(declaration, origins, directory)
    code = {name: (directory / name).read_bytes() for name in CODE if (directory / name).is_file()}
    digest = _digest(declaration, vocabularies, code)
    operators = _own_operators(directory, digest) if "operators.py" in code else {}
    try:
        plan = compile_plan(declaration, vocabularies, operators)
    except FeatureError as error:
        raise origins.error(error.message, ("features", error.feature, "value"), column=error.column) from None
    return Algorithm(declaration.algorithm, declaration, digest, directory, plan, vocabularies, operators)


def json_schema() -> dict[str, Any]:
    """JSON Schema of `algorithm.yaml`, for editors."""
    schema = Declaration.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "algorithm.yaml", **schema}


def _vocabularies(declaration: Declaration, origins: Origins, directory: Path) -> dict[str, Vocabulary]:
    loaded: dict[str, Vocabulary] = {}
    for name, declared in declaration.resources.vocabularies.items():
        path = ("resources", "vocabularies", name)
        if (declared.file is None) == (declared.terms is None):
            raise origins.error(f"the vocabulary '{name}' has either a file or terms", path)
        try:
            if declared.file is not None:
                folder = origins.folder(path, directory).resolve()
                file = (folder / declared.file).resolve()
                if not file.is_relative_to(folder):
                    raise SaimaError(f"'{declared.file}' lies outside the algorithm's folder")
                loaded[name] = vocabulary.from_file(name, file)
            else:
                loaded[name] = vocabulary.from_terms(name, declared.terms or [])
        except SaimaError as error:
            raise origins.error(
                f"vocabulary '{name}': {error}", (*path, "file" if declared.file else "terms")
            ) from None
    return loaded


def _digest(declaration: Declaration, vocabularies: dict[str, Vocabulary], code: dict[str, bytes]) -> str:
    canonical = {
        "declaration": declaration.model_dump(mode="json", by_alias=True),
        "vocabularies": {name: list(found.ids.items()) for name, found in sorted(vocabularies.items())},
        "code": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(code.items())},
    }
    return hashlib.sha256(json.dumps(canonical, ensure_ascii=False).encode()).hexdigest()


def _own_operators(directory: Path, digest: str) -> dict[str, Operator]:
    """Operators of the algorithm's `operators.py`, in a module of their own per digest."""
    file = directory / "operators.py"
    shown = f"algorithms/{directory.name}/operators.py"
    try:
        module = module_of(f"saima_algorithm_{directory.name}_{digest[:12]}_operators", file)
    except SyntaxError as error:
        raise DeclarationError(f"not Python: {error.msg}", Place(shown, error.lineno or 1, error.offset or 1)) from None
    except (ImportError, TypeError, NameError, AttributeError, ValueError) as error:
        raise DeclarationError(f"cannot be imported: {error}", Place(shown, 1, 1)) from error
    found = operators_of(module)
    taken = sorted(set(found) & set(OPERATORS))
    if taken:
        raise DeclarationError(f"'{taken[0]}' is a built-in operator; choose another name", Place(shown, 1, 1))
    return found
