"""XML with the place of every element, attribute and character of a value, so that errors can point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat  # entities, external ones too, and document types are refused below

from saima.errors import DeclarationError, Place, suggest

MAX_BYTES = 4_000_000

_ATTRIBUTE = re.compile(r"""\s+([^\s=<>/"']+)\s*=\s*("[^"]*"|'[^']*')""")
_REFERENCE = re.compile(r"&[^;\s]*;")


@dataclass(frozen=True)
class Document:
    """The text of a file and its name in errors."""

    file: str
    text: str = field(repr=False)

    def error(self, message: str, at: int) -> DeclarationError:
        """Error at a character of the text."""
        line = self.text.count("\n", 0, at) + 1
        begin = self.text.rfind("\n", 0, at) + 1
        shown = self.text[begin:].split("\n", 1)[0]
        column = at - begin
        start = max(0, column - 60)
        caret = f"  {shown[start : start + 120]}\n  {' ' * (column - start)}^"
        return DeclarationError(message, Place(self.file, line, column + 1), caret)


@dataclass(frozen=True)
class Attribute:
    """An attribute: its decoded value, and where its name and each of its characters stand in the text."""

    document: Document
    name: str
    value: str
    at: int
    places: tuple[int, ...] = field(repr=False)

    def error(self, message: str, column: int = 0) -> DeclarationError:
        """Error at a character of the value, counted from 0."""
        last = self.places[-1]
        return self.document.error(message, self.places[column] if column < len(self.places) else last)


@dataclass
class Element:
    """An element with its attributes and the elements in it."""

    document: Document
    tag: str
    at: int
    attributes: dict[str, Attribute]
    children: list[Element] = field(default_factory=list)

    def error(self, message: str) -> DeclarationError:
        """Error at the element's beginning."""
        return self.document.error(message, self.at)

    def get(self, name: str) -> Attribute | None:
        """An attribute, if it is there and not empty."""
        found = self.attributes.get(name)
        return found if found is not None and found.value.strip() else None

    def require(self, name: str) -> Attribute:
        """An attribute that must be there. Raises DeclarationError."""
        found = self.get(name)
        if found is None:
            raise self.error(f"<{self.tag}> needs '{name}'")
        return found

    def only(self, attributes: Sequence[str], children: Sequence[str] = ()) -> None:
        """Refuse other attributes and elements. Raises DeclarationError."""
        for name, attribute in self.attributes.items():
            if name not in attributes:
                problem = f"unknown attribute '{name}' of <{self.tag}>{suggest(name, attributes)}"
                raise self.document.error(f"{problem}; known: {', '.join(attributes) or 'none'}", attribute.at)
        for child in self.children:
            if child.tag not in children:
                problem = f"unknown element <{child.tag}> in <{self.tag}>{suggest(child.tag, children)}"
                raise child.error(f"{problem}; known: {', '.join(children) or 'none'}")

    def each(self, tag: str) -> Iterator[Element]:
        """Elements of a tag directly in it."""
        return (child for child in self.children if child.tag == tag)


def read(path: Path) -> Element:
    """Root element of a file. Raises DeclarationError with line and column."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeclarationError(f"'{path}' cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise DeclarationError(f"'{path}' has {len(data)} bytes; the limit is {MAX_BYTES}", Place(str(path), 1, 1))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeclarationError(f"'{path}' is not UTF-8 text (byte {error.start})", Place(str(path), 1, 1)) from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Element:
    """Root element of a text."""
    document = Document(file, text)
    data = text.encode()
    parser = expat.ParserCreate("utf-8")
    roots: list[Element] = []
    stack: list[Element] = []

    def at() -> int:
        return len(data[: parser.CurrentByteIndex].decode())

    def start(tag: str, _: dict[str, str]) -> None:
        begin = at()
        element = Element(document, tag, begin, _attributes(document, begin, tag))
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def doctype(*_: object) -> None:
        raise document.error("a document type is not part of a configuration; remove it", text.index("<!DOCTYPE"))

    def words(content: str) -> None:
        if content.strip():
            raise document.error(f"text '{content.strip()[:20]}' stands between elements", at())

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler, parser.CharacterDataHandler = doctype, words
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        line = text.split("\n")[error.lineno - 1] if error.lineno <= text.count("\n") + 1 else ""
        begin = sum(len(each) + 1 for each in text.split("\n")[: error.lineno - 1])
        column = len(line.encode()[: error.offset].decode("utf-8", "ignore"))
        raise document.error(f"this is not XML: {expat.ErrorString(error.code)}", begin + column) from None
    return roots[0]


def _attributes(document: Document, begin: int, tag: str) -> dict[str, Attribute]:
    """The attributes of the start tag at a place; expat has checked that it is well formed."""
    found: dict[str, Attribute] = {}
    at = begin + 1 + len(tag)
    while match := _ATTRIBUTE.match(document.text, at):
        value, places = _decoded(match[2][1:-1], match.start(2) + 1)
        found[match[1]] = Attribute(document, match[1], value, match.start(1), (*places, match.end(2) - 1))
        at = match.end()
    return found


_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def _decoded(raw: str, begin: int) -> tuple[str, list[int]]:
    """A value without its references, and where each of its characters stands."""
    value: list[str] = []
    places: list[int] = []
    at = 0
    while at < len(raw):
        match = _REFERENCE.match(raw, at)
        name = match[0][1:-1] if match else ""
        if name.startswith("#"):
            value.append(chr(int(name[2:], 16) if name[1] == "x" else int(name[1:])))
        else:
            value.append(_NAMED.get(name, raw[at]) if match else " " if raw[at] in "\t\n" else raw[at])
        places.append(begin + at)
        at += len(match[0]) if match else 1
    return "".join(value), places
