"""Check a declaration beyond its grammar: every name, type, duration and reference, each error at its place."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from saima.errors import SaimaError
from saima.features.durations import milliseconds
from saima.features.expression import Scope, compile_expression, convert
from saima.features.fuse import compile_fuse
from saima.features.model_check import check_model
from saima.features.nodes import column
from saima.features.reads import ANY_VALUE, NUMBER_VALUE, measure_name
from saima.features.syntax import ExpressionError, nearest
from saima.features.types import BOOL, TIMESTAMP, Type, TypeTextError, fits, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saima.features.declaration import Aggregate, Declaration, Source, Table
    from saima.features.origins import Origins
    from saima.features.source import Path_

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
            self.source(name, source)
        self.request()
        for name, table in self.declaration.tables.items():
            self.table(name, table)
        for name, aggregate in self.declaration.aggregates.items():
            self.aggregate(name, aggregate)
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
        self.parameters()
        self.label()
        self.lineages()
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

    def source(self, name: str, source: Source) -> None:
        """A topic: typed fields, a key among them, durations."""
        for field, text in source.fields.items():
            self.dtype(text, "sources", name, "fields", field)
            if field in ("type", "seq", "id", "appended", "offset", "late", "day", "time"):
                raise self.fault(
                    f"'{field}' is a column of every event; rename the field",
                    "sources",
                    name,
                    "fields",
                    field,
                    key=True,
                )
        self.known("field", source.key, source.fields, "sources", name, "key")
        self.duration(source.lateness, "sources", name, "lateness")
        self.duration(source.freshness, "sources", name, "freshness", least=1)

    def request(self) -> None:
        """Typed fields; no candidate has the word `time`."""
        request = self.declaration.request
        parts: dict[tuple[str, ...], dict[str, str]] = {("fields",): request.fields, ("user",): request.user}
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
                self.dtype(text, "request", *path, name)

    def keys(self, section: str, name: str, reader: Table | Aggregate) -> None:
        """The key's fields stand in the source and in the request, with types that have one text."""
        self.known("source", reader.source, self.declaration.sources, section, name, _alias(section))
        source = self.declaration.sources[reader.source]
        fields = [reader.key] if isinstance(reader.key, str) else reader.key
        if not fields or len(set(fields)) < len(fields):
            raise self.fault("a key has fields, each once", section, name, "key")
        for place, field in enumerate(fields):
            path: Path_ = (section, name, "key") if isinstance(reader.key, str) else (section, name, "key", place)
            self.known(f"field of source '{reader.source}'", field, source.fields, *path)
            found = key_column(self.declaration, reader.side, field)
            if found is None:
                options = [known.split(".", 1)[1] for known in request_columns(self.declaration)]
                near = nearest(field, options)
                hint = f" (did you mean '{near}'?)" if near else ""
                raise self.fault(f"the request has no field '{field}' to look '{name}' up with{hint}", *path)
            for text, where in (
                (source.fields[field], "source"),
                (request_columns(self.declaration)[found], "request"),
            ):
                if not parse_type(str(text)).is_text:
                    raise self.fault(
                        f"'{field}' is {text} in the {where}; a key is string, int64, bool or timestamp", *path
                    )
        if reader.side == "item" and self.declaration.request.items is None:
            raise self.fault("side item needs candidates: declare request.items", section, name, "side")

    def table(self, name: str, table: Table) -> None:
        """Source, key, the times of a version, durations."""
        self.keys("tables", name, table)
        source = self.declaration.sources[table.source]
        for field in ("valid_from", "known_at"):
            value = getattr(table, field)
            if value is None or value == "time":
                continue
            self.known(f"field of source '{table.source}'", value, [*source.fields, "time"], "tables", name, field)
            if parse_type(source.fields[value]) != TIMESTAMP:
                raise self.fault(f"{field} is a timestamp; '{value}' is {source.fields[value]}", "tables", name, field)
        if table.ttl is not None:
            self.duration(table.ttl, "tables", name, "ttl")
        if table.cache is not None:
            self.duration(table.cache.ttl, "tables", name, "cache", "ttl")

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Source, key, value, measures, windows, hop, filter."""
        self.keys("aggregates", name, aggregate)
        source = self.declaration.sources[aggregate.source]
        value: Type | None = None
        if aggregate.value is not None:
            self.known(
                f"field of source '{aggregate.source}'", aggregate.value, source.fields, "aggregates", name, "value"
            )
            value = parse_type(source.fields[aggregate.value])
        for place, measure in enumerate(aggregate.measures):
            self.measure(name, aggregate, measure, value, place)
        shortest = None
        for place, text in enumerate(aggregate.windows):
            path = ("aggregates", name, "windows", place)
            length = self.duration(text, *path, least=1)
            shortest = length if shortest is None else min(shortest, length)
            if text.replace(" ", "") != text or text in aggregate.windows[:place]:
                raise self.fault(f"the window '{text}' stands twice, or has a space", *path)
        if aggregate.hop is not None and aggregate.hop != "0":
            hop = self.duration(aggregate.hop, "aggregates", name, "hop")
            if shortest is not None and hop > shortest:
                raise self.fault(
                    f"the hop {aggregate.hop} is longer than the shortest window", "aggregates", name, "hop"
                )
        if aggregate.where is not None:
            names = {field: column(field, parse_type(text), "request") for field, text in source.fields.items()}
            self.expression(aggregate.where, Scope(names), None, "aggregates", name, "where")
            if compile_expression(aggregate.where, Scope(names)).type != BOOL:
                raise self.fault("'where' is a condition, of type bool", "aggregates", name, "where")

    def measure(self, name: str, aggregate: Aggregate, measure: str, value: Type | None, place: int) -> None:
        """A measure that exists, once, on a value of a fitting type, exact or said not to be."""
        path = ("aggregates", name, "measures", place)
        family = measure_name(measure)
        self.known("measure", family, [*ANY_VALUE, *NUMBER_VALUE], *path)
        if measure in aggregate.measures[:place]:
            raise self.fault(f"the measure '{measure}' stands twice", *path)
        if value is None and family != "count":
            raise self.fault(f"'{measure}' needs a value: add 'value: <field of {aggregate.source}>'", *path)
        if value is not None and family in NUMBER_VALUE and not (value.is_number or value.name == "decimal"):
            raise self.fault(f"'{measure}' is of numbers; '{aggregate.value}' is {value}", *path)
        if value is not None and value.is_float and aggregate.exact and family in ("sum", "mean", "variance"):
            mend = "say 'exact: false', or declare the field decimal(s)"
            raise self.fault(f"a float {family} depends on the order of addition: {mend}", *path)
        if family in ("quantile", "approx_distinct") and aggregate.exact:
            raise self.fault(f"'{measure}' is approximate: say 'exact: false'", *path)

    def default(self, value: Any, dtype: Type, *path: str | int) -> None:
        """A default of the declared type."""
        if value is not None and not fits(value, dtype):
            raise self.fault(f"the default {value!r} is not {dtype}", *path)

    def parameters(self) -> None:
        """Typed parameters with defaults; the fusion over them and the models' outputs."""
        for name, parameter in self.declaration.parameters.items():
            dtype = self.dtype(parameter.dtype, "parameters", name, "dtype")
            self.default(parameter.default, dtype, "parameters", name, "default")
            if parameter.default is None:
                raise self.fault(f"the parameter '{name}' needs a default", "parameters", name, key=True)
        if self.declaration.fuse is None and len(self.declaration.models) <= 1:
            return
        try:
            compile_fuse(self.declaration)
        except ExpressionError as error:
            raise self.fault(error.message, "fuse", "value", column=error.column) from None
        except SaimaError as error:
            raise self.fault(str(error), "models", key=True) from None

    def label(self) -> None:
        """Sources, join, value and durations of the label."""
        label = self.declaration.label
        if label is None:
            return
        sources = self.declaration.sources
        self.known("source", label.source, sources, "label", "from")
        if label.exposure is not None:
            self.known("source", label.exposure, sources, "label", "exposure")
        if label.value is not None:
            fields = sources[label.source].fields
            self.known(f"field of source '{label.source}'", label.value, fields, "label", "value")
            dtype = parse_type(fields[label.value])
            if not (dtype.is_number or dtype.name in ("bool", "decimal")):
                raise self.fault(f"a label is a number; '{label.value}' is {dtype}", "label", "value")
        if len(set(label.join)) < len(label.join) or "trace" not in label.join:
            raise self.fault("join is [trace] or [trace, item]", "label", "join")
        if "item" in label.join and self.declaration.request.items is None:
            raise self.fault("join by item needs candidates: declare request.items", "label", "join")
        wait = self.duration(label.wait, "label", "wait")
        attribution = self.duration(label.attribution, "label", "attribution", least=1)
        self.duration(label.lateness, "label", "lateness")
        if label.scheme == "waited" and not wait:
            raise self.fault("scheme waited needs a wait, such as 'wait: 10m'", "label", "scheme")
        if wait > attribution:
            raise self.fault(f"wait {label.wait} is longer than attribution {label.attribution}", "label", "wait")

    def lineages(self) -> None:
        """Models that exist, each once; durations."""
        for name, lineage in self.declaration.lineages.items():
            for place, model in enumerate(lineage.train):
                self.known("model", model, self.declaration.models, "lineages", name, "train", place)
                if model in lineage.train[:place]:
                    raise self.fault(f"the model '{model}' stands twice", "lineages", name, "train", place)
            retrain = lineage.retrain
            self.duration(retrain.interval, "lineages", name, "retrain", "interval")
            if retrain.staleness is not None:
                self.duration(retrain.staleness, "lineages", name, "retrain", "staleness", least=1)
            if self.declaration.label is None:
                raise self.fault(f"the lineage '{name}' trains and there is no 'label:'", "lineages", name, key=True)


def _alias(section: str) -> str:
    return "from" if section == "aggregates" else "source"


def request_columns(declaration: Declaration) -> dict[str, str]:
    """Input columns of the request and their declared types: request.<f>, user.<f>, item.<f>."""
    request = declaration.request
    columns = {f"request.{name}": dtype for name, dtype in request.fields.items()}
    columns |= {f"user.{name}": dtype for name, dtype in request.user.items()}
    items = request.items.fields if request.items is not None else {}
    return {**columns, **{f"item.{name}": dtype for name, dtype in items.items()}}


def key_column(declaration: Declaration, side: str, field: str) -> str | None:
    """Input column that a key's field is taken from: its own side first, for candidates then user and request."""
    columns = request_columns(declaration)
    order = {"request": ("request", "user"), "user": ("user", "request"), "item": ("item", "user", "request")}[side]
    return next((f"{space}.{field}" for space in order if f"{space}.{field}" in columns), None)
