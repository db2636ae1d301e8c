"""YAML text with the place of every value, so that errors can point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from saima.errors import DeclarationError, Place

if TYPE_CHECKING:
    from pathlib import Path

Path_ = tuple[str | int, ...]
MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 100
_QUICK: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Source:
    """A parsed YAML file: its text, its data, and the nodes of keys and values by path."""

    file: str
    text: str
    data: Any
    values: dict[Path_, yaml.Node] = field(repr=False)
    keys: dict[Path_, yaml.Node] = field(repr=False)

    def error(
        self, message: str, path: Path_ = (), *, key: bool = False, column: int | None = None
    ) -> DeclarationError:
        """Error at a path's value, at its key, or at a 1-based character within its text."""
        node = self._node(path, key)
        line, offset = node.start_mark.line, node.start_mark.column
        if column is not None and isinstance(node, yaml.ScalarNode):
            line, offset = _inside(self.text, node, column - 1)
        return self.error_at(message, line + 1, offset + 1)

    def error_at(self, message: str, line: int, column: int) -> DeclarationError:
        """Error at a 1-based line and column."""
        return _error(self.file, self.text, message, line, column)

    def _node(self, path: Path_, key: bool) -> yaml.Node:
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]


def read(path: Path, file: str | None = None) -> Source:
    """Parse a file; `file` is the name that errors show. Raises DeclarationError."""
    shown = file or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeclarationError(f"'{shown}' does not exist") from None
    except UnicodeDecodeError as error:
        raise DeclarationError(f"'{shown}' is not UTF-8 text (byte {error.start})", Place(shown, 1, 1)) from None
    except OSError as error:
        raise DeclarationError(f"'{shown}' cannot be read: {error.strerror}") from None
    return parse(text, shown)


def parse(text: str, file: str) -> Source:
    """Parse YAML text: plain data only, no duplicate keys, no aliases. Raises DeclarationError."""
    try:
        return _parsed(text, file, _QUICK)
    except DeclarationError:
        return _parsed(text, file, yaml.SafeLoader)  # whose errors are more exact


def _parsed(text: str, file: str, kind: type[yaml.SafeLoader]) -> Source:
    if len(text) > MAX_CHARACTERS:
        raise DeclarationError(f"'{file}' has {len(text)} characters; the limit is {MAX_CHARACTERS}", Place(file, 1, 1))
    loader: yaml.SafeLoader | None = None
    values: dict[Path_, yaml.Node] = {}
    keys: dict[Path_, yaml.Node] = {}
    try:
        depth = 0
        for event in yaml.parse(text, Loader=kind):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            problem = f"more than {MAX_DEPTH} levels of lists and mappings" if depth > MAX_DEPTH else ""
            if isinstance(event, yaml.AliasEvent):
                problem = f"aliases such as '*{event.anchor}' are not part of a declaration; write the value again"
            if problem:
                line, column = _begin(event)
                raise _error(file, text, problem, line, column)
        loader = kind(text)
        root = loader.get_single_node()
        if root is None:
            raise _error(file, text, "the file is empty", 1, 1)
        _walk(root, (), values, keys, file, text)
        data = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        spot = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (spot.line + 1, spot.column + 1) if spot else (1, 1)
        raise _error(file, text, f"this is not YAML: {problem}", line, column) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        raise _error(file, text, f"this is not YAML: {error.reason}", line, column) from None
    except (RecursionError, ValueError) as error:
        raise _error(file, text, f"this is not YAML: {error}", 1, 1) from None
    finally:
        if loader is not None:
            loader.dispose()
    return Source(file, text, data, values, keys)


def _begin(event: yaml.Event) -> tuple[int, int]:
    """1-based line and column."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _walk(
    node: yaml.Node, path: Path_, values: dict[Path_, yaml.Node], keys: dict[Path_, yaml.Node], file: str, text: str
) -> None:
    values[path] = node
    for part in [node, *(key for key, _ in node.value)] if isinstance(node, yaml.MappingNode) else [node]:
        if isinstance(part, yaml.ScalarNode) and any("\ud800" <= character <= "\udfff" for character in part.value):
            mark = part.start_mark
            raise _error(file, text, "half of a surrogate pair is no character", mark.line + 1, mark.column + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), values, keys, file, text)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            mark = key.start_mark
            if not isinstance(key, yaml.ScalarNode):
                raise _error(file, text, "a key must be plain text", mark.line + 1, mark.column + 1)
            if key.tag != "tag:yaml.org,2002:str":
                problem = (
                    f"the key '{key.value}' is read as {key.tag.rsplit(':', 1)[-1]}, not as text; put it in quotes"
                )
                raise _error(file, text, problem, mark.line + 1, mark.column + 1)
            inner = (*path, key.value)
            if inner in keys:
                first = keys[inner].start_mark.line + 1
                problem = f"'{key.value}' is declared twice (first on line {first})"
                raise _error(file, text, problem, mark.line + 1, mark.column + 1)
            keys[inner] = key
            _walk(value, inner, values, keys, file, text)


def _error(file: str, text: str, message: str, line: int, column: int) -> DeclarationError:
    lines = text.splitlines()
    shown = lines[line - 1] if line <= len(lines) else ""
    start = max(0, column - 61)
    caret = f"  {shown[start : start + 120]}\n  {' ' * (column - 1 - start)}^" if shown else ""
    return DeclarationError(message, Place(file, line, column), caret)


_ESCAPES = {"x": 4, "u": 6, "U": 10}


def _inside(text: str, node: yaml.ScalarNode, index: int) -> tuple[int, int]:
    """0-based line and column, in the file, of a character of a scalar's decoded value."""
    places = list(_places(text, node))
    begin = node.start_mark.line, node.start_mark.column
    if len(places) < len(node.value):
        return begin
    return places[index] if index < len(places) else (places[-1][0], places[-1][1] + 1) if places else begin


def _places(text: str, node: yaml.ScalarNode) -> list[tuple[int, int]]:
    line, column = node.start_mark.line, node.start_mark.column
    raw = _raw(text, node)
    places: list[tuple[int, int]] = []
    at = 0
    if node.style in ("|", ">"):
        lines = raw.split("\n")
        body = lines[1:]
        indent = min((len(row) - len(row.lstrip(" ")) for row in body if row.strip()), default=0)
        for number, row in enumerate(body):
            content = row[indent:]
            places += [(line + 1 + number, indent + offset) for offset in range(len(content) + 1)]
        return places
    if node.style in ("'", '"'):
        at, column, raw = 1, column + 1, raw[:-1]
    while at < len(raw):
        width = 1
        if node.style == "'" and raw[at] == "'":
            width = 2
        elif node.style == '"' and raw[at] == "\\":
            width = _ESCAPES.get(raw[at + 1], 2)
        elif raw[at] in " \n" and "\n" in raw[at : at + len(raw[at:]) - len(raw[at:].lstrip())]:
            gap = raw[at : at + len(raw[at:]) - len(raw[at:].lstrip())]
            places += [(line, column)] * max(1, gap.count("\n") - 1)
            line, column, at = line + gap.count("\n"), len(gap) - gap.rfind("\n") - 1, at + len(gap)
            continue
        places.append((line, column))
        at, column = at + width, column + width
    return places


def _raw(text: str, node: yaml.ScalarNode) -> str:
    lines = text.split("\n")
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    inner = lines[start.line + 1 : end.line]
    last = lines[end.line][: end.column] if end.line < len(lines) else ""
    return "\n".join([lines[start.line][start.column :], *inner, last])
