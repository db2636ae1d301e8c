"""`feature_extract_config`: each extractor as one of our expressions, with its type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saima.errors import SaimaError, suggest
from saima.features import vocabularies as vocabulary
from saima.features.expression import compile_expression
from saima.features.nodes import Node, Side, column, resource
from saima.features.operators.conversion import implicit
from saima.features.scope import Scope
from saima.features.syntax import ExpressionError
from saima.features.types import TIMESTAMP, Type, list_of, parse_type
from saima.importer.defaults import data_type, default
from saima.importer.extractors import Literal, Reference, Tree, Use, parse
from saima.importer.functions import ANY, BUCKET, CONSTANT, FUNCTIONS, VOCABULARY, Function
from saima.importer.markup import Attribute, Element
from saima.importer.resources import Resources
from saima.importer.tables import Tables

ATTRIBUTES = ("name", "dataType", "default", "extractor")
IGNORED = ("cache", "log_level", "log_echo", "version")
"""Attributes of the section that say how its old reader works, not what it computes."""

_BUCKETS, _VOCABULARIES = ("bucket", "buckets"), ("vocab", "vocabs", "vocabulary", "vocabularies")
_NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Extracted:
    """A feature: its expression, type and default in our language, and where it stands."""

    element: Element
    value: str
    dtype: Type
    default: Any

    def entry(self) -> dict[str, Any]:
        """What stands under `features`."""
        shown = {} if self.default is None else {"default": self.default}
        return {"value": self.value, "dtype": str(self.dtype), **shown}


class Features:
    """The features of a configuration; they fill in the types of the tables' columns."""

    def __init__(self, section: Element | None, tables: Tables, resources: Resources) -> None:
        """Reads all of them. Raises DeclarationError at the attribute and character that is wrong."""
        self.tables = tables
        self.resources = resources
        self.buckets: dict[str, list[float]] = {}
        self.vocabularies: dict[str, list[str]] = {}
        self._trees: dict[str, tuple[Element, Tree]] = {}
        self._done: dict[str, Extracted] = {}
        self._open: list[str] = []
        for element in section.each("fea") if section else ():
            element.only(ATTRIBUTES)
            name = element.require("name")
            if not _NAME.fullmatch(name.value):
                raise name.error(f"'{name.value}' is not a name: letters, digits and _, a letter first")
            if name.value in self._trees:
                raise name.error(f"the feature '{name.value}' stands twice")
            self._trees[name.value] = (element, parse(element.require("extractor")))
        self._infer()
        self._names = self._inputs()
        self.found = {name: self._compiled(name) for name in self._trees}

    def _infer(self) -> None:
        """Types of the columns, from how they are used and from `types.yaml`."""
        wants: dict[str, dict[str, list[tuple[str, Attribute, int]]]] = {}
        for element, tree in self._trees.values():
            attribute = element.require("extractor")
            scalar = data_type(element)
            whole = f"list<{scalar}>" if isinstance(default(element, scalar), list) else scalar
            for reference, want in self._uses(attribute, tree, whole):
                alias, name = reference.parts
                wants.setdefault(alias, {}).setdefault(name, []).append((want, attribute, reference.at))
        for alias, columns in wants.items():
            read = self.tables.reads[alias]
            for name, uses in columns.items():
                if name in read.keys:
                    continue
                given = self.tables.given.get(alias, {}).get(name)
                self.tables.columns.setdefault(alias, {})[name] = given or _type(f"{alias}.{name}", uses)

    def _uses(self, attribute: Attribute, tree: Tree, want: str) -> Iterator[tuple[Reference, str]]:
        """Columns of tables with what is wanted of them; everything else is checked on the way."""
        if isinstance(tree, Reference):
            if self._place(attribute, tree, want) == "column":
                yield tree, want
            return
        if isinstance(tree, Literal):
            if want in (BUCKET, VOCABULARY):
                raise attribute.error(f"a {want} is expected here, such as ${want[:6]}.name", tree.at)
            return
        if want in (BUCKET, VOCABULARY, CONSTANT):
            raise attribute.error(f"{_article(want)} is expected here, not {tree.function}(...)", tree.at)
        function = self._function(attribute, tree)
        for place, argument in enumerate(tree.arguments):
            yield from self._uses(attribute, argument, function.want(place, want))

    def _function(self, attribute: Attribute, use: Use) -> Function:
        function = FUNCTIONS.get(use.function)
        if function is None:
            known = f"; known: {', '.join(sorted(FUNCTIONS))}"
            hint = suggest(use.function, FUNCTIONS)
            raise attribute.error(f"unknown extractor '{use.function}'{hint or known}", use.at)
        if not function.fits(len(use.arguments)):
            raise attribute.error(f"{use.function} takes {function.arity}, not {len(use.arguments)}", use.at)
        return function

    def _place(self, attribute: Attribute, reference: Reference, want: str) -> str:
        """What a reference names: bucket, vocabulary, column, feature or field. Raises DeclarationError."""
        parts = reference.parts
        shown = "$" + ".".join(parts)
        space = BUCKET if parts[0] in _BUCKETS else VOCABULARY if parts[0] in _VOCABULARIES else ""
        if space and len(parts) == 2 and parts[0] not in self.tables.reads:
            if want not in (space, ANY):
                raise attribute.error(f"{shown} is a {space}; {_article(want)} is expected here", reference.at)
            self._resource(attribute, reference, space)
            return space
        if want in (BUCKET, VOCABULARY, CONSTANT):
            raise attribute.error(f"{_article(want)} is expected here, not {shown}", reference.at)
        if len(parts) == 2:
            if parts[0] not in self.tables.reads:
                hint = suggest(parts[0], self.tables.reads)
                raise attribute.error(f"unknown table '{parts[0]}'{hint}", reference.at)
            return "column"
        if len(parts) == 1 and parts[0] in self._trees:
            return "feature"
        if len(parts) == 1 and self.tables.field(parts[0]):
            return "field"
        hint = suggest(parts[0], [*self._trees, *self.tables.reads])
        raise attribute.error(
            f"unknown name '{shown}'{hint}: it is no feature, no table's column and no key; a field that callers send "
            "is declared in types.yaml, such as 'request: {scene: string}'",
            reference.at,
        )

    def _resource(self, attribute: Attribute, reference: Reference, space: str) -> None:
        name = reference.parts[1]
        try:
            if space == BUCKET and name not in self.buckets:
                self.buckets[name] = self.resources.bucket(name)
            elif space == VOCABULARY and name not in self.vocabularies:
                lines = self.resources.vocabulary(name)
                vocabulary.from_terms(name, lines)
                self.vocabularies[name] = lines
        except SaimaError as error:
            raise attribute.error(str(error), reference.at) from None

    def _inputs(self) -> dict[str, Node]:
        names: dict[str, Node] = {"request.time": column("request.time", TIMESTAMP, "request")}
        for side in ("request", "user", "item"):
            for name, dtype in self.tables.fields(side).items():
                full = f"{side}.{name}"
                names[full] = column(full, _parsed(dtype), "item" if side == "item" else "request")
        for alias, read in self.tables.reads.items():
            keys = {key: self.tables.fields(read.side)[key] for key in read.keys}
            for name, dtype in {**keys, **self.tables.columns.get(alias, {})}.items():
                at: Side = "item" if read.side == "item" else "request"
                names[f"{alias}.{name}"] = column(f"{alias}.{name}", _parsed(dtype), at)
        for name, bounds in self.buckets.items():
            names[f"buckets.{name}"] = resource(f"buckets.{name}", tuple(bounds))
        for name, lines in self.vocabularies.items():
            names[f"vocabularies.{name}"] = resource(f"vocabularies.{name}", vocabulary.from_terms(name, lines))
        return names

    def _compiled(self, name: str) -> Extracted:
        """A feature after those that it names. Raises DeclarationError."""
        if name in self._done:
            return self._done[name]
        element, tree = self._trees[name]
        attribute = element.require("extractor")
        if name in self._open:
            loop = " -> ".join([*self._open[self._open.index(name) :], name])
            raise attribute.error(f"features need each other: {loop}")
        self._open.append(name)
        for reference in _references(tree):
            if len(reference.parts) == 1 and reference.parts[0] in self._trees:
                self._compiled(reference.parts[0])
        value = self._text(tree)
        scope = Scope(self._names, {}, self._names["request.time"])
        try:
            node = compile_expression(value, scope)
        except ExpressionError as error:
            raise attribute.error(error.message, tree.at) from None
        self._open.pop()
        found = self._finished(element, value, node)
        self._names[name] = column(name, found.dtype, node.side, feature=True)
        self._done[name] = found
        return found

    def _finished(self, element: Element, value: str, node: Node) -> Extracted:
        """The value with its default: a list's stands where the list is empty, a scalar's where it is missing."""
        scalar = parse_type(data_type(element))
        fallback = default(element, str(scalar))
        dtype = list_of(scalar) if node.type.is_list else scalar
        if not implicit(node.type, dtype):
            raise element.require("dataType").error(f"the extractor gives {node.type}, which is not {dtype}")
        if node.type.is_list:
            whole = fallback if isinstance(fallback, list) else [] if fallback is None else [fallback]
            if whole:
                value = f"{value} if len({value}) > 0 else {whole!r}"
            return Extracted(element, value, dtype, None)
        if isinstance(fallback, list):
            raise element.attributes["default"].error(f"the extractor gives {node.type}; its default is one value")
        return Extracted(element, value, dtype, fallback)

    def _text(self, tree: Tree) -> str:
        """Our expression."""
        if isinstance(tree, Literal):
            return repr(tree.value)
        if isinstance(tree, Reference):
            first, *rest = tree.parts
            if not rest:
                return first if first in self._trees else str(self.tables.field(first))
            if first in self.tables.reads:
                return f"{first}.{rest[0]}"
            return f"{'buckets' if first in _BUCKETS else 'vocabularies'}.{rest[0]}"
        texts = [self._text(argument) for argument in tree.arguments]
        return FUNCTIONS[tree.function].template.format(*texts, rest=", ".join(texts))


