"""Check how a source's records become its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from saima.features.encodings import Decoder
from saima.features.types import fits, parse_type

if TYPE_CHECKING:
    from saima.features.checks.declaration import Checker
    from saima.features.declaration import Source
    from saima.features.record import Record, Scalar


def check_record(checker: Checker, name: str, source: Source) -> None:
    """Fields are the source's, and what the declaration gives them is of their type."""
    if source.record is None:
        return
    path = ("sources", name, "record")
    checker.duration(source.record.ahead, *path, "ahead")
    if source.record.delimited is not None:
        for where, column in _paths(source.record, source.fields):
            checker.known("column", column, source.record.delimited.columns, *path, *where)
    for field, taken in source.record.fields.items():
        if field not in source.fields:
            checker.known("field", field, source.fields, *path, "fields", field)
        values = {} if taken.values is None else {f"values.{text}": value for text, value in taken.values.items()}
        given = {"constant": taken.constant, "default": taken.default, **values}
        for place, value in given.items():
            if value is not None and not _fits(value, source.fields[field]):
                problem = f"'{field}' is {source.fields[field]}, and {value!r} is none"
                raise checker.fault(problem, *path, "fields", field, *place.split(".", 1))


def _paths(record: Record, fields: Iterable[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a record is read by, with its place in the declaration."""
    yield ("time",), record.time.path
    for path in [record.id] if isinstance(record.id, str) else record.id or []:
        yield ("id",), path
    if record.seq is not None:
        yield ("seq",), record.seq
    for path in record.when:
        yield ("when",), path
    for field in fields:
        taken = record.fields.get(field)
        if taken is None:
            yield ("delimited", "columns"), field
        elif taken.path is not None:
            yield ("fields", field), taken.path


def _fits(value: Scalar, dtype: str) -> bool:
    decoder = Decoder(dtype)
    native = decoder.decode(value) if decoder.needed else value
    return native is not None and fits(native, parse_type(dtype))
