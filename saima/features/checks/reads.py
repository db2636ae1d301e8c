"""Check what a declaration reads: sources, tables, windows, their keys and measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.features.checks.records import check_record
from saima.features.expression import Scope, compile_expression
from saima.features.nodes import column
from saima.features.reads import ANY_VALUE, NUMBER_VALUE, measure_name
from saima.features.sides import key_column, request_columns
from saima.features.syntax import nearest
from saima.features.types import BOOL, TIMESTAMP, Type, parse_type

if TYPE_CHECKING:
    from saima.features.checks.declaration import Checker
    from saima.features.declaration import Aggregate, Source, Table
    from saima.features.source import Path_


def check_source(checker: Checker, name: str, source: Source) -> None:
    """A topic: typed fields, a key among them, durations."""
    for field, text in source.fields.items():
        checker.field(text, "sources", name, "fields", field)
        if field in ("type", "seq", "id", "appended", "offset", "late", "day", "time"):
            raise checker.fault(
                f"'{field}' is a column of every event; rename the field",
                "sources",
                name,
                "fields",
                field,
                key=True,
            )
    checker.known("field", source.key, source.fields, "sources", name, "key")
    checker.duration(source.lateness, "sources", name, "lateness")
    checker.duration(source.freshness, "sources", name, "freshness", least=1)
    if source.idle is not None:
        checker.duration(source.idle, "sources", name, "idle", least=1)
    check_record(checker, name, source)


def check_keys(checker: Checker, section: str, name: str, reader: Table | Aggregate) -> None:
    """The key's fields stand in the source and in the request, with types that have one text."""
    checker.known("source", reader.source, checker.declaration.sources, section, name, _alias(section))
    source = checker.declaration.sources[reader.source]
    fields = [reader.key] if isinstance(reader.key, str) else reader.key
    if not fields or len(set(fields)) < len(fields):
        raise checker.fault("a key has fields, each once", section, name, "key")
    for place, field in enumerate(fields):
        path: Path_ = (section, name, "key") if isinstance(reader.key, str) else (section, name, "key", place)
        checker.known(f"field of source '{reader.source}'", field, source.fields, *path)
        found = key_column(checker.declaration, reader.side, field)
        if found is None:
            options = [known.split(".", 1)[1] for known in request_columns(checker.declaration)]
            near = nearest(field, options)
            hint = f" (did you mean '{near}'?)" if near else ""
            raise checker.fault(f"the request has no field '{field}' to look '{name}' up with{hint}", *path)
        for text, where in (
            (source.fields[field], "source"),
            (request_columns(checker.declaration)[found], "request"),
        ):
            if not parse_type(str(text)).is_text:
                raise checker.fault(
                    f"'{field}' is {text} in the {where}; a key is string, int64, bool or timestamp", *path
                )
    if reader.side == "item" and checker.declaration.request.items is None:
        raise checker.fault("side item needs candidates: declare request.items", section, name, "side")


def check_table(checker: Checker, name: str, table: Table) -> None:
    """Source, key, the times of a version, durations."""
    check_keys(checker, "tables", name, table)
    source = checker.declaration.sources[table.source]
    for field in ("valid_from", "known_at"):
        value = getattr(table, field)
        if value is None or value == "time":
            continue
        checker.known(f"field of source '{table.source}'", value, [*source.fields, "time"], "tables", name, field)
        if parse_type(source.fields[value]) != TIMESTAMP:
            raise checker.fault(f"{field} is a timestamp; '{value}' is {source.fields[value]}", "tables", name, field)
    if table.ttl is not None:
        checker.duration(table.ttl, "tables", name, "ttl")
    if table.cache is not None:
        checker.duration(table.cache.ttl, "tables", name, "cache", "ttl")


def check_aggregate(checker: Checker, name: str, aggregate: Aggregate) -> None:
    """Source, key, value, measures, windows, hop, filter."""
    check_keys(checker, "aggregates", name, aggregate)
    source = checker.declaration.sources[aggregate.source]
    value: Type | None = None
    if aggregate.value is not None:
        checker.known(
            f"field of source '{aggregate.source}'", aggregate.value, source.fields, "aggregates", name, "value"
        )
        value = parse_type(source.fields[aggregate.value])
    for place, measure in enumerate(aggregate.measures):
        check_measure(checker, name, aggregate, measure, value, place)
    shortest = None
    for place, text in enumerate(aggregate.windows):
        path = ("aggregates", name, "windows", place)
        length = checker.duration(text, *path, least=1)
        shortest = length if shortest is None else min(shortest, length)
        if text.replace(" ", "") != text or text in aggregate.windows[:place]:
            raise checker.fault(f"the window '{text}' stands twice, or has a space", *path)
    if aggregate.hop is not None and aggregate.hop != "0":
        hop = checker.duration(aggregate.hop, "aggregates", name, "hop")
        if shortest is not None and hop > shortest:
            raise checker.fault(
                f"the hop {aggregate.hop} is longer than the shortest window", "aggregates", name, "hop"
            )
    if aggregate.where is not None:
        names = {field: column(field, parse_type(text), "request") for field, text in source.fields.items()}
        checker.expression(aggregate.where, Scope(names), None, "aggregates", name, "where")
        if compile_expression(aggregate.where, Scope(names)).type != BOOL:
            raise checker.fault("'where' is a condition, of type bool", "aggregates", name, "where")


def check_measure(
    checker: Checker, name: str, aggregate: Aggregate, measure: str, value: Type | None, place: int
) -> None:
    """A measure that exists, once, on a value of a fitting type, exact or said not to be."""
    path = ("aggregates", name, "measures", place)
    family = measure_name(measure)
    checker.known("measure", family, [*ANY_VALUE, *NUMBER_VALUE], *path)
    if measure in aggregate.measures[:place]:
        raise checker.fault(f"the measure '{measure}' stands twice", *path)
    if value is None and family != "count":
        raise checker.fault(f"'{measure}' needs a value: add 'value: <field of {aggregate.source}>'", *path)
    if value is not None and family in NUMBER_VALUE and not (value.is_number or value.name == "decimal"):
        raise checker.fault(f"'{measure}' is of numbers; '{aggregate.value}' is {value}", *path)
    if value is not None and value.is_float and aggregate.exact and family in ("sum", "mean", "variance"):
        mend = "say 'exact: false', or declare the field decimal(s)"
        raise checker.fault(f"a float {family} depends on the order of addition: {mend}", *path)
    if family in ("quantile", "approx_distinct") and aggregate.exact:
        raise checker.fault(f"'{measure}' is approximate: say 'exact: false'", *path)


def _alias(section: str) -> str:
    return "from" if section == "aggregates" else "source"
