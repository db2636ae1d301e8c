"""Declarations as read: grammar, `use:`, and the place of every part for errors."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from saima.errors import DeclarationError, FieldError
from saima.features.declaration import Declaration, Shared
from saima.features.field_type import Delimited, FieldType
from saima.features.source import Path_, Source, read
from saima.features.syntax import nearest

if TYPE_CHECKING:
    from pathlib import Path

_PARTS = ("sources", "tables", "aggregates", "features")
_RESOURCES = ("buckets", "vocabularies")


@dataclass(frozen=True)
class Origins:
    """The files of a declaration: the algorithm's own and those it uses; errors point into the right one."""

    own: Source
    shared: dict[Path_, Source] = field(default_factory=dict)
    folders: dict[Path_, Path] = field(default_factory=dict)

    def error(
        self, message: str, path: Path_ = (), *, key: bool = False, column: int | None = None
    ) -> DeclarationError:
        """Error at a path of the merged declaration."""
        source = self.shared.get(path[:2]) or self.shared.get(path[:3]) or self.own
        return source.error(message, path, key=key, column=column)

    def folder(self, path: Path_, own: Path) -> Path:
        """Folder that file names of a part are relative to."""
        return self.folders.get(path[:3], own)


def read_declaration(file: Path, shared: Path, shown: str) -> tuple[Declaration, Origins]:
    """Declaration of a file with everything it uses merged in; `shown` is the file's name in errors.

    Raises DeclarationError.
    """
    source = read(file, shown)
    declaration = validate(Declaration, source)
    origins = Origins(source)
    merged = declaration.model_dump(by_alias=False)
    for place, name in enumerate(declaration.use):
        path = shared / "features" / f"{name}.yaml"
        if not name.isidentifier() or not path.is_file():
            known = [found.stem for found in (shared / "features").glob("*.yaml")]
            raise source.error(_unknown("shared features", name, known), ("use", place))
        part_source = read(path, f"{shared.name}/features/{name}.yaml")
        part = validate(Shared, part_source)
        _merge(merged, part, part_source, origins, (source, place, path.parent.parent))
    if not declaration.use:
        return declaration, origins
    return Declaration.model_construct(**_rebuild(declaration, merged)), origins


def _merge(
    merged: dict[str, Any], part: Shared, part_source: Source, origins: Origins, use: tuple[Source, int, Path]
) -> None:
    source, place, folder = use
    sections: list[tuple[Path_, dict[str, Any], dict[str, Any]]] = [
        ((name,), getattr(part, name), merged[name]) for name in _PARTS
    ]
    sections += [(("resources", name), getattr(part.resources, name), merged["resources"][name]) for name in _RESOURCES]
    for prefix, items, into in sections:
        for name, item in items.items():
            path = (*prefix, name)
            if name in into:
                where = f"shared file {origins.shared[path].file}" if path in origins.shared else "this declaration"
                problem = f"'{'.'.join(map(str, path))}' of {part_source.file} is already declared by {where}"
                raise source.error(problem, ("use", place))
            into[name] = item
            origins.shared[path] = part_source
            origins.folders[path] = folder


def _rebuild(declaration: Declaration, merged: dict[str, Any]) -> dict[str, Any]:
    """Fields of the declaration with the shared parts first, as models."""
    fields = {name: getattr(declaration, name) for name in type(declaration).model_fields}
    for name in _PARTS:
        own = getattr(declaration, name)
        fields[name] = {**{k: v for k, v in merged[name].items() if k not in own}, **own}
    resources = declaration.resources
    updates = {
        name: {**{k: v for k, v in merged["resources"][name].items() if k not in getattr(resources, name)},
               **getattr(resources, name)}
        for name in _RESOURCES
    }  # fmt: skip
    fields["resources"] = resources.model_copy(update=updates)
    return fields


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = nearest(name, known)
    hint = f" (did you mean '{near}'?)" if near else f"; there are {', '.join(sorted(known))}" if known else ""
    return f"unknown {what} '{name}'{hint}"


M = typing.TypeVar("M", bound=BaseModel)


def validate(model: type[M], source: Source, strict: bool = True) -> M:
    """A model of a file's data; without `strict`, lists are tuples and text numbers as pydantic takes them.

    Raises DeclarationError for the first error in the file's order, at its place."""
    if not isinstance(source.data, dict):
        raise source.error(f"a declaration is a mapping, not {type(source.data).__name__}")
    try:
        return model.model_validate(source.data, strict=strict)
    except ValidationError as invalid:
        raise _place(model, source, invalid) from None


def _place(model: type[BaseModel], source: Source, invalid: ValidationError) -> DeclarationError:
    """The first error in the file's order, at its place."""
    found: list[tuple[tuple[int, int], DeclarationError]] = []
    errors = [(tuple(_real_path(source.data, error["loc"])), error) for error in invalid.errors()]
    paths = [path for path, _ in errors]
    for path, error in errors:
        # Of the alternatives of a union, the one that got deepest is the one meant.
        if any(len(other) > len(path) and other[: len(path)] == path for other in paths):
            continue
        dotted = ".".join(str(part) for part in path)
        kind = error["type"]
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, FieldError):
            mended = source.error(str(cause), (*path, *cause.path))
        elif kind == "extra_forbidden":
            known = _fields(model, path[:-1])
            mended = source.error(_unknown("field", str(path[-1]), known), path, key=True)
        elif kind == "missing":
            mended = source.error(
                f"'{error['loc'][-1]}' is missing" + (f" in '{dotted}'" if dotted else ""), path, key=True
            )
        else:
            value = error.get("input")
            shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
            text = error["msg"][0].lower() + error["msg"][1:]
            mended = source.error(f"'{dotted}': {text}, not {shown}", path)
        place = mended.place
        found.append(((place.line, place.column) if place else (0, 0), mended))
    return min(found, key=lambda pair: pair[0])[1]


def _real_path(data: Any, loc: tuple[int | str, ...]) -> list[int | str]:
    """The location without pydantic's tags of unions and what is not in the data."""
    path: list[int | str] = []
    for part in loc:
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if listed or (isinstance(data, dict) and part in data):
            data = data[part]
            path.append(part)
    return path


def _fields(model: type[BaseModel], path: Path_) -> list[str]:
    """Names of the fields that may stand at a path."""
    current: Any = model
    for part in path:
        current = _inside(current, part)
    return [name for found in _models(current) for name in _names(found)]


def _names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if annotation is FieldType:
        return [Delimited]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [found for option in typing.get_args(annotation) for found in _models(option)]
    return []


def _inside(annotation: Any, part: str | int) -> Any:
    for found in _models(annotation):
        for name, info in found.model_fields.items():
            if part in (name, info.alias):
                return info.annotation
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = list(typing.get_args(annotation))
    wanted = list if isinstance(part, int) else dict
    return next((typing.get_args(option)[-1] for option in options if typing.get_origin(option) is wanted), None)
