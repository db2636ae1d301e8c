"""Rows of the log in the schema that is declared now: what fits is cast, what does not is named row by row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from saima.events import Topic


def conform(table: pa.Table, topic: Topic) -> tuple[pa.Table, dict[int, str]]:
    """The table in the topic's schema, and by place why a row does not fit it; there its values are null.

    Missing fields become null, unknown ones go, types are cast where nothing is lost. A field whose type has changed
    upstream refuses the rows whose values do not fit, and no other. Raises KeyError for a missing envelope column.
    """
    schema = topic.schema
    if table.schema.equals(schema):
        return table, {}
    wrong: dict[int, str] = {}
    columns = []
    for wanted in schema:
        if wanted.name in table.column_names:
            columns.append(_cast(table.column(wanted.name), wanted, wrong))
        elif wanted.name in topic.fields:
            columns.append(pa.nulls(table.num_rows, wanted.type))
        else:
            raise KeyError(f"column '{wanted.name}' is missing")
    return pa.table(columns, schema=schema), wrong


def _cast(column: pa.ChunkedArray, wanted: pa.Field, wrong: dict[int, str]) -> pa.ChunkedArray:
    if column.type.equals(wanted.type):
        return column
    try:
        return _safely(column, wanted.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    values: list[Any] = []
    for row, value in enumerate(column.to_pylist()):
        try:
            fitting = None if value is None else _safely(pa.array([value], column.type), wanted.type)[0].as_py()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            fitting = None
            shown = repr(value)[:60]
            wrong[row] = f"'{wanted.name}' is {column.type}, declared {wanted.type}, and {shown} does not fit"
        values.append(fitting)
    return pa.chunked_array([pa.array(values, wanted.type)])


def _safely(column: Any, wanted: pa.DataType) -> Any:
    """A cast that loses nothing; true and false are no numbers, whatever Arrow says."""
    if {_kind(column.type), _kind(wanted)} == {"bool", "number"} and column.null_count < len(column):
        raise pa.ArrowInvalid(f"{column.type} is no {wanted}")
    return column.cast(wanted)


def _kind(dtype: pa.DataType) -> str:
    if pa.types.is_boolean(dtype):
        return "bool"
    return "number" if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) else "other"
