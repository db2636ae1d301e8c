"""The standard event: one schema for every source."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from saima.errors import SaimaError

ENVELOPE = ("key", "type", "time", "seq", "id", "appended")
"""Columns that every topic has; a source's fields stand beside them under their own names."""

JOURNAL = "journal"
"""Topic of prediction records, one row a decision; `record` is its JSON text."""

DEAD_LETTER = "dead_letter"
"""Topic of refused records, with their bytes and the reason."""

RULES = "rules"
"""Topic of orders that deploy and disable rules; `order` is JSON text."""

SILENCE = "silence"
"""Topic of records that a source (`key`) has been silent; `silent` is for how many ms a worker has listened, `seen` the
offset up to which it had read."""

DECLARATIONS = "declarations"
"""Topic of orders that change what algorithms declare; `order` is JSON text."""

Position = dict[int, int]
"""Per partition, the log offset up to which (inclusive) something has been processed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    key: entity it belongs to; type: topic; time: event time, int64 ms UTC; seq: breaks ties of time;
    id: identity, for de-duplication; payload: the source's fields, by name.
    """

    key: str
    type: str
    time: int
    seq: int
    id: str
    payload: dict[str, Any] = field(default_factory=dict)


ARROW = {
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.int64(),
}
"""Arrow type of a scalar field; a timestamp is int64 ms UTC on the log and in frames of events."""

_NESTED = re.compile(r"(?:list<(?P<item>.+)>|vector<(?P<element>[^,]+),\s*\d+>|map<string,\s*(?P<value>.+)>)")


def arrow_type(dtype: str) -> pa.DataType:
    """Arrow type of a declared field; a decimal is held as int64, a vector as a list.

    >>> arrow_type("list<float32>")
    ListType(list<item: float>)
    """
    if dtype in ARROW:
        return ARROW[dtype]
    if dtype.startswith("decimal"):
        return pa.int64()
    match = _NESTED.fullmatch(dtype)
    if match is None:
        raise ValueError(f"unknown type '{dtype}'")
    if match["value"]:
        return pa.map_(pa.string(), arrow_type(match["value"]))
    return pa.list_(arrow_type(match["item"] or match["element"]))


@dataclass(frozen=True)
class Topic:
    """A topic and the Arrow types of its fields, in declared order."""

    name: str
    fields: dict[str, pa.DataType]

    @cached_property
    def schema(self) -> pa.Schema:
        """Envelope columns, then the fields."""
        return pa.schema(
            [
                pa.field("key", pa.string()),
                pa.field("type", pa.string()),
                pa.field("time", pa.int64()),
                pa.field("seq", pa.int64()),
                pa.field("id", pa.string()),
                pa.field("appended", pa.int64()),
                *(pa.field(name, dtype) for name, dtype in self.fields.items()),
            ]
        )


JOURNAL_TOPIC = Topic(JOURNAL, {"algorithm": pa.string(), "trace": pa.string(), "record": pa.string()})
RULES_TOPIC = Topic(RULES, {"order": pa.string()})
SILENCE_TOPIC = Topic(SILENCE, {"silent": pa.int64(), "seen": pa.int64()})
DECLARATIONS_TOPIC = Topic(DECLARATIONS, {"order": pa.string()})
DEAD_LETTER_TOPIC = Topic(DEAD_LETTER, {"reason": pa.string(), "bytes": pa.binary()})


def to_table(topic: Topic, events: list[Event], appended: int) -> pa.Table:
    """Events of one topic as an Arrow table in the topic's schema; `appended` is the wall clock in ms."""
    columns: dict[str, list[Any]] = {name: [] for name in topic.schema.names}
    for event in events:
        columns["key"].append(event.key)
        columns["type"].append(event.type)
        columns["time"].append(event.time)
        columns["seq"].append(event.seq)
        columns["id"].append(event.id)
        columns["appended"].append(appended)
        for name in topic.fields:
            columns[name].append(event.payload.get(name))
    return pa.table(columns, schema=topic.schema)


def to_table_frame(topic: Topic, frame: pl.DataFrame, appended: int) -> pa.Table:
    """Rows of one topic (envelope but `appended`, and the fields) as an Arrow table in the topic's schema.

    Raises SaimaError naming a column that is not of its declared type.
    """
    schema, columns = topic.schema, []
    rows = frame.with_columns(appended=pl.lit(appended, pl.Int64)).select(schema.names).to_arrow()
    for column, wanted in zip(rows.columns, schema, strict=True):
        try:
            columns.append(_cast(column.combine_chunks(), wanted.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            held = frame.schema.get(wanted.name)
            raise SaimaError(
                f"events of '{topic.name}': '{wanted.name}' is {held}, declared {wanted.type}: {error}"
            ) from error
    return pa.table(columns, schema=schema)


def _cast(column: Any, dtype: Any) -> pa.Array:
    """A column of a frame in a topic's type; Arrow itself makes no map of a list of entries."""
    if pa.types.is_large_list(column.type) and pa.types.is_map(dtype):
        keys, items = column.values.flatten()
        return pa.MapArray.from_arrays(_starts(column), keys.cast(pa.string()), _cast(items, dtype.item_type))
    if pa.types.is_large_list(column.type) and pa.types.is_list(dtype):
        return pa.ListArray.from_arrays(_starts(column), _cast(column.values, dtype.value_type))
    return column.cast(dtype)


def _starts(column: Any) -> pa.Array:
    """Where each list of a column begins, null for a missing one, and where the last one ends."""
    missing = np.append(column.is_null().to_numpy(zero_copy_only=False), False)
    return pa.array(column.offsets.to_numpy(), pa.int32(), mask=missing)


def stamp(table: pa.Table, appended: int) -> pa.Table:
    """The same rows, appended at another wall clock (ms)."""
    place = table.schema.get_field_index("appended")
    column = pa.repeat(pa.scalar(appended, pa.int64()), table.num_rows)
    return table.set_column(place, table.schema.field(place), column)