def _references(tree: Tree) -> Iterator[Reference]:
    if isinstance(tree, Reference):
        yield tree
    elif isinstance(tree, Use):
        for argument in tree.arguments:
            yield from _references(argument)


def _parsed(dtype: Any) -> Type:
    return parse_type(dtype["type"] if isinstance(dtype, dict) else str(dtype))


def _type(name: str, uses: list[tuple[str, Attribute, int]]) -> str:
    """The one type that all uses of a column agree on; whole numbers and texts of them give way to each other."""
    wanted = list(dict.fromkeys(want for want, _, _ in uses if want != ANY))
    for narrow in ("int64", "list<int64>"):
        inner = ("int64", "float64", "string")
        wide = inner if narrow == "int64" else tuple(f"list<{each}>" for each in inner)
        if narrow in wanted and set(wanted) <= set(wide):
            return narrow
    if len(wanted) == 1 or set(wanted) == {"float32", "float64"}:
        return max(wanted)
    _, attribute, at = uses[-1]
    alias, _, plain = name.partition(".")
    problem = f"is used as {' and as '.join(wanted)}" if wanted else "does not tell its type by its use"
    raise attribute.error(f"'${name}' {problem}; say it in types.yaml: '{alias}: {{{plain}: <type>}}'", at)


def _article(want: str) -> str:
    return {BUCKET: "a bucket", VOCABULARY: "a vocabulary", CONSTANT: "a constant"}.get(want, f"a value ({want})")
