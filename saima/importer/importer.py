"""An XML configuration as an algorithm's folder: declared, validated, ready to run."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saima.errors import DeclarationError, SaimaError, suggest
from saima.features.algorithm import Algorithm, load
from saima.importer import markup
from saima.importer.document import Lines
from saima.importer.features import IGNORED, Features
from saima.importer.markup import Element
from saima.importer.models import Brought, read_models
from saima.importer.resources import Resources
from saima.importer.tables import Tables, read_tables

SECTIONS = {"feature_tables": "table", "feature_extract_config": "fea", "model_list": "id"}


@dataclass(frozen=True)
class Imported:
    """An algorithm's folder that was written, and what a person should know of it."""

    algorithm: Algorithm
    notes: tuple[str, ...]


def import_file(
    file: Path, name: str, folder: Path, resources: Path | None = None, fuse: str | None = None
) -> Imported:
    """Write `folder`, the algorithm `name`, from a configuration; nothing is written where it cannot be read.

    `resources` holds buckets, vocabularies, types and models; `fuse` says how the models' outputs become the score.
    Raises DeclarationError with the configuration's file, line and column.
    """
    if folder.exists():
        raise SaimaError(f"{folder} exists; choose another name, or remove it first")
    given = Resources(resources)
    root = markup.read(file)
    if root.tag != "prediction":
        raise root.error(f"a configuration is <prediction>, not <{root.tag}>{suggest(root.tag, ['prediction'])}")
    sections = _sections(root)
    tables = read_tables(sections.get("feature_tables"), given.types())
    features = Features(sections.get("feature_extract_config"), tables, given)
    if not features.found:
        raise root.error("the configuration has no feature: <feature_extract_config> with a <fea> is expected")
    models = read_models(sections.get("model_list"), features.found, given)
    lines, notes = _document(file, name, tables, features, models, fuse)
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work) / name
        (stage / "vocabularies").mkdir(parents=True)
        (stage / "algorithm.yaml").write_text(lines.text, encoding="utf-8")
        for each, terms in features.vocabularies.items():
            (stage / "vocabularies" / f"{each}.txt").write_text("\n".join(terms) + "\n", encoding="utf-8")
        if not features.vocabularies:
            (stage / "vocabularies").rmdir()
        _validated(stage, lines)
        for model in models.values():
            model.copy(stage)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(stage, folder)
    return Imported(load(folder), tuple(notes))


def _sections(root: Element) -> dict[str, Element]:
    root.only((), tuple(SECTIONS))
    sections: dict[str, Element] = {}
    for child in root.children:
        if child.tag in sections:
            raise child.error(f"<{child.tag}> stands twice")
        child.only(IGNORED if child.tag == "feature_extract_config" else (), (SECTIONS[child.tag],))
        for each in child.children:
            each.only(tuple(each.attributes))  # they hold no elements; their attributes are checked where they are read
        sections[child.tag] = child
    return sections


def _document(
    file: Path, name: str, tables: Tables, features: Features, models: dict[str, Brought], fuse: str | None
) -> tuple[Lines, list[str]]:
    lines, notes = Lines(), list[str]()
    lines.say(f"# Imported from {file.name}.")
    lines.put("algorithm", name)
    lines.put("description", f"Imported from {file.name}.")
    sections = tables.sections()
    elements = {alias: read.element for alias, read in tables.reads.items()}
    by_source = {read.source: read.element for read in tables.reads.values()}
    lines.section("sources", sections["sources"], by_source)
    lines.section("request", sections["request"], {})
    if not sections["request"]:
        lines.put("request", {})
    lines.section("tables", sections["tables"], elements)
    resources: dict[str, Any] = {}
    if features.buckets:
        resources["buckets"] = {each: [_short(x) for x in bounds] for each, bounds in features.buckets.items()}
    if features.vocabularies:
        resources["vocabularies"] = {each: {"file": f"vocabularies/{each}.txt"} for each in features.vocabularies}
    lines.section("resources", resources, {})
    entries = {each: one.entry() for each, one in features.found.items()}
    lines.section("features", entries, {each: one.element for each, one in features.found.items()})
    entries = {each: one.entry for each, one in models.items()}
    lines.section("models", entries, {each: one.element for each, one in models.items()})
    notes += [f"models.{each}: put the model at {one.entry['file']}" for each, one in models.items() if not one.file]
    if fuse is None and len(models) > 1:
        first = next(iter(models))
        fuse = f"{first}.{models[first].entry['output']}"
        others = ", ".join(each for each in models if each != first)
        notes.append(f"the score is {fuse}; say in 'fuse' how {others} take part, or import with --fuse")
    if fuse is not None:
        lines.section("fuse", {"value": fuse}, {})
    return lines, notes


def _short(bound: float) -> float | int:
    return int(bound) if bound == int(bound) else bound


def _validated(stage: Path, lines: Lines) -> None:
    """Load the staged algorithm; an error points at the element that its line was made from."""
    try:
        load(stage)
    except DeclarationError as error:
        element = lines.elements.get(error.place.line) if error.place else None
        if element is None:
            raise
        raise element.error(error.message) from None
