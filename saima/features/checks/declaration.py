"""Check a declaration beyond its grammar: every name, type, duration and reference, each error at its place."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from saima.features.checks.learning import check_label, check_lineages, check_parameters
from saima.features.checks.models import check_model
from saima.features.checks.reads import check_aggregate, check_source, check_table
from saima.features.durations import milliseconds
from saima.features.expression import Scope, compile_expression, convert
from saima.features.syntax import ExpressionError, nearest
from saima.features.types import Type, TypeTextError, declarable, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.declaration import Declaration
    from saima.features.field_type import FieldType
    from saima.features.origins import Origins

NAMESPACES = ("request", "user", "item", "buckets", "vocabularies", "parameters", "features")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Checker:
    """Checks of one declaration; the first error found is raised as DeclarationError."""

    def __init__(self, declaration: Declaration, origins: Origins) -> None:
        self.declaration = declaration
        self.origins = origins

    def fault(self, message: str, *path: str | int, key: bool = False, column: int | None = None) -> Exception:
        """Error at a path."""
        return self.origins.error(message, path, key=key, column=column)

    def known(self, what: str, name: str, names: Iterable[str], *path: str | int) -> None:
        """Refuse a name that is not among the known ones."""
        options = list(names)
        if name not in options:
            near = nearest(name, options)
            hint = f" (did you mean '{near}'?)" if near else f"; there are {', '.join(options)}" if options else ""
            raise self.fault(f"unknown {what} '{name}'{hint}", *path)

    def dtype(self, text: str, *path: str | int) -> Type:
        """Type of a declared text."""
        try:
            return parse_type(text)
        except TypeTextError as error:
            raise self.fault(str(error), *path, column=error.column) from None

    def field(self, dtype: FieldType, *path: str | int) -> Type:
        """Type of a field; separators stand with lists and maps of scalars."""
        found = self.dtype(dtype, *path, "type")
        if dtype.separators is None:
            return found
        if found.element is None or found.of.element is not None:
            raise self.fault(f"delimited text holds a list or a map of scalars, not {found}", *path, "type")
        if dtype.separators.items == dtype.separators.pair:
            raise self.fault("items and pairs have different separators", *path, "pair")
        return found

    def duration(self, text: str, *path: str | int, least: int = 0) -> int:
        """Milliseconds of a declared duration."""
        try:
            found = milliseconds(text)
        except ValueError as error:
            raise self.fault(str(error), *path) from None
        if found < least:
            raise self.fault(f"'{text}' is too short; at least {least} ms", *path)
        return found

    def expression(self, text: str, scope: Scope, dtype: Type | None, *path: str | int) -> Any:
        """Compiled expression; a fault points at its column inside the YAML text."""
        try:
            node = compile_expression(text, scope)
            return node if dtype is None else convert(node, dtype)
        except ExpressionError as error:
            raise self.fault(error.message, *path, column=error.column) from None

    def run(self) -> None:
        """Every check but the features' expressions, which the compiler makes."""
        self.names()
        for name, source in self.declaration.sources.items():
            check_source(self, name, source)
        self.request()
        for name, table in self.declaration.tables.items():
            check_table(self, name, table)
        for name, aggregate in self.declaration.aggregates.items():
            check_aggregate(self, name, aggregate)
        for bucket, bounds in self.declaration.resources.buckets.items():
            if not bounds or any(a >= b for a, b in pairwise(bounds)):
                raise self.fault(f"the boundaries of '{bucket}' ascend strictly", "resources", "buckets", bucket)
        for name, feature in self.declaration.features.items():
            dtype = self.dtype(feature.dtype, "features", name, "dtype")
            self.default(feature.default, dtype, "features", name, "default")
            if feature.max_length is not None and dtype.name != "list":
                raise self.fault(
                    f"max_length is for lists; '{name}' is {dtype}", "features", name, "max_length", key=True
                )
        for name, model in self.declaration.models.items():
            check_model(self, name, model)
        check_parameters(self)
        check_label(self)
        check_lineages(self)
        if self.declaration.top_k is not None and self.declaration.request.items is None:
            raise self.fault("top_k needs candidates: declare request.items", "top_k", key=True)

    def names(self) -> None:
        """Names are identifiers, and no two things that expressions name share one."""
        declaration = self.declaration
        sections: dict[str, Iterable[str]] = {
            "sources": declaration.sources, "tables": declaration.tables, "aggregates": declaration.aggregates,
            "features": declaration.features, "models": declaration.models, "parameters": declaration.parameters,
            "lineages": declaration.lineages,
        }  # fmt: skip
        for section, names in sections.items():
            for name in names:
                if not _NAME.fullmatch(name):
                    raise self.fault(
                        f"'{name}' is not a name: letters, digits and _, a letter first", section, name, key=True
                    )
                if name in NAMESPACES and section in ("tables", "aggregates", "features"):
                    raise self.fault(
                        f"'{name}' is a word of the language; choose another name", section, name, key=True
                    )
        if not _NAME.fullmatch(declaration.algorithm):
            raise self.fault(
                f"'{declaration.algorithm}' is not a name: letters, digits and _, a letter first", "algorithm"
            )
        for name in declaration.aggregates:
            if name in declaration.tables:
                raise self.fault(f"'{name}' is a table and an aggregate; rename one", "aggregates", name, key=True)
        for name in declaration.features:
            if name in declaration.tables or name in declaration.aggregates:
                what = "a table" if name in declaration.tables else "an aggregate"
                raise self.fault(f"the feature '{name}' has the name of {what}; rename one", "features", name, key=True)

    def request(self) -> None:
        """Typed fields; no candidate has the word `time`."""
        request = self.declaration.request
        parts: dict[tuple[str, ...], dict[str, FieldType]] = {("fields",): request.fields, ("user",): request.user}
        if request.items is not None:
            parts[("items", "fields")] = request.items.fields
        for path, fields in parts.items():
            for name, text in fields.items():
                if not _NAME.fullmatch(name):
                    raise self.fault(f"'{name}' is not a name", "request", *path, name, key=True)
                if name == "time" and path == ("fields",):
                    raise self.fault(
                        "'time' is request.time already; rename the field", "request", *path, name, key=True
                    )
                self.field(text, "request", *path, name)

    def default(self, value: Any, dtype: Type, *path: str | int) -> None:
        """A default of the declared type."""
        if value is not None and not declarable(value, dtype):
            raise self.fault(f"the default {value!r} is not {dtype}", *path)
